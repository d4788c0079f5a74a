using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;

namespace Agent.Nftables;

/// <summary>What a register holds, as far as its text goes.</summary>
internal enum NftTextType
{
    Raw,
    Ipv4,
    Ipv6,
    Ether,
    EtherType,
    ArpOp,
    Proto,
    Service,
    Icmp,
    Icmpv6,
    Mark,
    IfIndex,
    IfName,
    CtState,
    CtDirection,
    CtStatus,
    NfProto,
    PktType,
    TcpFlags,

    /// <summary>A number in host order (zone, length, priority).</summary>
    HostNumber,

    /// <summary>A number in network order.</summary>
    Number,
}

/// <summary>Values as nft 1.0.6 prints them with its defaults: protocol names, numbers for ports.</summary>
internal static class NftValueText
{
    private static readonly string[] CtStates = ["invalid", "established", "related", "new", "", "", "untracked"];

    /// <summary>IPS_* as far as nft names them (nft src/ct.c).</summary>
    private static readonly string[] CtStatusNames =
        ["expected", "seen-reply", "assured", "confirmed", "snat", "dnat", "", "", "", "dying"];

    private static readonly string[] TcpFlagNames = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];

    internal static NftTextType TypeOf(NftType type) => type switch
    {
        NftType.Ipv4Addr => NftTextType.Ipv4,
        NftType.Ipv6Addr => NftTextType.Ipv6,
        NftType.EtherAddr => NftTextType.Ether,
        NftType.EtherType => NftTextType.EtherType,
        NftType.ArpOp => NftTextType.ArpOp,
        NftType.InetProto => NftTextType.Proto,
        NftType.InetService => NftTextType.Service,
        NftType.Icmpv4Type => NftTextType.Icmp,
        NftType.Icmpv6Type => NftTextType.Icmpv6,
        NftType.Mark => NftTextType.Mark,
        NftType.IfIndex => NftTextType.IfIndex,
        NftType.IfName => NftTextType.IfName,
        NftType.CtState => NftTextType.CtState,
        _ => NftTextType.Raw,
    };

    internal static string ValueOf(NftTextType type, ReadOnlySpan<byte> value) => (type, value.Length) switch
    {
        (NftTextType.Ipv4, 4) or (NftTextType.Ipv6, 16) => new IPAddress(value).ToString(),
        (NftTextType.Ether, 6) => Octets(value),
        (NftTextType.EtherType, 2) => EtherTypeName(BinaryPrimitives.ReadUInt16BigEndian(value)),
        (NftTextType.ArpOp, 2) => BinaryPrimitives.ReadUInt16BigEndian(value) switch
        {
            1 => "request",
            2 => "reply",
            var other => Text(other),
        },
        (NftTextType.Proto, 1) => ProtoName(value[0]),
        (NftTextType.Service or NftTextType.Number, 2) => Text(BinaryPrimitives.ReadUInt16BigEndian(value)),
        (NftTextType.Icmp, 1) => IcmpName(value[0]),
        (NftTextType.Icmpv6, 1) => Icmpv6Name(value[0]),
        (NftTextType.Mark, 4) => Hex32(MemoryMarshal.Read<uint>(value)),
        (NftTextType.IfIndex or NftTextType.HostNumber, 4) => Text(MemoryMarshal.Read<uint>(value)),
        (NftTextType.HostNumber, 2) => Text(MemoryMarshal.Read<ushort>(value)),
        (NftTextType.IfName, _) => Quoted(InterfaceName(value)),
        (NftTextType.CtState, 4) => Flags(MemoryMarshal.Read<uint>(value), CtStates, ","),
        (NftTextType.CtDirection, 1) => value[0] switch { 0 => "original", 1 => "reply", var other => Text(other) },
        (NftTextType.CtStatus, 4) => Flags(MemoryMarshal.Read<uint>(value), CtStatusNames, ","),
        (NftTextType.NfProto, 1) => value[0] switch { 2 => "ipv4", 10 => "ipv6", var other => Text(other) },
        (NftTextType.PktType, 1) => value[0] switch
        {
            0 => "host",
            1 => "broadcast",
            2 => "multicast",
            var other => Text(other),
        },
        (NftTextType.TcpFlags, 1) => Flags(value[0], TcpFlagNames, ","),
        (NftTextType.Number, 1) => Text(value[0]),
        _ => Hex(value),
    };

    /// <summary>A number as long as it may be, without leading zeros.</summary>
    internal static string Hex(ReadOnlySpan<byte> value)
    {
        string digits = Convert.ToHexStringLower(value).TrimStart('0');
        return digits.Length == 0 ? "0x0" : "0x" + digits;
    }

    /// <summary>"10.0.0.0/8", "80-90", or the value alone.</summary>
    internal static string RangeOf(NftTextType type, ReadOnlySpan<byte> first, ReadOnlySpan<byte> last)
    {
        if (first.SequenceEqual(last))
        {
            return ValueOf(type, first);
        }

        return type is NftTextType.Ipv4 or NftTextType.Ipv6 && PrefixLength(first, last) is { } length
            ? $"{ValueOf(type, first)}/{Text(length)}"
            : type is NftTextType.Icmp or NftTextType.Icmpv6 // names with dashes make no range that nft can read
            ? $"{Text((int)first[0])}-{Text((int)last[0])}"
            : $"{ValueOf(type, first)}-{ValueOf(type, last)}";
    }

    /// <returns>The number of leading ones, or null if ones follow a zero.</returns>
    internal static int? MaskLength(ReadOnlySpan<byte> mask)
    {
        int length = 0;
        bool ended = false;
        foreach (byte octet in mask)
        {
            for (int bit = 7; bit >= 0; bit--)
            {
                bool set = (octet >> bit & 1) != 0;
                if (set && ended)
                {
                    return null;
                }

                ended |= !set;
                length += set ? 1 : 0;
            }
        }

        return length;
    }

    internal static string Hex32(uint value) => string.Create(CultureInfo.InvariantCulture, $"0x{value:x8}");

    internal static string Text(ulong value) => value.ToString(CultureInfo.InvariantCulture);

    internal static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    internal static string Quoted(string text) => $"\"{text.Replace('"', '\'')}\"";

    /// <summary>A shorter comparison than the register is nft's wildcard.</summary>
    private static string InterfaceName(ReadOnlySpan<byte> value)
    {
        int end = value.IndexOf((byte)0);
        return end < 0 ? Encoding.UTF8.GetString(value) + "*" : Encoding.UTF8.GetString(value[..end]);
    }

    private static int? PrefixLength(ReadOnlySpan<byte> first, ReadOnlySpan<byte> last)
    {
        Span<byte> mask = stackalloc byte[first.Length];
        for (int i = 0; i < mask.Length; i++)
        {
            mask[i] = unchecked((byte)~(first[i] ^ last[i]));
            if ((first[i] & ~mask[i]) != 0)
            {
                return null; // the range does not start on its prefix
            }
        }

        return MaskLength(mask);
    }

    private static string Octets(ReadOnlySpan<byte> value)
    {
        var text = new StringBuilder();
        foreach (byte octet in value)
        {
            text.Append(text.Length == 0 ? "" : ":").Append(CultureInfo.InvariantCulture, $"{octet:x2}");
        }

        return text.ToString();
    }

    /// <returns>Hexadecimal if a bit has no name.</returns>
    private static string Flags(uint value, string[] names, string separator)
    {
        var parts = new List<string>();
        uint rest = value;
        for (int bit = 0; bit < names.Length; bit++)
        {
            if ((value >> bit & 1) != 0 && names[bit].Length > 0)
            {
                parts.Add(names[bit]);
                rest &= ~(1u << bit);
            }
        }

        return rest != 0 || parts.Count == 0
            ? string.Create(CultureInfo.InvariantCulture, $"0x{value:x}")
            : string.Join(separator, parts);
    }

    private static string EtherTypeName(ushort type) => type switch
    {
        0x0800 => "ip",
        0x0806 => "arp",
        0x86dd => "ip6",
        0x8100 => "8021q",
        0x88a8 => "8021ad",
        _ => string.Create(CultureInfo.InvariantCulture, $"0x{type:x4}"),
    };

    private static string ProtoName(byte protocol) => protocol switch
    {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        44 => "ipv6-frag",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        132 => "sctp",
        136 => "udplite",
        _ => Text(protocol),
    };

    private static string IcmpName(byte type) => type switch
    {
        0 => "echo-reply",
        3 => "destination-unreachable",
        4 => "source-quench",
        5 => "redirect",
        8 => "echo-request",
        9 => "router-advertisement",
        10 => "router-solicitation",
        11 => "time-exceeded",
        12 => "parameter-problem",
        13 => "timestamp-request",
        14 => "timestamp-reply",
        15 => "info-request",
        16 => "info-reply",
        17 => "address-mask-request",
        18 => "address-mask-reply",
        _ => Text(type),
    };

    private static string Icmpv6Name(byte type) => type switch
    {
        1 => "destination-unreachable",
        2 => "packet-too-big",
        3 => "time-exceeded",
        4 => "parameter-problem",
        128 => "echo-request",
        129 => "echo-reply",
        130 => "mld-listener-query",
        131 => "mld-listener-report",
        132 => "mld-listener-done",
        133 => "nd-router-solicit",
        134 => "nd-router-advert",
        135 => "nd-neighbor-solicit",
        136 => "nd-neighbor-advert",
        137 => "nd-redirect",
        138 => "router-renumbering",
        141 => "ind-neighbor-solicit",
        142 => "ind-neighbor-advert",
        143 => "mld2-listener-report",
        _ => Text(type),
    };
}
