using System.Globalization;
using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>What a staged policy would have done, for people.</summary>
internal static class StagedText
{
    public static void Print(Screen screen, StagedReport report)
    {
        if (!report.Staged)
        {
            screen.Line("nothing is staged");
            return;
        }

        screen.Line(("staged", Screen.Warning), (Invariant(
            $" revision {report.Revision} since {Count.Moment(report.Since)}; ")
            + Invariant($"revision {report.HeldRevision} is enforced"), Screen.Plain));
        if (report.MassChange is MassChange change)
        {
            MassChangeText.Staged(screen, change);
        }

        if (report.StagedOnRevision != report.HeldRevision)
        {
            screen.Line(("warning: ", Screen.Warning), (Invariant(
                $"it was staged on revision {report.StagedOnRevision}: committing it takes back what came since"),
                Screen.Plain));
        }

        foreach (string warning in report.Warnings)
        {
            screen.Line(("warning: ", Screen.Warning), (warning, Screen.Plain));
        }

        ApplyText.Failed(screen, report.FailedVnics, dryRun: true);
        screen.Line();
        Counts(screen, report);
        screen.Line();
        DifferenceText.Print(screen, report.Difference ?? new Difference());
    }

    public static void Refused(Screen screen, Refused answer)
    {
        foreach (Fault fault in answer.Faults)
        {
            screen.Line(("refused", Screen.Bad), ($": {fault.Message} ({fault.Code})", Screen.Plain));
            screen.Line($"  {fault.Remedy}");
        }
    }

    private static void Counts(Screen screen, StagedReport report)
    {
        if (report.Uncounted.Length > 0)
        {
            screen.Line(("nothing is counted", Screen.Bad), ($": {report.Uncounted}", Screen.Plain));
            return;
        }

        StagedRule[] changed = [.. report.Rules.Where(rule => rule.ChangedPackets > 0)];
        Table(screen, "would be dropped, and passes now", changed, V1.Policy.Drop);
        Table(screen, "would pass, and is dropped now", changed, V1.Policy.Accept);
        string same = string.Join(", ", ((V1.Policy[])[V1.Policy.Accept, V1.Policy.Drop]).Select(policy => Invariant(
            $"{Same(report, policy)} to {(policy == V1.Policy.Accept ? "pass" : "be dropped")}")));
        screen.Line(changed.Length == 0 ? $"so far no packet would be treated otherwise (decisions as now: {same})"
            : $"decisions as now: {same}");
        if (report.MarkedPackets > 0)
        {
            screen.Line(Invariant(
                $"{report.MarkedPackets} packets with a packet mark of others were looked at only if they pass now"));
        }

        if (report.MoreRules > 0)
        {
            screen.Line(Invariant($"and {report.MoreRules} more rules; --limit shows more"));
        }
    }

    private static long Same(StagedReport report, V1.Policy policy) => report.Rules
        .Where(rule => rule.Policy == policy && rule.Packets > rule.ChangedPackets)
        .Sum(rule => (long)(rule.Packets - rule.ChangedPackets));

    private static void Table(Screen screen, string title, IEnumerable<StagedRule> rules, V1.Policy policy)
    {
        StagedRule[] rows = [.. rules.Where(rule => rule.Policy == policy)];
        if (rows.Length == 0)
        {
            return;
        }

        screen.Line((title, policy == V1.Policy.Drop ? Screen.Bad : Screen.Warning));
        screen.Table(["vnic", "direction", "by", "packets", "new sessions"],
        [
            .. rows.Select(rule => new Cell[]
            {
                rule.VnicId.Length == 0 ? "all vNICs" : rule.VnicId,
                rule.Direction == Direction.Ingress ? "ingress" : "egress",
                SessionText.Rule(rule.Reason, rule.Rule),
                Invariant($"{rule.ChangedPackets}"),
                policy == V1.Policy.Drop ? Invariant($"{rule.OpenedSessions}") : "",
            }),
        ]);
        screen.Line();
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
