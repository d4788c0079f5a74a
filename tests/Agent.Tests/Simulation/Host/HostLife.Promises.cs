using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator.Proof;
using Agent.Nftables;

namespace Agent.Tests.Simulation.Host;

/// <content>What must hold at any moment, and what must hold in the end.</content>
internal sealed partial class HostLife
{
    /// <summary>Twice what three vNICs and groups take; a state, one that is being written, and one set aside.
    /// </summary>
    private const int MostObjects = 2000;
    private const int MostFiles = 5;
    private const int MostHeld = 100_000;
    private const int MostBytes = 4 << 20;

    // At a bridge, what is beyond the prover is said of every vNIC.
    private static bool IsProved(VnicProof proof) => proof is VnicProof.Proved or VnicProof.Unknown { IsBeyond: true };

    /// <returns>What is not yet as it should be; null if everything is.</returns>
    private string? MissingForPeace()
    {
        AgentState state = loop!.State;
        if (!controller.Holds(state))
        {
            return $"revision {controller.Wanted.Revision} is wanted, and {state.Desired.Revision} held";
        }

        if (state.AppliedRevision != state.Desired.Revision || !state.Failed.IsEmpty || !state.Alarms.IsEmpty)
        {
            return $"the answer says: revision {state.AppliedRevision} in force; failed: "
                + $"{string.Join(", ", state.Failed)}; alarms: {string.Join(", ", state.Alarms)}";
        }

        if (state.Staged is not null || enforcer!.CleanupDue || !state.Links.Equals(host.Links))
        {
            return "something is staged, to be cleaned up, or not yet followed";
        }

        if (verifier is not null && !(state.Proof is { IsPending: false, HostFault: null } proof
            && proof.Vnics.Values.All(IsProved) && ReferenceEquals(proof.Of, state.Enforced)))
        {
            return $"it is not proved: {state.Proof?.Outcome} {state.Proof?.HostFault} "
                + string.Join("; ", (state.Proof?.Vnics.Values ?? []).Distinct());
        }

        CompiledRuleset anew = RulesetCompiler.Compile(state.Enforced!.Request with { Policy = state.Desired });
        return anew.Ruleset != host.Nftables.Ruleset
            ? string.Join("; ", RulesetChange.Between(host.Nftables.Ruleset, anew.Ruleset).Take(5)) : null;
    }

    /// <returns>What there is too much of; null: nothing.</returns>
    private string? Piled()
    {
        int objects = host.Nftables.Ruleset.Tables.Sum(
            table => table.Chains.Count + table.Sets.Count + table.Objects.Count);
        long bytes = host.Disk.Bytes;
        return objects > MostObjects ? $"{objects} objects in the kernel"
            : host.Disk.Names.Count > MostFiles || bytes > MostBytes
                ? $"{bytes} bytes in {string.Join(", ", host.Disk.Names)}" : null;
    }

    // Once a policy is in force for every vNIC, it is the only one that may be.
    private void Look()
    {
        AgentState state = loop!.State;
        if (enforcer?.Enforced is not { } enforced || !host.Holds(enforced.Ruleset))
        {
            return;
        }

        host.Repaired();
        story.IsHarmed = !IsHonest || enforcer.Found is not null;
        if (state.AppliedRevision == state.Desired.Revision && state.Failed.IsEmpty && state.Enforced == enforced)
        {
            witness.Follows(state.Desired);
        }
    }

    // Without hooks by name guards go with their devices, and nobody is told.
    private string? Untrue()
    {
        AgentState state = loop!.State;
        return state.Failed.IsEmpty && state.AppliedRevision == state.Desired.Revision && state.Enforced is { } said
            && !state.Alarms.Any(alarm => alarm.Contains("is not in force", StringComparison.Ordinal))
            && host.HooksByName && IsHonest && !host.IsDamaged && !host.Holds(said.Ruleset)
            ? $"revision {state.AppliedRevision} is not in the kernel: "
                + string.Join("; ", RulesetChange.Between(host.Ours, said.Ruleset).Take(3))
            : null;
    }

    private void Judge(int packets)
    {
        if (!host.IsProgrammed || host.IsDamaged || witness.Policies == 0)
        {
            return;
        }

        tally.Count("judgements");
        Ruleset now = host.Nftables.Ruleset;
        for (int i = 0; i < packets; i++)
        {
            Expect("nothing passes beyond the policies, and nothing that all of them allow is cut",
                witness.Judge(now, Packets.Draw(fate.Random)));
        }

        for (int i = 0; i < host.Sessions.Count; i++)
        {
            (string? wrong, host.Sessions[i]) = witness.JudgeSession(now, host.Sessions[i]);
            Expect("sessions live as long as they are allowed", wrong);
        }
    }

    private static void Expect(string promise, string? otherwise)
    {
        if (otherwise is not null)
        {
            throw new BrokenPromiseException(promise, otherwise);
        }
    }
}
