using Agent.Compiler;
using Agent.Daemon.Config;

namespace Agent.Daemon.Enforcement;

/// <content>What changes without being asked for: devices, and what others do in the kernel.</content>
internal sealed partial class Reconciler
{
    private void Follow(HostLinks links)
    {
        HostLinks before = State.Links;
        if (links.Equals(before))
        {
            return;
        }

        Publish(State with { Links = links });
        log.Followed(before, links);
        if (!enforcer.Kernel.NetdevHooksByName
            && before.Indexes.Any(
                link => links.Indexes.GetValueOrDefault(link.Key, link.Value) != link.Value))
        {
            enforcer.Distrust(); // what was hooked to a device went with it, silently
        }

        // Maps are keyed by name, so most kernels need no commit here; the plan is then empty.
        if (!adoptUntouched)
        {
            TryEnforce(State.Desired, State.DesiredHash);
        }

        FollowStaged();
    }

    // Rules that only report may be others now: the next ruleset has them, and no session is judged again for it.
    private void Reconfigure(DaemonConfig next)
    {
        config = next;
        enforcer.VerifyBudget = next.VerifyBudget;
        verifyAt = Math.Min(verifyAt, After(next.VerifyInterval));
        if (enforcer.Settings != next.Compiler)
        {
            enforcer.Settings = next.Compiler;
            if (!adoptUntouched)
            {
                TryEnforce(State.Desired, State.DesiredHash);
            }
        }
    }

    private void Audit()
    {
        ProbeDisk();
        RetryLeftover();
        if (adoptUntouched)
        {
            HoldOn();
            return;
        }

        bool retry = clock.GetTimestamp() >= retryAt;
        if (failedWhole && !retry)
        {
            return;
        }

        uint found = enforcer.CurrentGeneration();
        if (found == enforcer.Generation || failedWhole)
        {
            if (retry)
            {
                log.Retrying(State.Desired.Revision);
            }

            if (retry | adoptions.End())
            {
                TryEnforce(State.Desired, State.DesiredHash);
            }

            if (clock.GetTimestamp() >= verifyAt && !failedWhole)
            {
                Verify();
            }

            return;
        }

        log.ForeignCommit(found, enforcer.Generation);
        enforcer.Distrust();
        TryEnforce(State.Desired, State.DesiredHash);
    }

    // Whatever fails meanwhile is no reason to put something else in its place, for nothing else is known.
    private void HoldOn()
    {
        (retryAt, failedWhole) = (null, false);
        uint found = enforcer.CurrentGeneration();
        if (found == enforcer.Generation)
        {
            return;
        }

        log.ForeignCommit(found, enforcer.Generation);
        if (!enforcer.Adopt(enforcer.Epoch)) // it is gone: closed
        {
            enforcer.Distrust();
            TryEnforce(State.Desired, State.DesiredHash);
        }
    }

    // A host without bridged vNICs needs no second copy of everything; the first one stays closed for a moment.
    private HostFacts Host()
    {
        bridged = bridged || State.Links.BridgePorts.Any(port =>
            State.Desired.Vnics.Values.Any(vnic => vnic.InterfaceName == port));
        return enforcer.Kernel with
        {
            Bridge = enforcer.Kernel.Bridge == BridgeLayer.Open && !bridged
                ? BridgeLayer.Closed : enforcer.Kernel.Bridge,
            Bridges = State.Links.Bridges,
            BridgePorts = State.Links.BridgePorts,
            PresentInterfaces = State.Links.Names,
        };
    }
}
