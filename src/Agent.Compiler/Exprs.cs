using System.Text;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Rules in the words that nft prints, as expressions in the order that nft sends.</summary>
internal static class Exprs
{
    private const byte NfProtoV4 = 2;
    private const byte NfProtoV6 = 10;
    private const ushort EtherTypeV4 = 0x0800;
    private const ushort EtherTypeV6 = 0x86dd;

    private static readonly NftReg R0 = NftReg.R0;

    public static NftRule Rule(params ReadOnlySpan<IEnumerable<NftExpr>> parts) => CommentedRule(null, parts);

    public static NftRule CommentedRule(string? comment, params ReadOnlySpan<IEnumerable<NftExpr>> parts)
    {
        var exprs = new List<NftExpr>();
        foreach (IEnumerable<NftExpr> part in parts)
        {
            exprs.AddRange(part);
        }

        return new NftRule(exprs.ToValueArray(), comment);
    }

    public static IEnumerable<NftExpr> Is(NftVerdict verdict) => [new NftExpr.VerdictIs(verdict)];

    public static IEnumerable<NftExpr> Accept() => Is(NftVerdict.Accept);

    public static IEnumerable<NftExpr> Drop() => Is(NftVerdict.Drop);

    public static IEnumerable<NftExpr> Return() => Is(NftVerdict.Return);

    public static IEnumerable<NftExpr> Goto(string chain) => Is(NftVerdict.Goto(chain));

    public static IEnumerable<NftExpr> Jump(string chain) => Is(NftVerdict.Jump(chain));

    /// <summary><c>meta nfproto ipv4</c></summary>
    public static IEnumerable<NftExpr> Family(IpFamily family) =>
        MetaIs(NftMetaKey.NfProto, [family == IpFamily.V4 ? NfProtoV4 : NfProtoV6]);

    /// <summary>For the bridge family, where nfproto is always "bridge": the ethertype tells instead.</summary>
    /// <remarks>In the inet family nft would not know by it that an address is one, and print bytes.</remarks>
    public static NftChain InBridge(NftChain chain) => chain with
    {
        Rules = chain.Rules.Select(rule => rule with { Exprs = InBridge(rule.Exprs) }).ToValueArray(),
    };

    private static ValueArray<NftExpr> InBridge(ValueArray<NftExpr> exprs)
    {
        NftExpr[] changed = [.. exprs];
        for (int i = 0; i + 1 < changed.Length; i++)
        {
            if (changed[i] is NftExpr.Meta { Key: NftMetaKey.NfProto } load && changed[i + 1] is NftExpr.Cmp test)
            {
                changed[i] = load with { Key = NftMetaKey.Protocol };
                changed[i + 1] = test with { Data = Wire(test.Data[0] == NfProtoV4 ? EtherTypeV4 : EtherTypeV6) };
            }
        }

        return changed.ToValueArray();
    }

    /// <summary><c>PAYLOAD VALUE</c>, or <c>PAYLOAD != VALUE</c>: any header bytes, as they are on the wire.</summary>
    public static IEnumerable<NftExpr> Bytes(
        NftPayloadBase from, uint offset, ValueArray<byte> value, NftCmpOp op = NftCmpOp.Eq) =>
        [new NftExpr.Payload(from, offset, (uint)value.Count, R0), new NftExpr.Cmp(R0, op, value)];

    /// <summary><c>PAYLOAD and MASK != 0</c>, two bytes.</summary>
    public static IEnumerable<NftExpr> AnyBitOf(NftPayloadBase from, uint offset, ushort mask) =>
    [
        new NftExpr.Payload(from, offset, sizeof(ushort), R0),
        new NftExpr.Bitwise(R0, R0, Wire(mask), [0, 0]),
        new NftExpr.Cmp(R0, NftCmpOp.Neq, [0, 0]),
    ];

