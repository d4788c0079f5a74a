using System.Collections.Immutable;
using Agent.Policy;
using static Agent.Evaluator.Guards.FrameCondition;

namespace Agent.Evaluator.Guards;

/// <summary>
/// What should become of all frames of a shape that a guest sends: <see cref="GuardOracle"/> as conditions.
/// </summary>
/// <remarks>The first clause that holds decides; the last one always does. Tests compare the two.</remarks>
internal sealed class GuardExpectation
{
    private const int OptionBytes = 8;
    private const int SolicitationBytes = 24;
    private const int RouterSolicitationBytes = 8;

    private static readonly FrameSet Extensions = FrameSet.Of(1, FrameShape.HopByHop, FrameShape.Routing,
        FrameShape.Fragment, FrameShape.DestinationOptions);

    private readonly bool check;
    private readonly byte[] mac;
    private readonly FrameSet own4;
    private readonly FrameSet own6;

    public GuardExpectation(Vnic vnic)
    {
        check = vnic.SourceDestinationCheck;
        mac = vnic.Mac.ToBytes();
        own4 = SetOf(PolicyOracle.OwnAddressesOf(vnic, IpFamily.V4), 4);
        own6 = SetOf(PolicyOracle.OwnAddressesOf(vnic, IpFamily.V6), 16);
    }

    public ImmutableArray<FrameClause> Of(FrameShape shape)
    {
        var wrong = new FrameClause(
            !new One(new FrameTest(new FrameSlice(FramePart.Link, 6, 6), FrameSet.Of(6, GuardReader.Number(mac)))),
            FrameFault.Mac);
        return shape.IsTagged ? [wrong, Else(FrameFault.EtherType)] : shape.EtherType switch
        {
            FrameShape.Ipv4 => [wrong, .. Ipv4(shape)],
            FrameShape.Ipv6 => [wrong, .. Ipv6(shape)],
            FrameShape.Arp => [wrong, new FrameClause(Arp(), null), Else(FrameFault.Arp)],
            _ => [wrong, Else(FrameFault.EtherType)],
        };
    }

    private static FrameSet SetOf(AddressSet addresses, int width) => FrameSet.Union(
        width, Enumerable.Range(0, addresses.Count).Select(i => addresses[i]));

    private static FrameClause Else(FrameFault? fault) => new(Always, fault);

    private FrameCondition Arp()
    {
        FrameCondition sender = Network(14, check ? own4 : FrameSet.All(4));
        FrameCondition nobody = Network(14, FrameSet.Of(4, 0));
        return All(
            Network(0, FrameSet.Of(2, 1)), Network(2, FrameSet.Of(2, FrameShape.Ipv4)), Network(4, FrameSet.Of(1, 6)),
            Network(5, FrameSet.Of(1, 4)), Network(8, FrameSet.Of(6, GuardReader.Number(mac))),
            Network(24, FrameSet.Of(4, uint.MaxValue).Complement()),
            Any(
                All(Network(6, FrameSet.Of(2, 1)), Any(sender, nobody)),
                All(Network(6, FrameSet.Of(2, 2)), sender, !nobody)));
    }

    private IEnumerable<FrameClause> Ipv4(FrameShape shape)
    {
        if (shape.Protocol is not FrameSlice protocol)
        {
            yield return Else(FrameFault.Ip4);
            yield break;
        }

        if (check)
        {
            yield return new FrameClause(All(
                !Network(12, own4), Network(12, FrameSet.Of(4, 0)), Network(6, FrameSet.Masked(2, 0x3fff, 0)!),
                Is(protocol, IpProtocol.Udp), Upper(shape, 0, FrameSet.Of(2, 68)), Upper(shape, 2, FrameSet.Of(2, 67))),
                null);
            yield return new FrameClause(!Network(12, own4), FrameFault.Ip4);
        }

        if (shape.IsLater)
        {
            yield return Else(null);
            yield break;
        }

        FrameCondition icmp = Is(protocol, IpProtocol.Icmp);
        yield return new FrameClause(All(icmp, Upper(shape, 0, FrameSet.Of(1, 5))), FrameFault.Redirect);
        yield return new FrameClause(All(icmp, Upper(shape, 0, FrameSet.Of(1, 9))), FrameFault.RouterAdvertisement);
        yield return new FrameClause(All(icmp, !Upper(shape, 0, FrameSet.All(1))), FrameFault.Ip4);
        foreach (FrameClause clause in Dhcp(shape, Is(protocol, IpProtocol.Udp), 67, 68, FrameFault.Ip4))
        {
            yield return clause;
        }

        yield return Else(null);
    }

    private IEnumerable<FrameClause> Ipv6(FrameShape shape)
    {
        FrameCondition own = check ? Network(8, own6) : Always;
        if (check)
        {
            foreach (FrameClause clause in WithoutAddress(shape, All(!own, Network(8, FrameSet.Of(16, 0)))))
            {
                yield return clause;
            }

            yield return new FrameClause(!own, FrameFault.Ip6);
        }

        yield return new FrameClause(All(
            Network(6, FrameSet.Of(1, FrameShape.Fragment)), Network(42, FrameSet.Masked(2, 0xfff8, 0)!.Complement())),
            null);
        if (shape.Protocol is not FrameSlice protocol)
        {
            yield return Else(FrameFault.Ip6);
            yield break;
        }

        yield return new FrameClause(All(Network(6, Extensions), Network(40, Extensions)), FrameFault.Ip6);
        if (check)
        {
            yield return new FrameClause(Network(6, FrameSet.Of(1, FrameShape.Routing)), FrameFault.Ip6);
        }

        foreach (FrameClause clause in Icmpv6(shape, Is(protocol, IpProtocol.Icmpv6))
            .Concat(Dhcp(shape, Is(protocol, IpProtocol.Udp), 547, 546, FrameFault.Ip6)))
        {
            yield return clause;
        }

        yield return Else(null);
    }

