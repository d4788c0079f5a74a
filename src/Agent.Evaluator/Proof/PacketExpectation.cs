using System.Collections.Immutable;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>What should become of one packet: <see cref="Expectation"/> without symbols, by the oracle.</summary>
internal static class PacketExpectation
{
    /// <param name="oracle">The policy.</param>
    /// <param name="facts">The host.</param>
    /// <param name="route">The packet's way.</param>
    /// <param name="situation">What conntrack says of it.</param>
    /// <param name="tuple">As it is on the wire.</param>
    /// <param name="point">Its other fields.</param>
    /// <returns>What should become of it, and what decides.</returns>
    public static (PacketFate Fate, string Why) Of(
        PolicyOracle oracle, ProofFacts facts, Route route, Situation situation, PacketTuple tuple, PacketPoint point)
    {
        if (route.IsOfAnotherZone && situation.HasEntry)
        {
            return (PacketFate.Dropped, "its session is of another VPC");
        }

        if (route.IsBarred)
        {
            return (PacketFate.Dropped, "this host does not judge at bridges");
        }

        if (route.IsFlooded)
        {
            return (PacketFate.Dropped, "it is not for the receiver's MAC address");
        }

        bool error = tuple.Protocol == SituationPackets.IcmpOf(tuple.Family) && (tuple.Family == IpFamily.V4
            ? SituationPackets.Icmpv4Errors : SituationPackets.Icmpv6Errors).Contains((byte)(point.Source >> 8));
        if (situation.IsLive && (situation.State == CtState.Established || error))
        {
            return (PacketFate.Admitted, "its session is live");
        }

        if (route.FromClosed || (route.Sender is not null && facts.Closed.Contains(route.Sender.Id)))
        {
            return (PacketFate.Dropped, "its sender is closed");
        }

        if (route.Sender is not null)
        {
            if (!situation.HasEntry)
            {
                return IsClosed(facts, route) ? (PacketFate.Dropped, "its receiver is closed, or of another VPC")
                    : Untracked(route, situation, tuple, point, SituationPackets.NeighbourFrom);
            }

            if (Opens(situation, tuple, point, facts.Adopting.Contains(route.Sender.Id)) is string fault)
            {
                return (PacketFate.Dropped, fault);
            }

            PolicyVerdict verdict = Judge(
                oracle, route.Sender, situation, situation.Reply ? Direction.Ingress : Direction.Egress, tuple);
            bool exempt = AsksForAddress(tuple) && (route.IsToHost || IsForDhcpServers(oracle.Settings, tuple));
            if (!exempt && !Owns(route.Sender, tuple.Family, tuple.Source))
            {
                return (PacketFate.Dropped, $"{route.Sender.Id}: not one of its addresses");
            }

            if (!exempt && !verdict.Accepted)
            {
                return (PacketFate.Dropped, $"{route.Sender.Id}: {verdict}");
            }
        }

        return Received(oracle, facts, route, situation, tuple, point);
    }

    private static (PacketFate Fate, string Why) Received(
        PolicyOracle oracle, ProofFacts facts, Route route, Situation situation, PacketTuple tuple, PacketPoint point)
    {
        if (route.Receiver is not Vnic receiver)
        {
            return route.Beyond == Beyond.Closed ? (PacketFate.Dropped, "it leads to a closed interface")
                : route.Sender is null
                ? (situation.IsLive ? PacketFate.Admitted : PacketFate.Passed, "it is none of our packets")
                : route.Beyond == Beyond.Host && !situation.Reply && !IsForHost(oracle.Settings, tuple)
                ? (PacketFate.Dropped, "the host offers no such service")
                : (PacketFate.Admitted, $"{route.Sender.Id} may send it");
        }

        if (facts.Closed.Contains(receiver.Id) || (route.Sender is not null && route.Sender.VpcId != receiver.VpcId))
        {
            return (PacketFate.Dropped, "its receiver is closed, or of another VPC");
        }

        if (route.TrustedMark is not null)
        {
            return route.LeavesLink && !situation.HasEntry && point.Transport != TransportSize.None
                && tuple is { Family: IpFamily.V6, Protocol: IpProtocol.Icmpv6 }
                ? (PacketFate.Dropped, "it concerns another link")
                : (situation.HasEntry ? PacketFate.Admitted : PacketFate.Passed, "its mark is trusted");
        }

        if (!situation.HasEntry)
        {
            return Untracked(route, situation, tuple, point, SituationPackets.NeighbourTo);
        }

        if (route.FromHost && situation.Reply && !IsForHost(oracle.Settings, tuple.Reversed))
        {
            return (PacketFate.Dropped, "the host offers no such service any more");
        }

        if (Opens(situation, tuple, point, facts.Adopting.Contains(receiver.Id)) is string fault)
        {
            return (PacketFate.Dropped, fault);
        }

        if (IsDhcp(tuple, client: false) && (route.FromHost
            || oracle.Settings.DhcpServers.Any(server => server.Contains(tuple.Family, tuple.Source))))
        {
            return (PacketFate.Admitted, "an answer of a DHCP server");
        }

        bool own = Owns(receiver, tuple.Family, tuple.Destination);
        PolicyVerdict verdict = Judge(
            oracle, receiver, situation, situation.Reply ? Direction.Egress : Direction.Ingress, tuple);
        return own && verdict.Accepted
            ? (PacketFate.Admitted, $"{receiver.Id}: {verdict}")
            : (PacketFate.Dropped, own ? $"{receiver.Id}: {verdict}" : $"{receiver.Id}: not one of its addresses");
    }