    /// <summary><c>ether daddr and 01:00:00:00:00:00 == 0</c>: for one receiver.</summary>
    public static IEnumerable<NftExpr> UnicastFrame() =>
    [
        new NftExpr.Payload(NftPayloadBase.LinkLayer, 0, 6, R0),
        new NftExpr.Bitwise(R0, R0, [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]),
        new NftExpr.Cmp(R0, NftCmpOp.Eq, [0, 0, 0, 0, 0, 0]),
    ];

    /// <summary>A fragment that is not the first: it has no transport header.</summary>
    public static IEnumerable<NftExpr> LaterFragment(IpFamily family) =>
    [
        .. Family(family),
        .. family == IpFamily.V4 ? AnyBitOf(NftPayloadBase.Network, 6, 0x1fff)
            : [.. Bytes(NftPayloadBase.Network, 6, [44]), .. AnyBitOf(NftPayloadBase.Network, 42, 0xfff8)],
    ];

    /// <summary><c>PAYLOAD @set</c>, one field.</summary>
    public static IEnumerable<NftExpr> BytesIn(
        NftPayloadBase from, uint offset, uint length, string set, bool negated = false) =>
        [new NftExpr.Payload(from, offset, length, R0), new NftExpr.Lookup(set, R0, negated)];

    /// <summary><c>meta protocol ip</c>: where a hook sees any ethertype.</summary>
    public static IEnumerable<NftExpr> EtherType(ushort type) => MetaIs(NftMetaKey.Protocol, Wire(type));

    public static IEnumerable<NftExpr> L4Proto(byte protocol) => MetaIs(NftMetaKey.L4Proto, [protocol]);

    /// <summary>
    /// <c>meta l4proto != A meta l4proto != B</c>; a packet whose headers cannot be followed does not match.
    /// </summary>
    public static IEnumerable<NftExpr> L4ProtoIsNot(params ReadOnlySpan<byte> protocols)
    {
        var exprs = new List<NftExpr> { new NftExpr.Meta(NftMetaKey.L4Proto, R0) };
        foreach (byte protocol in protocols)
        {
            exprs.Add(new NftExpr.Cmp(R0, NftCmpOp.Neq, [protocol]));
        }

        return exprs;
    }

    /// <summary><c>meta mark set VALUE</c></summary>
    public static IEnumerable<NftExpr> MarkSet(uint value) =>
        [new NftExpr.Immediate(R0, Host(value)), new NftExpr.MetaSet(NftMetaKey.Mark, R0)];

    /// <summary><c>meta mark VALUE</c></summary>
    public static IEnumerable<NftExpr> MarkIs(uint value) => MetaIs(NftMetaKey.Mark, Host(value));

    /// <summary><c>meta mark != VALUE</c></summary>
    public static IEnumerable<NftExpr> MarkIsNot(uint value) =>
        [new NftExpr.Meta(NftMetaKey.Mark, R0), new NftExpr.Cmp(R0, NftCmpOp.Neq, Host(value))];

