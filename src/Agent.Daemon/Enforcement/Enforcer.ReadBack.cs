using System.Diagnostics;
using Agent.Compiler;
using Agent.Daemon.Tracing;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <content>What the kernel holds, compared with what was committed.</content>
internal sealed partial class Enforcer
{
    /// <summary>Reads back all that the kernel holds, and compares it with what was committed.</summary>
    public VerificationResult Verify()
    {
        long started = clock.GetTimestamp();
        string? difference;
        try
        {
            difference = Read();
        }
        catch (Netlink.NetlinkException e)
        {
            observedIsKnown = false;
            return Result(started, VerifyOutcome.Unknown, e.Message);
        }

        if (difference is null)
        {
            observed = enforced!.Ruleset;
        }

        return Result(started, difference is null ? VerifyOutcome.Verified : VerifyOutcome.Mismatch, difference ?? "");
    }

    // The first step that would make it so. What is there besides is of a change that was cut off, or removed soon.
    private static string? Difference(Ruleset held, Ruleset wanted)
    {
        Plan plan = Plan.Between(held, wanted);
        return plan.Prepare.Concat(plan.Switch).FirstOrDefault()?.ToString();
    }

    // When nothing is under way, a chain that packets meet is not ours.
    private string? DriftFrom(CompiledRuleset inForce) =>
        Difference(observed, inForce.Ruleset) ?? (midway ? null : observed.Tables
            .SelectMany(table => table.Chains.Where(chain => chain.Hook is not null), (table, chain) => (table, chain))
            .Where(at => inForce.Ruleset.Find(at.table.Family, at.table.Name) is { } ours
                && ours.Chains.All(chain => chain.Name != at.chain.Name))
            .Select(at => $"hooked, and not ours: chain {at.chain.Name}").FirstOrDefault());

    private VerificationResult Result(long started, VerifyOutcome outcome, string detail) =>
        new(clock.GetUtcNow(), clock.GetElapsedTime(started), outcome, detail);

    // Answers tell that a transaction was taken. What it made is read back before anybody is told that it holds.
    private bool Confirm(CompiledRuleset next, EnforcementTally tally)
    {
        if (tally.Done.Count == 0)
        {
            return true;
        }

        using Activity? span = Spans.Step("read_back");
        long started = clock.GetTimestamp();
        NftOp[] ops = [.. tally.Done];
        tally.Done.Clear();
        try
        {
            (Ruleset held, uint at) = firewall.ReadBack(next.Ruleset, ops);
            string? difference = ReferenceEquals(held, next.Ruleset) ? null : Difference(held, next.Ruleset);
            if (at != generation)
            {
                observedIsKnown = false; // somebody else's commit followed ours: read, and begin again
                return false;
            }

            tally.Verification = Result(
                started, difference is null ? VerifyOutcome.Verified : VerifyOutcome.Mismatch, difference ?? "");
            observedIsKnown = difference is null;
            log.ReadBack(tally.Verification, at);
            span?.SetTag("sg.result", tally.Verification.Outcome.ToString().ToLowerInvariant());
            Epoch = next.Request.Epoch; // it may have been granted meanwhile: a next attempt moves on from it
            return difference is null;
        }
        catch (Netlink.NetlinkException e)
        {
            tally.Verification = Result(started, VerifyOutcome.Unknown, e.Message);
            return true; // it was taken; the next reading will tell
        }
    }

    /// <returns>In what it differs from what was enforced; null if it does not.</returns>
    private string? Read()
    {
        (observed, generation) = firewall.Read();
        observedIsKnown = true;
        string? difference = enforced is null ? "nothing was enforced yet" : DriftFrom(enforced);
        if (enforced is not null && difference is not null)
        {
            drifted |= HasDriftedFrom(enforced);
            Found ??= midway ? null : Drift.Of(clock.GetUtcNow(), observed, enforced);
        }

        return difference;
    }

    // Somebody changed what judges packets: what it let in meanwhile carries the live epoch. Objects that are merely
    // there besides are our own, of a change that was cut off.
    private bool HasDriftedFrom(CompiledRuleset inForce) =>
        Plan.Between(JudgesOf(observed), JudgesOf(inForce.Ruleset)) is { Prepare.Count: > 0 } or { Switch.Count: > 0 };

    private static Ruleset JudgesOf(Ruleset ruleset) =>
        new(ruleset.Tables.Where(table => table.Family is NftFamily.Inet or NftFamily.Bridge).ToValueArray());
}
