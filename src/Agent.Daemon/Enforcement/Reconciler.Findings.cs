using System.Collections.Immutable;
using Agent.Daemon.Config;
using Agent.Evaluator.Proof;

namespace Agent.Daemon.Enforcement;

/// <content>What is found beside the loop: late proofs, what a foreign change did, what others hooked.</content>
internal sealed partial class Reconciler
{
    private Drift? found;

    // A drift is found once, however often its repair is tried.
    private void Found(Drift? drift)
    {
        metrics.DriftFound.Inc(drift is null || ReferenceEquals(drift, found) ? 0 : 1);
        found = drift ?? found;
    }

    private Drift Repaired(Drift drift)
    {
        Found(drift);
        TimeSpan took = clock.GetElapsedTime(drift.SeenAt);
        metrics.DriftRepairs.Inc();
        log.DriftRepaired(took.TotalMilliseconds, drift.ToString());
        return drift with { Repaired = took };
    }

    // Too late for the commit to wait for it. The previous ruleset is gone, so what is not proved is closed.
    private void Take(ProofResult result)
    {
        if (!ReferenceEquals(result.Of, enforcer.Enforced))
        {
            return;
        }

        enforcer.Know(result);
        Publish(State with { Proof = result, Realisation = realisation.Proved(State.Realisation, result) });
        metrics.Proofs.Proved(result);
        string[] faults = [.. result.Condemned.Select(fault => fault.VnicId).Except(State.Failed.Keys)];
        if (config.Verify == VerifyMode.Enforce && faults.Length > 0)
        {
            enforcer.Condemned = result;
            TryEnforce(State.Desired, State.DesiredHash);
        }
    }

    private void Take(ImmutableArray<ForeignHook> found)
    {
        Publish(State with { Foreign = found });
        metrics.ForeignFindings.Set(found.Length);
    }

    private void Take(Drift explained)
    {
        if (State.Drift?.Time != explained.Time)
        {
            return;
        }

        Publish(State with { Drift = explained with { Repaired = State.Drift.Repaired } });
        foreach ((string vnic, string packet) in explained.Packets ?? [])
        {
            if (vnic.Length > 0)
            {
                log.DriftedPacket(vnic, packet);
            }
            else
            {
                log.DriftedHostPacket(packet);
            }
        }
    }
}