    /// <summary><c>meta mark and MASK == VALUE</c></summary>
    public static IEnumerable<NftExpr> MarkMasked(uint mask, uint value) =>
    [
        new NftExpr.Meta(NftMetaKey.Mark, R0),
        new NftExpr.Bitwise(R0, R0, Host(mask), Host(0)),
        new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(value)),
    ];

    /// <summary><c>meta mark and MASK != 0</c></summary>
    public static IEnumerable<NftExpr> MarkAnyOf(uint mask) =>
    [
        new NftExpr.Meta(NftMetaKey.Mark, R0),
        new NftExpr.Bitwise(R0, R0, Host(mask), Host(0)),
        new NftExpr.Cmp(R0, NftCmpOp.Neq, Host(0)),
    ];

    /// <summary>
    /// <c>meta mark set (key) map @name</c>; what stands in <paramref name="key"/> is loaded from word 0 on.
    /// </summary>
    public static IEnumerable<NftExpr> MarkFrom(string map, params ReadOnlySpan<IEnumerable<NftExpr>> key)
    {
        var exprs = new List<NftExpr>();
        foreach (IEnumerable<NftExpr> part in key)
        {
            exprs.AddRange(part);
        }

        exprs.Add(new NftExpr.LookupData(map, R0, R0));
        exprs.Add(new NftExpr.MetaSet(NftMetaKey.Mark, R0));
        return exprs;
    }

    public static IEnumerable<NftExpr> LoadMark() => [new NftExpr.Meta(NftMetaKey.Mark, R0)];

    /// <summary>The mark as the first field of an interval key: those compare as big-endian bytes.</summary>
    public static IEnumerable<NftExpr> LoadMarkInWireOrder() =>
        [new NftExpr.Meta(NftMetaKey.Mark, R0), new NftExpr.ByteOrder(R0, R0, ToNetwork: true, Length: 4, Size: 4)];

    public static IEnumerable<NftExpr> LoadL4Proto(byte word) =>
        [new NftExpr.Meta(NftMetaKey.L4Proto, new NftReg(word))];

    public static IEnumerable<NftExpr> LoadPort(bool source, byte word) =>
        [new NftExpr.Payload(NftPayloadBase.Transport, source ? 0u : 2u, 2, new NftReg(word))];

    public static IEnumerable<NftExpr> LoadAddress(IpFamily family, bool source, byte word = 0) =>
        [Address(family, source, new NftReg(word))];

    /// <summary><c>ip saddr PREFIX</c> without the family test.</summary>
    public static IEnumerable<NftExpr> AddressIn(IpPrefix prefix, bool source) =>
        AddressIn(prefix, Address(prefix.Family, source, R0), NftCmpOp.Eq);

    /// <summary>
    /// The same for an address that stands anywhere in the packet; <paramref name="load"/> is into word 0.
    /// </summary>
    public static IEnumerable<NftExpr> AddressIn(IpPrefix prefix, NftExpr.Payload load, NftCmpOp op)
    {
        byte[] bytes = prefix.Address.GetAddressBytes();
        var exprs = new List<NftExpr> { load };
        if (!prefix.IsHost)
        {
            var mask = new IpPrefix(prefix.Family, UInt128.MaxValue & IpPrefix.Ceiling(prefix.Family), prefix.Length);
            byte[] maskBytes = mask.Address.GetAddressBytes();
            exprs.Add(new NftExpr.Bitwise(R0, R0, maskBytes.ToValueArray(), new byte[bytes.Length].ToValueArray()));
        }

        exprs.Add(new NftExpr.Cmp(R0, op, bytes.ToValueArray()));
        return exprs;
    }

    /// <summary><c>th dport PORT</c> without the protocol test.</summary>
    public static IEnumerable<NftExpr> PortIs(bool source, ushort port) =>
        Bytes(NftPayloadBase.Transport, source ? 0u : 2u, Wire(port));

    /// <summary><c>th dport != PORT</c> without the protocol test; a port that is not there does not match.</summary>
    public static IEnumerable<NftExpr> PortIsNot(bool source, ushort port) =>
        Bytes(NftPayloadBase.Transport, source ? 0u : 2u, Wire(port), NftCmpOp.Neq);

    /// <summary><c>icmp type T</c>, <c>icmpv6 type T</c> without the protocol test.</summary>
    public static IEnumerable<NftExpr> IcmpType(byte type) => Bytes(NftPayloadBase.Transport, 0, [type]);

    /// <summary><c>icmp type != T</c> without the protocol test; a type that is not there does not match.</summary>
    public static IEnumerable<NftExpr> IcmpTypeIsNot(byte type) =>
        Bytes(NftPayloadBase.Transport, 0, [type], NftCmpOp.Neq);

    /// <summary><c>icmpv6 type FIRST-LAST</c> without the protocol test.</summary>
    public static IEnumerable<NftExpr> IcmpTypeIn(byte first, byte last) =>
        [new NftExpr.Payload(NftPayloadBase.Transport, 0, 1, R0),
            new NftExpr.Range(R0, Negated: false, [first], [last])];

    /// <summary><c>tcp flags and (fin, syn, rst, ack) == syn</c>: opens a connection (RFC 9293 section 3.5).</summary>
    public static IEnumerable<NftExpr> BareSyn() => Flags(NftCmpOp.Eq);

    /// <summary>The opposite; flags that are not there do not match.</summary>
    public static IEnumerable<NftExpr> NotBareSyn() => Flags(NftCmpOp.Neq);

    private static IEnumerable<NftExpr> Flags(NftCmpOp compare) =>
    [
        new NftExpr.Payload(NftPayloadBase.Transport, 13, 1, R0),
        new NftExpr.Bitwise(R0, R0, [0x17], [0]),
        new NftExpr.Cmp(R0, compare, [0x02]),
    ];

    /// <summary><c>iifname . meta mark @name</c>, or without the interface: counts a decision.</summary>
    public static IEnumerable<NftExpr> Counted(bool incoming, string set, bool byInterface) => byInterface
        ? [LoadInterface(incoming), new NftExpr.Meta(NftMetaKey.Mark, new NftReg(4)), new NftExpr.Lookup(set, R0)]
        : [new NftExpr.Meta(NftMetaKey.Mark, R0), new NftExpr.Lookup(set, R0)];

    /// <summary><c>iifname NAME</c>, or <c>iifname PREFIX*</c>.</summary>
    public static IEnumerable<NftExpr> InterfaceIs(bool incoming, string pattern)
    {
        byte[] name = Encoding.UTF8.GetBytes(pattern.TrimEnd('*'));
        byte[] data = pattern.EndsWith('*') ? name : [.. name, .. new byte[16 - name.Length]];
        return MetaIs(incoming ? NftMetaKey.IifName : NftMetaKey.OifName, data.ToValueArray());
    }

    /// <summary><c>iifname vmap @name</c></summary>
    public static IEnumerable<NftExpr> InterfaceMap(bool incoming, string map) =>
        [LoadInterface(incoming), new NftExpr.LookupVerdict(map, R0)];

    /// <summary><c>iifname @name</c></summary>
    public static IEnumerable<NftExpr> InterfaceIn(bool incoming, string set) =>
        [LoadInterface(incoming), new NftExpr.Lookup(set, R0)];

    /// <summary><c>counter name iifname map @name</c></summary>
    public static IEnumerable<NftExpr> CountedIn(bool incoming, string map) =>
        [LoadInterface(incoming), new NftExpr.ObjectMap(map, R0)];

    /// <summary><c>iifname != @name</c></summary>
    public static IEnumerable<NftExpr> InterfaceNotIn(bool incoming, string set) =>
        [LoadInterface(incoming), new NftExpr.Lookup(set, R0, Negated: true)];

    /// <summary><c>iif 0</c>: the packet comes from this host (output hook).</summary>
    public static IEnumerable<NftExpr> HasNoIncoming() => MetaIs(NftMetaKey.Iif, Host(0));

    /// <summary><c>oif 0</c>: the packet is for this host (input hook).</summary>
    public static IEnumerable<NftExpr> HasNoOutgoing() => MetaIs(NftMetaKey.Oif, Host(0));

    /// <summary><c>oif != 0</c>, or <c>iif != 0</c>: the packet goes on, or came, by some interface.</summary>
    public static IEnumerable<NftExpr> HasInterface(bool incoming) =>
    [
        new NftExpr.Meta(incoming ? NftMetaKey.Iif : NftMetaKey.Oif, R0), new NftExpr.Cmp(R0, NftCmpOp.Neq, Host(0)),
    ];

    /// <summary><c>ct state S</c>, any of the bits.</summary>
    public static IEnumerable<NftExpr> CtState(uint bits) =>
    [
        new NftExpr.Ct(NftCtKey.State, R0),
        new NftExpr.Bitwise(R0, R0, Host(bits), Host(0)),
        new NftExpr.Cmp(R0, NftCmpOp.Neq, Host(0)),
    ];

    /// <summary><c>ct status ! confirmed</c>: the packet opens its session; it is not in the table yet.</summary>
    public static IEnumerable<NftExpr> CtUnconfirmed() =>
    [
        new NftExpr.Ct(NftCtKey.Status, R0),
        new NftExpr.Bitwise(R0, R0, Host(CtStates.Confirmed), Host(0)),
        new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(0)),
    ];

    /// <summary>
    /// <c>ct count over N</c>. Adds the packet's session to the list: only for packets that open one.
    /// </summary>
    public static IEnumerable<NftExpr> SessionsOver(uint count) => [new NftExpr.ConnLimit(count, Over: true)];

    /// <summary><c>ct zone != ZONE</c>; no match for a packet that is not tracked.</summary>
    public static IEnumerable<NftExpr> CtZoneIsNot(ushort zone) =>
    [
        new NftExpr.Ct(NftCtKey.Zone, R0),
        new NftExpr.Cmp(R0, NftCmpOp.Neq, BitConverter.GetBytes(zone).ToValueArray()),
    ];

    /// <summary><c>ct zone set iifname map @name</c></summary>
    public static IEnumerable<NftExpr> CtZoneFrom(bool incoming, string map) =>
        [LoadInterface(incoming), new NftExpr.LookupData(map, R0, R0), new NftExpr.CtSet(NftCtKey.Zone, R0)];

    /// <summary><c>ct direction original</c> or <c>reply</c>.</summary>
    public static IEnumerable<NftExpr> CtDirection(bool reply) =>
        [new NftExpr.Ct(NftCtKey.Direction, R0), new NftExpr.Cmp(R0, NftCmpOp.Eq, [reply ? (byte)1 : (byte)0])];

    /// <summary><c>ct mark and MASK == VALUE</c></summary>
    public static IEnumerable<NftExpr> CtMarkMasked(uint mask, uint value) =>
    [
        new NftExpr.Ct(NftCtKey.Mark, R0),
        new NftExpr.Bitwise(R0, R0, Host(mask), Host(0)),
        new NftExpr.Cmp(R0, NftCmpOp.Eq, Host(value)),
    ];

    /// <summary><c>ct mark set ct mark and ~MASK or VALUE</c>: other users' bits survive.</summary>
    public static IEnumerable<NftExpr> CtMarkSet(uint mask, uint value) =>
    [
        new NftExpr.Ct(NftCtKey.Mark, R0),
        new NftExpr.Bitwise(R0, R0, Host(~mask), Host(value)),
        new NftExpr.CtSet(NftCtKey.Mark, R0),
    ];

    public static IEnumerable<NftExpr> CountIn(string counter) => [new NftExpr.ObjectRef(ObjectTypeCounter, counter)];

    /// <summary>nf_tables.h NFT_OBJECT_COUNTER.</summary>
    private const uint ObjectTypeCounter = 1;

    public static ValueArray<byte> Host(uint value) => BitConverter.GetBytes(value).ToValueArray();

    public static ValueArray<byte> Wire(ushort value) => [(byte)(value >> 8), (byte)(value & 0xff)];

    private static NftExpr.Meta LoadInterface(bool incoming) =>
        new(incoming ? NftMetaKey.IifName : NftMetaKey.OifName, R0);

    private static NftExpr.Payload Address(IpFamily family, bool source, NftReg register) => family == IpFamily.V4
        ? new NftExpr.Payload(NftPayloadBase.Network, source ? 12u : 16u, 4, register)
        : new NftExpr.Payload(NftPayloadBase.Network, source ? 8u : 24u, 16, register);

    private static IEnumerable<NftExpr> MetaIs(NftMetaKey key, ValueArray<byte> value) =>
        [new NftExpr.Meta(key, R0), new NftExpr.Cmp(R0, NftCmpOp.Eq, value)];
}

/// <summary>nf_conntrack_common.h, IP_CT_* as nf_tables reports them (NF_CT_STATE_BIT).</summary>
internal static class CtStates
{
    public const uint Invalid = 1;
    public const uint Established = 2;
    public const uint Related = 4;
    public const uint New = 8;
    public const uint Untracked = 0x40;

    /// <summary>IPS_CONFIRMED, a bit of <c>ct status</c>.</summary>
    public const uint Confirmed = 8;
}