    // The session's own direction decides, whichever way the packet travels.
    private static PolicyVerdict Judge(
        PolicyOracle oracle, Vnic vnic, Situation situation, Direction direction, PacketTuple tuple)
    {
        PacketTuple session = situation.Reply ? tuple.Reversed : tuple;
        return oracle.JudgeSession(vnic, direction, session, new PacketContext(Untrusted(oracle.Settings)));
    }

    private static uint Untrusted(PolicySettings settings)
    {
        uint mark = 0;
        while (settings.TrustedMarks.Contains(mark))
        {
            mark++;
        }

        return mark;
    }

    private static string? Opens(Situation situation, PacketTuple tuple, PacketPoint point, bool adopting)
    {
        const TcpFlags Asked = TcpFlags.Fin | TcpFlags.Syn | TcpFlags.Rst | TcpFlags.Ack;
        return situation.State == CtState.Related && tuple.Protocol is IpProtocol.Icmp or IpProtocol.Icmpv6
            ? "an ICMP message of no live session"
            : situation.State is CtState.New or CtState.Related && tuple.Protocol == IpProtocol.Tcp && !adopting
                && ((TcpFlags)point.Flags & Asked) != TcpFlags.Syn
            ? "no session starts in mid-stream" : null;
    }

    private static bool Owns(Vnic vnic, IpFamily family, UInt128 address) =>
        !vnic.SourceDestinationCheck
        || vnic.Addresses.Concat(vnic.DelegatedPrefixes).Any(prefix => prefix.Contains(family, address))
        || (family == IpFamily.V6 && address == PolicyOracle.LinkLocal(vnic.Mac));

    private static bool IsClosed(ProofFacts facts, Route route) => route.Beyond == Beyond.Closed
        || (route.Receiver is Vnic receiver
            && (facts.Closed.Contains(receiver.Id) || receiver.VpcId != route.Sender!.VpcId));

    // What concerns one link is never routed.
    private static (PacketFate Fate, string Why) Untracked(
        Route route, Situation situation, PacketTuple tuple, PacketPoint point, ImmutableArray<byte> types) =>
        (route.Hook != NftHook.Forward || route.IsLink) && !route.IsFromAnotherVpc
            && (situation.State == CtState.Untracked || (route.IsUntold && route.Sender is null))
            && tuple is { Family: IpFamily.V6, Protocol: IpProtocol.Icmpv6 }
            && point.Transport >= TransportSize.Of(1) && types.Contains((byte)(point.Source >> 8))
            ? (PacketFate.Passed, "neighbour discovery")
            : (PacketFate.Dropped, "it is of no session");

    private static bool IsDhcp(PacketTuple tuple, bool client)
    {
        (ushort source, ushort destination) = client
            ? (tuple.SourcePort, tuple.DestinationPort) : (tuple.DestinationPort, tuple.SourcePort);
        return tuple.Protocol == IpProtocol.Udp && (source, destination) is (68, 67) or (546, 547);
    }

    private static bool AsksForAddress(PacketTuple tuple) => tuple.Protocol == IpProtocol.Udp
        && (tuple.SourcePort, tuple.DestinationPort) == (tuple.Family == IpFamily.V4 ? (68, 67) : (546, 547));

    private static bool IsForDhcpServers(PolicySettings settings, PacketTuple tuple) =>
        (tuple.Family == IpFamily.V4 ? tuple.Destination == uint.MaxValue
            : tuple.Destination == IpPrefix.Parse("ff02::1:2").First)
        || settings.DhcpServers.Any(server => server.Contains(tuple.Family, tuple.Destination));

    private static bool IsForHost(PolicySettings settings, PacketTuple tuple) =>
        IsDhcp(tuple, client: true)
        || settings.MetadataAddresses.Any(prefix => prefix.Contains(tuple.Family, tuple.Destination))
        || settings.HostServices.Any(service => service.Protocol == tuple.Protocol
            && (service.Port is null || service.Port == tuple.DestinationPort)
            && (service.Address is null || service.Address.Value.Contains(tuple.Family, tuple.Destination)));
}
