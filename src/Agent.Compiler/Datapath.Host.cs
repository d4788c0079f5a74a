using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <remarks>This host's own services, and DHCP, whoever serves it (datapath.md 5).</remarks>
internal sealed partial class Datapath
{
    /// <summary>
    /// What a guest asks to get its addresses: of everybody, of the servers that are named, and of this host. Anything
    /// wider would be a way out that no rule closes.
    /// </summary>
    /// <remarks>
    /// A bridge cannot tell a question to this host from one that will be routed; a client whose renewal is not
    /// answered asks everybody (RFC 2131 4.4.5, RFC 8415 18.2.5).
    /// </remarks>
    public IEnumerable<NftRule> DhcpClient(IEnumerable<NftExpr> then)
    {
        foreach ((IpFamily family, IpPrefix all, ushort client, ushort server) in
            ((IpFamily, IpPrefix, ushort, ushort)[])
            [(IpFamily.V4, IpPrefix.Parse("255.255.255.255"), 68, 67),
                (IpFamily.V6, IpPrefix.Parse("ff02::1:2"), 546, 547)])
        {
            NftExpr[] ports = [.. Exprs.L4Proto(IpProtocol.Udp), .. Exprs.PortIs(source: true, client),
                .. Exprs.PortIs(source: false, server)];
            foreach (IpPrefix to in policy.DhcpServers.Where(one => one.Family == family).Prepend(all))
            {
                yield return Exprs.CommentedRule("DHCP client",
                    Exprs.Family(family), Exprs.AddressIn(to, source: false), ports, then);
            }

            if (!layer.IsBridge)
            {
                yield return Exprs.CommentedRule(
                    "DHCP client of this host", Exprs.HasNoOutgoing(), Exprs.Family(family), ports, then);
            }
        }
    }

    private NftChain DhcpChain() => Regular(DhcpTo,
    [
        layer.IsBridge
            ? Exprs.CommentedRule("this host", Exprs.MarkIs(Decision.HostAnswer), Exprs.Goto(Admit))
            : Exprs.CommentedRule("this host", Exprs.HasNoIncoming(), Exprs.Goto(Admit)),
        .. policy.DhcpServers.Select(server => Exprs.Rule(
            Exprs.Family(server.Family), Exprs.AddressIn(server, source: true), Exprs.Goto(Admit))),
    ]);

    // Behind a bridge nobody can tell an answer of this host from one that it merely routes.
    private IEnumerable<NftRule> HostAnswers()
    {
        foreach (uint mark in layer.Bridged ? policy.TrustedMarks : [])
        {
            yield return Exprs.CommentedRule("trusted mark", Exprs.MarkIs(mark), Exprs.Accept());
        }

        foreach ((ushort from, ushort to) in layer.Bridged ? ((ushort, ushort)[])[(67, 68), (547, 546)] : [])
        {
            yield return Exprs.CommentedRule("DHCP answer of this host", Exprs.L4Proto(IpProtocol.Udp),
                Exprs.PortIs(source: true, from), Exprs.PortIs(source: false, to),
                Exprs.InterfaceIn(incoming: false, BridgeSet), Exprs.MarkSet(Decision.HostAnswer));
        }
    }

    private IEnumerable<NftChain> HostChains()
    {
        if (layer.IsBridge)
        {
            yield break;
        }

        yield return Regular(HostGate,
        [
            Exprs.CommentedRule("the host asked", Exprs.CtDirection(reply: true), Exprs.Goto(Admit)),
            .. HostServices(reply: false, Exprs.Goto(Admit)),
            Exprs.Rule(Exprs.Goto(DropFrom(DropReason.Host))),
        ]);
        yield return Regular(HostReplies,
        [
            .. policy.TrustedMarks.Select(mark =>
                Exprs.CommentedRule("trusted mark", Exprs.MarkIs(mark), Exprs.Return())),
            .. HostServices(reply: true, Exprs.Return()),
            .. CountedTo(DropReason.Stale, "of a service that is closed"),
            .. layer.Bridged // a session that nobody has judged yet is none to revive either
                ? [Exprs.Rule(
                    Exprs.InterfaceIn(incoming: false, BridgeSet), Exprs.MarkSet(Decision.HostUnserved))]
                : Array.Empty<NftRule>(),
        ]);
    }

    // A reply is asked the same with its ends exchanged: a host that goes on talking must not revive what is closed.
    public IEnumerable<NftRule> HostServices(bool reply, IEnumerable<NftExpr> open)
    {
        yield return Exprs.CommentedRule("DHCP server", Exprs.L4Proto(IpProtocol.Udp),
            Exprs.PortIs(source: !reply, 68), Exprs.PortIs(source: reply, 67), open);
        yield return Exprs.CommentedRule("DHCPv6 server", Exprs.L4Proto(IpProtocol.Udp),
            Exprs.PortIs(source: !reply, 546), Exprs.PortIs(source: reply, 547), open);
        foreach (IpPrefix address in policy.MetadataAddresses)
        {
            yield return Exprs.CommentedRule("metadata", Exprs.Family(address.Family),
                Exprs.AddressIn(address, source: reply), open);
        }

        foreach (HostService service in policy.HostServices)
        {
            IEnumerable<NftExpr> port = service.Port is ushort number ? Exprs.PortIs(source: reply, number) : [];
            IEnumerable<NftExpr> at = service.Address is IpPrefix address
                ? [.. Exprs.Family(address.Family), .. Exprs.AddressIn(address, source: reply)] : [];
            yield return Exprs.CommentedRule("host service", at, Exprs.L4Proto(service.Protocol), port, open);
        }
    }
}
