using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// Stateless checks on what a guest sends, at its device, before anything else sees it (semantics.md 5.4).
/// </summary>
internal static class VnicGuard
{
    private const ushort EtherTypeIpv4 = 0x0800;
    private const ushort EtherTypeIpv6 = 0x86dd;

    /// <summary>Before every other user of the netdev ingress hook.</summary>
    private const int Priority = -500;

    public static string ChainName(Vnic vnic) => $"guard_{Names.OfInterface(vnic.InterfaceName)}";

    public static string CounterName(Vnic vnic, string kind) => $"spoof_{kind}_{Names.OfInterface(vnic.InterfaceName)}";

    public static IEnumerable<NftObject> Objects(Vnic vnic) =>
        [new NftObject.Counter(CounterName(vnic, "ip4")), new NftObject.Counter(CounterName(vnic, "ip6"))];

    public static NftChain Chain(Vnic vnic)
    {
        var rules = new List<NftRule>();
        if (vnic.SourceDestinationCheck)
        {
            rules.AddRange(AddressRules(vnic, IpFamily.V4, EtherTypeIpv4));
            rules.AddRange(AddressRules(vnic, IpFamily.V6, EtherTypeIpv6));
        }

        return new NftChain(
            ChainName(vnic), new BaseHook(NftHook.Ingress, Priority, vnic.InterfaceName), rules.ToValueArray());
    }

    private static IEnumerable<NftRule> AddressRules(Vnic vnic, IpFamily family, ushort etherType)
    {
        IEnumerable<NftExpr> ofFamily = Exprs.EtherType(etherType);
        foreach (IpPrefix own in Own(vnic, family))
        {
            yield return Exprs.Rule(ofFamily, Exprs.AddressIn(own, source: true), Exprs.Accept());
        }

        // A guest without an address yet: DHCP (RFC 2131), duplicate address detection and MLD (RFC 4862, RFC 3590).
        IpPrefix unspecified = IpPrefix.Host(family, 0);
        if (family == IpFamily.V4)
        {
            yield return Exprs.Rule(ofFamily, Exprs.AddressIn(unspecified, source: true), Exprs.L4Proto(IpProtocol.Udp),
                Exprs.PortIs(source: true, 68), Exprs.PortIs(source: false, 67), Exprs.Accept());
        }
        else
        {
            yield return Exprs.Rule(
                ofFamily, Exprs.AddressIn(unspecified, source: true), Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.Accept());
        }

        string counter = CounterName(vnic, family == IpFamily.V4 ? "ip4" : "ip6");
        yield return Exprs.CommentedRule("not an own address", ofFamily, Exprs.CountIn(counter), Exprs.Drop());
    }

    private static IEnumerable<IpPrefix> Own(Vnic vnic, IpFamily family)
    {
        IEnumerable<IpPrefix> own = vnic.Addresses.Concat(vnic.DelegatedPrefixes)
            .Where(prefix => prefix.Family == family);
        return family == IpFamily.V6 ? own.Append(LinkLocal(vnic.Mac)).Distinct().Order() : own.Distinct().Order();
    }

    /// <summary>The modified EUI-64 link-local address of a MAC (RFC 4291 appendix A).</summary>
    internal static IpPrefix LinkLocal(MacAddress mac)
    {
        ulong high = mac.Bits >> 24 ^ 0x020000;
        ulong low = mac.Bits & 0xffffff;
        UInt128 interfaceId = (UInt128)high << 40 | 0xfffe000000ul | low;
        return IpPrefix.Host(IpFamily.V6, (UInt128)0xfe80 << 112 | interfaceId);
    }
}
