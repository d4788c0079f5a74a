using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using Agent.Nftables;

namespace Agent.Tests.Nftables;

/// <summary>Rulesets with every expression and every kind of set: one list that all contract tests walk.</summary>
public static class Samples
{
    public const string Table = "sg_agent";

    public static readonly NftReg R0 = NftReg.R0;

    public static ValueArray<byte> Host(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        MemoryMarshal.Write(bytes, in value);
        return ValueArray.Create<byte>(bytes);
    }

    public static ValueArray<byte> Bytes(params byte[] bytes) => ValueArray.Create<byte>(bytes);

    public static ValueArray<byte> Name(string name)
    {
        byte[] bytes = new byte[16];
        Encoding.ASCII.GetBytes(name, bytes);
        return ValueArray.Create<byte>(bytes);
    }

    public static NftExpr.Meta L4Proto { get; } = new(NftMetaKey.L4Proto, R0);

    public static NftExpr[] IsTcp { get; } = [L4Proto, new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(6))];

    public static NftExpr[] IsV4 { get; } =
        [new NftExpr.Meta(NftMetaKey.NfProto, R0), new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(2))];

    public static NftExpr[] IsV6 { get; } =
        [new NftExpr.Meta(NftMetaKey.NfProto, R0), new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(10))];

    public static NftExpr Dport(byte word = 0) => new NftExpr.Payload(NftPayloadBase.Transport, 2, 2, new NftReg(word));

    /// <summary>
    /// What nft prints for a rule of an inet table, and the rule. The text's own rule is in the golden file.
    /// </summary>
    public static IEnumerable<(string Text, NftRule Rule)> InetRules() =>
    [
        .. VerdictsAndHeaders(), .. StatesAndMarks(), .. SetsAndLimits(), .. CompiledShapes(), .. Guards(),
        ("accept comment", Rule(new NftExpr.VerdictIs(NftVerdict.Accept)) with { Comment = "rule sgr-1: \u00e4 web" }),
    ];

    private static IEnumerable<(string Text, NftRule Rule)> VerdictsAndHeaders()
    {
        NftExpr accept = new NftExpr.VerdictIs(NftVerdict.Accept);
        NftExpr saddr = new NftExpr.Payload(NftPayloadBase.Network, 12, 4, R0);
        yield return ("accept", Rule(accept));
        yield return ("counter drop", Rule(new NftExpr.Counter(), new NftExpr.VerdictIs(NftVerdict.Drop)));
        yield return ("jump other", Rule(new NftExpr.VerdictIs(NftVerdict.Jump("other"))));
        yield return ("goto other", Rule(new NftExpr.VerdictIs(NftVerdict.Goto("other"))));
        yield return ("return", Rule(new NftExpr.VerdictIs(NftVerdict.Return)));
        yield return ("tcp dport 22 accept",
            Rule([.. IsTcp, Dport(), new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(0, 22)), accept]));
        yield return (
            "tcp dport 1000-2000 accept",
            Rule(
            [
                .. IsTcp, Dport(), new NftExpr.Cmp(R0, NftCmpOp.Gte, Bytes(0x03, 0xe8)),
                new NftExpr.Cmp(R0, NftCmpOp.Lte, Bytes(0x07, 0xd0)), accept,
            ]));
        yield return (
            "tcp dport != 1000-2000 accept",
            Rule([.. IsTcp, Dport(), new NftExpr.Range(R0, true, Bytes(0x03, 0xe8), Bytes(0x07, 0xd0)), accept]));
        yield return ("ip saddr 10.0.0.1 accept",
            Rule([.. IsV4, saddr, new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(10, 0, 0, 1)), accept]));
        yield return ("ip saddr != 10.0.0.0/8 accept", Rule([.. IsV4,
            new NftExpr.Payload(NftPayloadBase.Network, 12, 1, R0), new NftExpr.Cmp(R0, NftCmpOp.Neq, Bytes(10)),
            accept]));
        yield return ("ip saddr 10.16.0.0/12 accept", Rule([.. IsV4, saddr,
            new NftExpr.Bitwise(R0, R0, Bytes(255, 240, 0, 0), Bytes(0, 0, 0, 0)),
            new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(10, 16, 0, 0)), accept]));
        yield return ("ip6 saddr 2001:db8::1 accept",
            Rule([.. IsV6, new NftExpr.Payload(NftPayloadBase.Network, 8, 16, R0),
            new NftExpr.Cmp(
                R0, NftCmpOp.Eq, ValueArray.Create<byte>(IPAddress.Parse("2001:db8::1").GetAddressBytes())), accept]));
        yield return ("meta l4proto { }", Rule(L4Proto, new NftExpr.Lookup("protos", R0), accept));
    }

    private static IEnumerable<(string Text, NftRule Rule)> StatesAndMarks()
    {
        NftExpr accept = new NftExpr.VerdictIs(NftVerdict.Accept);
        NftExpr mark = new NftExpr.Meta(NftMetaKey.Mark, R0);
        yield return ("ct state established,related accept", Rule(new NftExpr.Ct(NftCtKey.State, R0),
            new NftExpr.Bitwise(R0, R0, Host(6), Host(0)), new NftExpr.Cmp(R0, NftCmpOp.Neq, Host(0)), accept));
        yield return ("ct state new accept", Rule(new NftExpr.Ct(NftCtKey.State, R0),
            new NftExpr.Bitwise(R0, R0, Host(8), Host(0)), new NftExpr.Cmp(R0, NftCmpOp.Neq, Host(0)), accept));
        yield return ("ct direction reply accept", Rule(new NftExpr.Ct(NftCtKey.Direction, R0),
            new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(1)), accept));
        yield return ("ct mark & 0xffff0000 == 0x00120000 accept", Rule(new NftExpr.Ct(NftCtKey.Mark, R0),
            new NftExpr.Bitwise(R0, R0, Host(0xffff0000), Host(0)), new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(0x120000)),
            accept));
        yield return ("ct mark set ct mark & 0xffff0000 | 0x12", Rule(new NftExpr.Ct(NftCtKey.Mark, R0),
            new NftExpr.Bitwise(R0, R0, Host(0xffff0000), Host(0x12)), new NftExpr.CtSet(NftCtKey.Mark, R0)));
        yield return ("ct mark set 0x12",
            Rule(new NftExpr.Immediate(R0, Host(0x12)), new NftExpr.CtSet(NftCtKey.Mark, R0)));
        yield return ("meta mark set 0x12",
            Rule(new NftExpr.Immediate(R0, Host(0x12)), new NftExpr.MetaSet(NftMetaKey.Mark, R0)));
        yield return ("meta mark 0x12 accept", Rule(mark, new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(0x12)), accept));
        yield return ("iifname \"eth0\" accept", Rule(new NftExpr.Meta(NftMetaKey.IifName, R0),
            new NftExpr.Cmp(R0, NftCmpOp.Eq, Name("eth0")), accept));
        yield return ("iifname vmap @dispatch", Rule(new NftExpr.Meta(NftMetaKey.IifName, R0),
            new NftExpr.LookupVerdict("dispatch", R0)));
    }

    private static IEnumerable<(string Text, NftRule Rule)> SetsAndLimits()
    {
        NftExpr accept = new NftExpr.VerdictIs(NftVerdict.Accept);
        NftExpr mark = new NftExpr.Meta(NftMetaKey.Mark, R0);
        NftExpr saddr = new NftExpr.Payload(NftPayloadBase.Network, 12, 4, R0);
        yield return ("meta mark set ip saddr map @classes", Rule([.. IsV4, saddr,
            new NftExpr.LookupData("classes", R0, R0), new NftExpr.MetaSet(NftMetaKey.Mark, R0)]));
        yield return ("meta mark set ip saddr map @ranges", Rule([.. IsV4, saddr,
            new NftExpr.LookupData("ranges", R0, R0), new NftExpr.MetaSet(NftMetaKey.Mark, R0)]));
        yield return ("ct zone set iifname map @zones", Rule(new NftExpr.Meta(NftMetaKey.IifName, R0),
            new NftExpr.LookupData("zones", R0, R0), new NftExpr.CtSet(NftCtKey.Zone, R0)));
        yield return ("counter name iifname map @drops", Rule(new NftExpr.Meta(NftMetaKey.IifName, R0),
            new NftExpr.ObjectMap("drops", R0)));
        yield return ("counter name \"total\"", Rule(new NftExpr.ObjectRef(1, "total")));
        yield return ("ct timeout set \"patient\"", Rule([.. IsTcp, new NftExpr.ObjectRef(7, "patient")]));
        yield return ("meta mark . meta l4proto . th dport @cells accept", Rule(mark,
            new NftExpr.Meta(NftMetaKey.L4Proto, new NftReg(1)), Dport(2), new NftExpr.Lookup("cells", R0), accept));
        yield return ("ip6 saddr . meta l4proto . th dport @six accept", Rule([.. IsV6,
            new NftExpr.Payload(NftPayloadBase.Network, 8, 16, R0), new NftExpr.Meta(NftMetaKey.L4Proto, new NftReg(4)),
            Dport(5), new NftExpr.Lookup("six", R0), accept]));
        yield return ("ip saddr . meta l4proto . th dport @boxes accept", Rule([.. IsV4, saddr,
            new NftExpr.Meta(NftMetaKey.L4Proto, new NftReg(1)), Dport(2), new NftExpr.Lookup("boxes", R0), accept]));
        yield return ("iifname . ether saddr . ip saddr != @bindings drop", Rule([.. IsV4,
            new NftExpr.Meta(NftMetaKey.IifName, R0),
            new NftExpr.Payload(NftPayloadBase.LinkLayer, 6, 6, new NftReg(4)),
            new NftExpr.Payload(NftPayloadBase.Network, 12, 4, new NftReg(6)), new NftExpr.Lookup("bindings", R0, true),
            new NftExpr.VerdictIs(NftVerdict.Drop)]));
        yield return ("limit rate 10/second burst 5 packets accept",
            Rule(new NftExpr.Limit(10, 1, 5, NftLimitType.Packets, false), accept));
        yield return ("limit rate over 10 mbytes/minute burst 20 mbytes drop", Rule(
            new NftExpr.Limit(10 << 20, 60, 20 << 20, NftLimitType.Bytes, true),
            new NftExpr.VerdictIs(NftVerdict.Drop)));
        yield return ("log prefix \"sg drop\" group 5 snaplen 128 queue-threshold 64",
            Rule(new NftExpr.Log(5, "sg drop", 128, 64)));
        yield return ("iifname @rates log prefix \"sg from rule\" group 1789", Rule(
            new NftExpr.Meta(NftMetaKey.IifName, R0), new NftExpr.Lookup("rates", R0),
            new NftExpr.Log(1789, "sg from rule", 0, 0)));
        yield return ("oifname != @rates limit rate 10/second burst 20 packets log prefix \"sg to closed\" group 1789",
            Rule(new NftExpr.Meta(NftMetaKey.OifName, R0), new NftExpr.Lookup("rates", R0, true),
                new NftExpr.Limit(10, 1, 20, NftLimitType.Packets, false),
                new NftExpr.Log(1789, "sg to closed", 0, 0)));
        yield return ("ct count over 100 drop",
            Rule(new NftExpr.ConnLimit(100, true), new NftExpr.VerdictIs(NftVerdict.Drop)));
        yield return ("notrack", Rule(new NftExpr.NoTrack()));
        yield return ("tcp flags & (fin|syn|rst|ack) != syn drop", Rule([.. IsTcp,
            new NftExpr.Payload(NftPayloadBase.Transport, 13, 1, R0),
            new NftExpr.Bitwise(R0, R0, Bytes(0x17), Bytes(0)),
            new NftExpr.Cmp(R0, NftCmpOp.Neq, Bytes(2)), new NftExpr.VerdictIs(NftVerdict.Drop)]));
    }

    /// <summary>What else the compiler writes, each expression in a rule that nft lowers to the same steps.</summary>
    // Where nft knows the field it looks at the device's type first, which costs every packet of a guard: ours do not.
    // Between two fields nft has no name either.
    private static IEnumerable<(string Text, NftRule Rule)> Guards()
    {
        NftExpr accept = new NftExpr.VerdictIs(NftVerdict.Accept);
        NftExpr two = new NftExpr.Payload(NftPayloadBase.LinkLayer, 1, 2, R0);
        NftExpr six = new NftExpr.Payload(NftPayloadBase.LinkLayer, 1, 6, R0);
        NftExpr eight = new NftExpr.Payload(NftPayloadBase.LinkLayer, 1, 8, R0);
        NftExpr other = new NftExpr.VerdictIs(NftVerdict.Goto("other"));
        yield return ("iif 0 goto other", Rule(
            new NftExpr.Meta(NftMetaKey.Iif, R0), new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(0)), other));
        yield return ("ct count over 16384 goto other", Rule(new NftExpr.ConnLimit(16384, Over: true), other));
        yield return ("ct status ! confirmed accept", Rule(
            new NftExpr.Ct(NftCtKey.Status, R0), new NftExpr.Bitwise(R0, R0, Host(8), Host(0)),
            new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(0)), accept));
        yield return ("@ll,8,16 != 0x1234 accept", Rule(
            two, new NftExpr.Cmp(R0, NftCmpOp.Neq, Bytes(0x12, 0x34)), accept));
        yield return ("@ll,8,16 & 0x1fff != 0x1234 accept", Rule(
            two, new NftExpr.Bitwise(R0, R0, Bytes(0x1f, 0xff), Bytes(0, 0)),
            new NftExpr.Cmp(R0, NftCmpOp.Neq, Bytes(0x12, 0x34)), accept));
        yield return ("@ll,8,48 0x20000000003 accept", Rule(
            six, new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(2, 0, 0, 0, 0, 3)), accept));
        yield return ("@ll,8,48 != 0x20000000003 accept", Rule(
            six, new NftExpr.Cmp(R0, NftCmpOp.Neq, Bytes(2, 0, 0, 0, 0, 3)), accept));
        yield return ("@ll,8,64 0x200000000030004 accept", Rule(
            eight, new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(2, 0, 0, 0, 0, 3, 0, 4)), accept));
        yield return ("ip6 saddr != 2001:db8::1 accept", Rule(
            [
                .. IsV6, new NftExpr.Payload(NftPayloadBase.Network, 8, 16, R0),
                new NftExpr.Cmp(R0, NftCmpOp.Neq, Bytes(IPAddress.Parse("2001:db8::1").GetAddressBytes())), accept,
            ]));
    }

    private static IEnumerable<(string Text, NftRule Rule)> CompiledShapes()
    {
        NftExpr accept = new NftExpr.VerdictIs(NftVerdict.Accept);
        NftExpr other = new NftExpr.VerdictIs(NftVerdict.Goto("other"));
        NftExpr mark = new NftExpr.Meta(NftMetaKey.Mark, R0);
        NftExpr iif = new NftExpr.Meta(NftMetaKey.IifName, R0);
        NftExpr oif = new NftExpr.Meta(NftMetaKey.OifName, R0);
        NftExpr setMark = new NftExpr.MetaSet(NftMetaKey.Mark, R0);
        NftExpr bigEndian = new NftExpr.ByteOrder(R0, R0, ToNetwork: true, Length: 4, Size: 4);
        yield return ("iifname \"tap*\" goto other",
            Rule(iif, new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes("tap"u8.ToArray())), other));
        yield return ("oifname \"tap*\" goto other",
            Rule(oif, new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes("tap"u8.ToArray())), other));
        yield return ("oifname \"eth0\" accept", Rule(oif, new NftExpr.Cmp(R0, NftCmpOp.Eq, Name("eth0")), accept));
        yield return ("oifname vmap @dispatch", Rule(oif, new NftExpr.LookupVerdict("dispatch", R0)));
        yield return ("iifname @names drop",
            Rule(iif, new NftExpr.Lookup("names", R0), new NftExpr.VerdictIs(NftVerdict.Drop)));
        yield return ("oif 0 goto other", Rule(
            new NftExpr.Meta(NftMetaKey.Oif, R0), new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(0)), other));
        yield return ("meta protocol ip accept", Rule(
            new NftExpr.Meta(NftMetaKey.Protocol, R0), new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(8, 0)), accept));
        yield return ("tcp sport 68 accept", Rule(
            [.. IsTcp, Transport(0, 0), new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(0, 68)), accept]));
        yield return ("icmp type 3 accept", Rule([.. IsV4, L4Proto, new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(1)),
            new NftExpr.Payload(NftPayloadBase.Transport, 0, 1, R0), new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(3)),
            accept]));
        yield return ("ip daddr 10.16.0.0/12 accept", Rule([.. IsV4, Address(IpV4, source: false),
            new NftExpr.Bitwise(R0, R0, Bytes(255, 240, 0, 0), Bytes(0, 0, 0, 0)),
            new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(10, 16, 0, 0)), accept]));
        foreach (bool source in (bool[])[true, false])
        {
            byte[] mask = [.. Enumerable.Repeat((byte)255, 6), 240, .. new byte[9]];
            yield return ("ip6 saddr, daddr 2001:db8:0:1000::/52 accept", Rule([.. IsV6, Address(IpV6, source),
                new NftExpr.Bitwise(R0, R0, Bytes(mask), Bytes(new byte[16])),
                new NftExpr.Cmp(R0, NftCmpOp.Eq, Bytes(IPAddress.Parse("2001:db8:0:1000::").GetAddressBytes())),
                accept]));
        }

        yield return ("meta mark & 0x10000000 == 0x10000000 return", Rule(mark,
            new NftExpr.Bitwise(R0, R0, Host(0x10000000), Host(0)), new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(0x10000000)),
            new NftExpr.VerdictIs(NftVerdict.Return)));
        yield return ("meta mark set meta mark map @answers",
            Rule(mark, new NftExpr.LookupData("answers", R0, R0), setMark));
        yield return ("meta mark . meta l4proto . th dport . th sport @flows accept", Rule(
            mark, new NftExpr.Meta(NftMetaKey.L4Proto, new NftReg(1)), Transport(2, 2), Transport(0, 3),
            new NftExpr.Lookup("flows", R0), accept));
        yield return ("meta mark . meta l4proto . th sport . th dport @flows accept", Rule(
            mark, new NftExpr.Meta(NftMetaKey.L4Proto, new NftReg(1)), Transport(0, 2), Transport(2, 3),
            new NftExpr.Lookup("flows", R0), accept));

        // nft turns every host-order field of an interval key, also a protocol of one byte, where it changes nothing.
        // The compiler leaves that step out; it is here by maps without a protocol.
        foreach (bool source in (bool[])[true, false])
        {
            yield return ("meta mark set meta mark . ip saddr, daddr map @own4", Rule([.. IsV4, mark, bigEndian,
                Address(IpV4, source, 1), new NftExpr.LookupData("own4", R0, R0), setMark]));
            yield return ("meta mark set meta mark . ip6 saddr, daddr map @own6", Rule([.. IsV6, mark, bigEndian,
                Address(IpV6, source, 1), new NftExpr.LookupData("own6", R0, R0), setMark]));
        }
    }

    private const bool IpV4 = false;
    private const bool IpV6 = true;

    private static NftExpr.Payload Address(bool v6, bool source, byte word = 0) => v6
        ? new NftExpr.Payload(NftPayloadBase.Network, source ? 8u : 24u, 16, new NftReg(word))
        : new NftExpr.Payload(NftPayloadBase.Network, source ? 12u : 16u, 4, new NftReg(word));

    private static NftExpr.Payload Transport(uint at, byte word) =>
        new(NftPayloadBase.Transport, at, 2, new NftReg(word));

    public static NftRule Rule(params IEnumerable<NftExpr> exprs) => new(exprs.ToValueArray());

    /// <summary>Every kind of set, in name order.</summary>
    public static NftSet[] Sets()
    {
        NftType[] ip = [NftType.Ipv4Addr];
        NftType[] name = [NftType.IfName];
        return
        [
            Set("answers", [NftType.Mark], false, NftSetKind.MarkMap, null, true, Row(Host(7), Host(0x10000001))),
            Set("bindings", [NftType.IfName, NftType.EtherAddr, NftType.Ipv4Addr], false, NftSetKind.Set, 64, false,
                Row(Name("eth0"), Bytes(2, 0, 0, 0, 0, 1, 0, 0), Bytes(10, 0, 0, 1))),
            Set("boxes", [NftType.Ipv4Addr, NftType.InetProto, NftType.InetService], true, NftSetKind.Set, null, true,
                Row(Bytes(10, 0, 0, 0, 6, 0, 0, 0, 0, 80, 0, 0), Bytes(10, 0, 0, 255, 6, 0, 0, 0, 0, 90, 0, 0)),
                Row(Bytes(10, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0), Bytes(10, 0, 1, 7, 6, 0, 0, 0, 0xff, 0xff, 0, 0))),
            Set("cells", [NftType.Mark, NftType.InetProto, NftType.InetService], false, NftSetKind.Set, 1024, true,
                Row(Host(7), Bytes(6, 0, 0, 0, 0, 80, 0, 0)), Row(Host(0x10007), Bytes(17, 0, 0, 0, 0, 53, 0, 0))),
            Set("classes", ip, false, NftSetKind.MarkMap, 65536, false, Row(Bytes(10, 0, 0, 1), Host(7)),
                Row(Bytes(10, 0, 0, 2), Host(9))),
            Set("dispatch", name, false, NftSetKind.VerdictMap, 16, false,
                Row(Name("eth0"), Verdict(NftVerdict.Goto("other"))), Row(Name("eth1"), Verdict(NftVerdict.Drop))),
            Set("drops", name, false, NftSetKind.CounterMap, null, false, Row(Name("eth0"), Field("total"))),
            Set("flows", [NftType.Mark, NftType.InetProto, NftType.InetService, NftType.InetService], false,
                NftSetKind.Set, null, false,
                Row(Host(7), Bytes(6, 0, 0, 0, 0, 80, 0, 0, 1, 2, 0, 0))),
            Set("names", name, false, NftSetKind.Set, null, true, Row(Name("eth0"))),
            Set("own4", [NftType.Mark, NftType.Ipv4Addr], true, NftSetKind.MarkMap, null, true),
            Set("own6", [NftType.Mark, NftType.Ipv6Addr], true, NftSetKind.MarkMap, null, true),
            Set("protos", [NftType.InetProto], false, NftSetKind.Set, null, false, Row(Bytes(6)), Row(Bytes(17))),
            Set("ranges", ip, true, NftSetKind.MarkMap, null, false,
                Row(Bytes(10, 0, 0, 0), Bytes(10, 255, 255, 255), Host(1)),
                Row(Bytes(11, 0, 0, 0), Bytes(11, 0, 0, 0), Host(2)),
                Row(Bytes(11, 0, 0, 1), Bytes(11, 0, 0, 9), Host(1)),
                Row(Bytes(192, 0, 0, 0), Bytes(255, 255, 255, 255), Host(3))),
            Set("rates", name, false, NftSetKind.Set, null, false, Row(Name("eth0"))) with
            {
                Limit = new NftExpr.Limit(10, 1, 20, NftLimitType.Packets, false),
            },
            Set("runs", [NftType.Mark, NftType.InetProto, NftType.InetService], true, NftSetKind.Set, null, false,
                Row(Host(7), Bytes(6, 0, 0, 0, 0, 80, 0, 0), Host(7), Bytes(6, 0, 0, 0, 0, 90, 0, 0))),
            Set("six", [NftType.Ipv6Addr, NftType.InetProto, NftType.InetService], false, NftSetKind.Set, null, false,
                Row(Bytes(IPAddress.Parse("2001:db8::1").GetAddressBytes()), Bytes(6, 0, 0, 0, 1, 187, 0, 0))),
            Set("six_ranges", [NftType.Ipv6Addr], true, NftSetKind.Set, null, false,
                Row(Bytes(IPAddress.Parse("2001:db8::").GetAddressBytes()),
                    Bytes(IPAddress.Parse("2001:db8::ffff").GetAddressBytes()))),
            Set("zones", name, false, NftSetKind.ZoneMap, null, false, Row(Name("eth0"), Zone(77)),
                Row(Name("eth1"), Zone(4097))),
        ];
    }

    public static NftObject[] Objects() =>
    [
        new NftObject.CtTimeout(
            "patient", 2, 6, Enumerable.Range(1, 11).Select(i => new CtTimeoutValue((byte)i, (uint)i * 10))
                .ToValueArray()),
        new NftObject.Counter("total"),
    ];

    public static Ruleset Everything()
    {
        NftChain forward = new(
            "forward", new BaseHook(NftHook.Forward, -5), InetRules().Select(one => one.Rule).ToValueArray());
        NftChain other = new("other", null, [Rule(new NftExpr.VerdictIs(NftVerdict.Return))]);
        NftChain raw = new("raw", new BaseHook(NftHook.Prerouting, -300), []);
        NftTable inet = new(
            NftFamily.Inet, Table, [forward, other, raw], Sets().ToValueArray(), Objects().ToValueArray());
        NftTable netdev = new(NftFamily.Netdev, Table,
            [new NftChain(
                "in_lo", new BaseHook(NftHook.Ingress, -10, "lo"), [Rule(new NftExpr.VerdictIs(NftVerdict.Accept))])],
                    [], []);
        NftTable bridge = new(NftFamily.Bridge, Table,
            [new NftChain("pre", new BaseHook(NftHook.Prerouting, -300), [])], [], []);
        return new Ruleset([inet, netdev, bridge]);
    }

    /// <summary>Operations that build a ruleset: objects, sets, chains, elements, rules.</summary>
    public static List<NftOp> Build(Ruleset ruleset)
    {
        var ops = new List<NftOp>();
        foreach (NftTable t in ruleset.Tables)
        {
            ops.Add(new NftOp.AddTable(t.Family, t.Name));
            ops.AddRange(t.Objects.Select(one => new NftOp.AddObject(t.Family, t.Name, one)));
            ops.AddRange(t.Sets.Select(one => new NftOp.AddSet(t.Family, t.Name, one)));
            ops.AddRange(t.Chains.Select(one => new NftOp.AddChain(t.Family, t.Name, one.Name, one.Hook)));
            ops.AddRange(t.Sets.Select(one => new NftOp.AddElements(t.Family, t.Name, one, one.Elements)));
            ops.AddRange(
                t.Chains.SelectMany(
                    chain => chain.Rules.Select(rule => new NftOp.AddRule(t.Family, t.Name, chain.Name, rule))));
        }

        return ops;
    }

    public static NftSet Set(
        string name, NftType[] key, bool interval, NftSetKind kind, uint? size, bool counters, params byte[][] rows)
    {
        var fields = key.ToValueArray();
        var builder = new NftElements.Builder(NftElements.RowLength(fields, interval, kind));
        foreach (byte[] row in rows)
        {
            builder.Add(row);
        }

        return new NftSet(name, fields, interval, kind, size, counters, builder.Build());
    }

    /// <summary>IPv4 addresses (the first field of a key) from 10.0.0.0 on, every so many.</summary>
    /// <param name="set">Whose elements they are; those of ranges are as wide as said.</param>
    /// <param name="count">How many.</param>
    /// <param name="step">From one to the next.</param>
    /// <param name="width">Addresses of a range.</param>
    public static NftElements Addresses(NftSet set, int count, uint step = 1, uint width = 1)
    {
        var rows = new NftElements.Builder(set.RowBytes);
        for (uint i = 0; i < count; i++)
        {
            Span<byte> row = rows.Add();
            BinaryPrimitives.WriteUInt32BigEndian(row, 0x0a000000u + (i * step));
            if (set.Interval)
            {
                BinaryPrimitives.WriteUInt32BigEndian(row[set.KeyBytes..], 0x0a000000u + (i * step) + width - 1);
            }
        }

        return rows.Build();
    }

    public static byte[] Row(params ValueArray<byte>[] parts) => [.. parts.SelectMany(part => part)];

    public static ValueArray<byte> Verdict(NftVerdict verdict)
    {
        byte[] data = new byte[4 + NftElements.NameBytes];
        NftElements.PutVerdict(data, verdict);
        return Bytes(data);
    }

    public static ValueArray<byte> Field(string name)
    {
        byte[] data = new byte[NftElements.NameBytes];
        NftElements.PutName(data, name);
        return Bytes(data);
    }

    private static ValueArray<byte> Zone(ushort zone)
    {
        byte[] data = new byte[2];
        MemoryMarshal.Write(data, in zone);
        return Bytes(data);
    }
}
