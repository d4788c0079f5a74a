using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>
/// Frames at a bridge that are no IP: ARP stays within its VPC and reaches nothing that is closed, whatever rules say;
/// anything else passes no vNIC.
/// </summary>
internal sealed class BridgeFrames(Claims claims, BridgeRoutes bridged, PolicySnapshot policy, ProofFacts facts)
{
    private const ushort Arp = 0x0806;

    /// <returns>Null: as it should be.</returns>
    public VnicProof? Of(Vnic vnic) => Claims.Worst(
        bridged.Of(vnic).Where(route => route.IsLink).Concat(bridged.ToBridge(vnic)).Concat(bridged.FromBridge(vnic))
            .Concat(Between(vnic)), Check);

    /// <summary>Frames between ports that are no vNICs.</summary>
    public VnicProof? OfNobody() => Claims.Worst(bridged.OfNobody(), Check);

    private VnicProof? Check(Route route) => Claims.Worst(
        Situation.All.Where(situation => !situation.HasEntry)
            .SelectMany(_ => (ushort[])[Arp, Circumstances.OtherType], (situation, type) => (situation, type)),
        at => claims.CheckFrames(route, at.situation, at.type, Expected(route, at.situation, at.type == Arp)));

    // A sender's judgement is the last one: receivers are told apart only as far as it does.
    private IEnumerable<Route> Between(Vnic vnic)
    {
        foreach (IGrouping<(bool Same, bool Closed), Vnic> others in policy.Vnics.Values
            .Where(other => other.Id != vnic.Id)
            .GroupBy(other => (other.VpcId == vnic.VpcId, facts.Closed.Contains(other.Id))))
        {
            foreach (Route route in bridged.Pairs(vnic, [.. others]))
            {
                yield return route;
            }
        }
    }

    private PacketFate Expected(Route route, Situation situation, bool arp)
    {
        bool closed = route.IsFlooded || route.FromClosed || route.Beyond == Beyond.Closed
            || (route.Sender is Vnic sender && facts.Closed.Contains(sender.Id))
            || (route.Receiver is Vnic receiver && (facts.Closed.Contains(receiver.Id)
                || (route.Sender is Vnic from && from.VpcId != receiver.VpcId)));
        if (closed)
        {
            return PacketFate.Dropped;
        }

        return !route.IsOurs || route.TrustedMark is not null ? PacketFate.Passed
            : arp && !route.IsFromAnotherVpc && (route.Sender is null || situation.State == CtState.Untracked)
            ? PacketFate.Passed : PacketFate.Dropped;
    }
}
