using System.Collections.Immutable;
using Agent.Cli.Input;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Cli.Output;

/// <summary>The agent's answer to a state, for people.</summary>
internal static class ApplyText
{
    public static void Accepted(Screen screen, Accepted answer, bool dryRun)
    {
        Changes changes = answer.Changes ?? new Changes();
        (string Name, string Value)[] differences =
        [
            ("groups", Count.Changes(changes.GroupsAdded, changes.GroupsChanged, changes.GroupsRemoved)),
            ("lists", Count.Changes(changes.ListsAdded, changes.ListsChanged, changes.ListsRemoved)),
            ("vnics", Count.Changes(changes.VnicsAdded, changes.VnicsChanged, changes.VnicsRemoved)),
        ];
        bool differs = differences.Any(one => one.Value.Length > 0);
        screen.Line(Headline(answer, dryRun, differs));
        screen.Fields(
        [
            .. differences,
            ("commit", changes.Transactions == 0 ? "" : $"{Count.Of(changes.NetlinkMessages, "message")}, "
                + $"{Count.Bytes(changes.NetlinkBytes)}, {Count.Of(changes.Transactions, "transaction")}"),
            ("proof", ProofText.Of(answer.Proof)),
            ("sessions", changes.SessionsRevalidated ? "judged again: the change takes something away" : ""),
            ("time", Times(answer.Timings)),
        ]);
        foreach (string warning in answer.Warnings)
        {
            screen.Line(("warning: ", Screen.Warning), (warning, Screen.Plain));
        }

        Failed(screen, answer.FailedVnics, dryRun);
    }

    public static void Refused(Screen screen, PolicyFile file, Refused answer)
    {
        ImmutableArray<FileFault> faults = [.. Locate(file, answer)];
        string held = answer.HeldRevision == 0 ? "no state yet" : $"revision {answer.HeldRevision}";
        screen.Line(
            ("refused", Screen.Bad),
            ($": {Count.Of(faults.Length, "fault")}; nothing was changed, the agent holds {held}", Screen.Plain));
        Errors.Faults(screen, file.Name, faults);
        if (answer.Faults.Any(fault => fault.Code == "StaleRevision"))
        {
            screen.Line("  Or let the agent number it: sgctl apply --next-revision.");
        }
    }

    public static void Failed(Screen screen, IReadOnlyCollection<VnicStatus> failed, bool dryRun)
    {
        if (failed.Count == 0)
        {
            return;
        }

        string what = dryRun ? " could not be enforced" : " not enforced; each keeps what it had, or is closed";
        screen.Line((Count.Of(failed.Count, "vNIC") + what, Screen.Bad));
        screen.Table(["vnic", "interface", "reason"],
            [.. failed.Select(vnic => new Cell[] { vnic.VnicId, vnic.InterfaceName, vnic.Reason })]);
    }

    private static IEnumerable<FileFault> Locate(PolicyFile file, Refused answer) => answer.Faults.Select(
        fault => file.Place(new PolicyFault(fault.Path, fault.Code, fault.Message, fault.Remedy)));

    private static (string, Spectre.Console.Style)[] Headline(Accepted answer, bool dryRun, bool differs)
    {
        if (dryRun)
        {
            return differs
                ? [("dry run", Screen.Warning),
                    ($": this would become revision {answer.Revision}; nothing was changed", Screen.Plain)]
                : [("dry run", Screen.Warning), (": the agent holds this already", Screen.Plain)];
        }

        if (answer.FailedVnics.Count > 0)
        {
            return [("accepted", Screen.Warning),
                ($" revision {answer.Revision}, but not every vNIC follows it", Screen.Plain)];
        }

        return answer.Unchanged
            ? [("unchanged", Screen.Good),
                ($": the agent held this already; now revision {answer.Revision}", Screen.Plain)]
            : [("applied", Screen.Good), ($" revision {answer.Revision}", Screen.Plain)];
    }

    private static string Times(Timings? timings) => timings is null ? "" : string.Join(", ",
        new (string Name, Duration? Time)[]
        {
            ("validate", timings.Validate), ("persist", timings.Persist), ("compile", timings.Compile),
            ("prove", timings.Prove), ("commit", timings.Commit), ("verify", timings.Verify),
        }
        .Where(phase => phase.Time is not null && phase.Time.ToTimeSpan() > TimeSpan.Zero)
        .Select(phase => $"{phase.Name} {Count.Time(phase.Time!.ToTimeSpan())}"));
}
