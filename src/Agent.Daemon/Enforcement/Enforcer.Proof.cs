using System.Diagnostics;
using Agent.Compiler;
using Agent.Daemon.Config;
using Agent.Daemon.Tracing;

namespace Agent.Daemon.Enforcement;

/// <content>What is proved before it is committed, and who is held back.</content>
internal sealed partial class Enforcer
{
    /// <summary>Takes note of a proof of what is in force that came late.</summary>
    public void Know(ProofResult late) => proof = late;

    // What others changed comes back at once if it is proved but for its epoch; then that is proved beside the loop.
    private bool Withholds(CompiledRuleset next, CompiledRuleset final, EnforcementTally tally)
    {
        if (drifted && Verifier is not null && IsProved(next))
        {
            proof = Verifier.Pending(final, TimeSpan.Zero);
            return false;
        }

        return Mode == VerifyMode.Enforce && Withholds(final, tally);
    }

    // Nothing that is not proved gets into the kernel. What is held back is proved in its turn.
    private bool Withholds(CompiledRuleset next, EnforcementTally tally)
    {
        if (Prove(next, tally) is not ProofResult result || result.IsPending)
        {
            return false;
        }

        if (result.HostFault is string host)
        {
            throw new EnforcementFailedException($"it is not proved to leave the rest of the host alone: {host}");
        }

        HoldBacks before = held;
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach ((string vnicId, string reason) in result.Condemned)
        {
            log.NotProved(vnicId, reason);
            string profile = CompiledRuleset.ProfileOf(next.Request.Policy.Vnics[vnicId]);
            held = !seen.Add(profile) ? held
                : before.IsClosed(profile) ? held.Closing(vnicId, NotProved(reason))
                : held.HoldingBack(profile, enforced, NotProved(reason));
        }

        if (seen.Count > 0 && held == before)
        {
            (string id, string why) = result.Condemned.First();
            throw new EnforcementFailedException($"vNIC {id} is closed, and even that is not proved: {why}");
        }

        return seen.Count > 0;
    }

    private static string NotProved(string reason) => $"not proved: {reason}";

    // The same policy and the same rules need no second proof.
    private ProofResult? Prove(CompiledRuleset next, EnforcementTally tally)
    {
        if (Verifier is null)
        {
            return null;
        }

        if (IsProved(next))
        {
            return proof = proof! with { Of = next };
        }

        using Activity? span = Spans.Step("prove");
        Progress?.Begin("prove");
        proof = Verifier.ProveNow(next, VerifyBudget);
        tally.Prove += proof.Took;
        OnProved?.Invoke(proof);
        log.Proved(proof);
        span?.SetTag("sg.result", proof.Outcome.ToString().ToLowerInvariant());
        return proof;
    }

    private bool IsProved(CompiledRuleset next) =>
        proof is { IsPending: false } last && ReferenceEquals(last.Of.Request.Policy, next.Request.Policy)
            && last.Of.Request.Adopting.SetEquals(next.Request.Adopting) && last.Of.Closed.SetEquals(next.Closed)
            && last.Of.Ruleset == next.Ruleset;
}