    private IEnumerable<FrameClause> WithoutAddress(FrameShape shape, FrameCondition nobody)
    {
        if (shape.Protocol is FrameSlice protocol && !shape.IsLater)
        {
            FrameCondition message = All(nobody, Is(protocol, IpProtocol.Icmpv6));
            FrameCondition solicitation = All(message, Upper(shape, 0, FrameSet.Of(1, 135)));
            FrameCondition router = All(message, Upper(shape, 0, FrameSet.Of(1, 133)));
            yield return new FrameClause(All(
                solicitation, Direct(shape), Upper(shape, 8, own6),
                Any(Payload(SolicitationBytes), WithOption(shape, SolicitationBytes, [14, 1]))), null);
            yield return new FrameClause(All(router, Direct(shape), Payload(RouterSolicitationBytes)), null);
            yield return new FrameClause(Any(solicitation, router), FrameFault.NeighbourDiscovery);
            yield return new FrameClause(All(
                message, Network(6, FrameSet.Of(1, FrameShape.HopByHop)),
                Network(40, FrameSet.Of(1, IpProtocol.Icmpv6)), Upper(shape, 0, FrameSet.Of(1, 131, 132, 143))), null);
        }
    }

    private IEnumerable<FrameClause> Icmpv6(FrameShape shape, FrameCondition icmp)
    {
        FrameCondition Type(byte type) => All(icmp, Upper(shape, 0, FrameSet.Of(1, type)));
        byte[] mine = [1, 1, .. mac];
        FrameCondition solicitation = Any(
            Payload(SolicitationBytes), WithOption(shape, SolicitationBytes, mine),
            check ? Never : WithOption(shape, SolicitationBytes, [14, 1]));
        FrameCondition advertisement = All(
            check ? Upper(shape, 8, own6) : Always,
            Any(Payload(SolicitationBytes), WithOption(shape, SolicitationBytes, [2, 1, .. mac])));
        FrameCondition router = Any(
            Payload(RouterSolicitationBytes), WithOption(shape, RouterSolicitationBytes, mine));
        yield return new FrameClause(All(icmp, !Upper(shape, 0, FrameSet.All(1))), FrameFault.Ip6);
        yield return new FrameClause(Type(134), FrameFault.RouterAdvertisement);
        yield return new FrameClause(Type(137), FrameFault.Redirect);
        foreach ((byte type, FrameCondition genuine) in ((byte, FrameCondition)[])
            [(135, solicitation), (136, advertisement), (133, router)])
        {
            yield return new FrameClause(All(Type(type), Direct(shape), genuine), null);
            yield return new FrameClause(Type(type), FrameFault.NeighbourDiscovery);
        }
    }

    private static IEnumerable<FrameClause> Dhcp(
        FrameShape shape, FrameCondition udp, ushort server, ushort client, FrameFault cut)
    {
        FrameCondition from = Upper(shape, 0, FrameSet.Of(2, server));
        FrameCondition other = Upper(shape, 2, FrameSet.Of(2, client).Complement());
        yield return new FrameClause(All(udp, !Upper(shape, 0, FrameSet.All(2))), cut);
        yield return new FrameClause(All(udp, from, !other), FrameFault.DhcpServer);
    }

    /// <summary>Nothing stands between the message and the IPv6 header.</summary>
    private static FrameCondition Direct(FrameShape shape) =>
        shape.Protocol is { Part: FramePart.Network, Offset: 6 } ? Always : Never;

    private static One Payload(int bytes) =>
        new(new FrameTest(FrameFields.PayloadLength, FrameSet.Of(2, (UInt128)bytes)));

    private static FrameCondition WithOption(FrameShape shape, int from, byte[] option) => All(
        Payload(from + OptionBytes), Upper(shape, from, FrameSet.Of(option.Length, GuardReader.Number(option))));

    private static One Is(FrameSlice slice, byte value) => new(new FrameTest(slice, FrameSet.Of(1, value)));

    /// <summary>Bytes of the network header that are there, and among some.</summary>
    private static FrameCondition Network(int offset, FrameSet values) =>
        Present(new FrameSlice(FramePart.Network, offset, values.Bytes), values);

    /// <summary>Likewise of the upper layer's header.</summary>
    private static FrameCondition Upper(FrameShape shape, int offset, FrameSet values) =>
        shape.Transport is int start && !shape.IsLater
            ? Present(new FrameSlice(FramePart.Network, start + offset, values.Bytes), values) : Never;

    private static FrameCondition Present(FrameSlice slice, FrameSet values) => All(
        new One(new FrameTest(
            FrameShape.SizeSlice, FrameSet.Between(4, (UInt128)slice.End, FrameShape.LengthMax))),
        new One(new FrameTest(slice, values)));
}
