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

        return Result(started, difference is null ? VerifyOutcome.Verified : VerifyOutcome.Mismatch, difference ?? "");
    }

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
        Progress?.Begin("read back");
        long started = clock.GetTimestamp();
        NftOp[] ops = [.. tally.Done];
        tally.Done.Clear();
        try
        {
            (Ruleset held, uint at) = firewall.ReadBack(next.Ruleset, ops, generation);
            string? difference = ReferenceEquals(held, next.Ruleset) ? null : Difference(held, next.Ruleset);
            generation = at; // of commits that followed ours, it tells that they left ours alone, or what they did
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
}
