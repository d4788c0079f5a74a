using System.Globalization;
using System.Text;
using Agent.Nftables.Wire;
using static Agent.Nftables.NftValueText;

namespace Agent.Nftables;

/// <summary>
/// A ruleset in nft's language, as <c>nft -s list ruleset</c> (1.0.6) would print it and <c>nft -f</c> reads it.
/// </summary>
/// <remarks>
/// Not printable parts become comments, so a text without "# not printable" says all. Two known differences to the
/// kernel's own listing: a zone map is declared by typeof (nft has no type name for zones), and marks in concatenated
/// intervals are printed as the numbers they are (nft takes such fields for big-endian).
/// </remarks>
public static class NftText
{
    public static string Print(Ruleset ruleset)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        var text = new StringBuilder();
        foreach (NftTable table in ruleset.Tables)
        {
            PrintTable(text, table);
        }

        return text.ToString();
    }

    /// <summary>One rule as <c>nft list</c> prints it; null if an expression has no text.</summary>
    public static string? Print(NftTable table, NftRule rule)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(rule);
        return NftRuleText.Print(table, rule);
    }

    private static void PrintTable(StringBuilder text, NftTable table)
    {
        text.Append(CultureInfo.InvariantCulture, $"table {FamilyName(table.Family)} {table.Name} {{\n");
        text.Append(table.Dormant ? "\tflags dormant\n" : "");
        foreach (NftObject one in table.Objects)
        {
            PrintObject(text, one);
        }

        foreach (NftSet set in table.Sets)
        {
            PrintSet(text, set);
        }

        foreach (NftChain chain in table.Chains)
        {
            PrintChain(text, table, chain);
        }

        text.Append("}\n");
    }

    /// <summary>As nft says it.</summary>
    public static string FamilyName(NftFamily family) => family switch
    {
        NftFamily.Inet => "inet",
        NftFamily.Ipv4 => "ip",
        NftFamily.Arp => "arp",
        NftFamily.Ipv6 => "ip6",
        NftFamily.Netdev => "netdev",
        NftFamily.Bridge => "bridge",
        _ => throw new ArgumentOutOfRangeException(nameof(family), family, "unknown family"),
    };

    private static void PrintObject(StringBuilder text, NftObject one)
    {
        switch (one)
        {
            case NftObject.Counter:
                text.Append(CultureInfo.InvariantCulture, $"\tcounter {one.Name} {{\n\t}}\n\n");
                break;
            case NftObject.CtTimeout timeout when StateNames(timeout.L4) is { } names:
                text.Append(CultureInfo.InvariantCulture, $"\tct timeout {one.Name} {{\n");
                text.Append(CultureInfo.InvariantCulture, $"\t\tprotocol {(timeout.L4 == 6 ? "tcp" : "udp")}\n");
                text.Append(
                    timeout.L3 switch
                    {
                        2 => "\t\tl3proto ip\n",
                        10 => "\t\tl3proto ip6\n",
                        _ => "\t\tl3proto inet\n"
                    });
                IEnumerable<string> states = timeout.Seconds
                    .Where(state => state.State >= 1 && state.State <= names.Length)
                    .Select(state => $"{names[state.State - 1]} : {Text(state.Seconds)}");
                text.Append(CultureInfo.InvariantCulture, $"\t\tpolicy = {{ {string.Join(", ", states)} }}\n\t}}\n\n");
                break;
            default:
                text.Append(CultureInfo.InvariantCulture, $"\t# not printable: object {one.Name}\n\n");
                break;
        }
    }

    /// <summary>linux/netfilter/nfnetlink_cttimeout.h CTA_TIMEOUT_TCP_*, _UDP_*, in nft's words.</summary>
    private static string[]? StateNames(byte protocol) => protocol switch
    {
        6 => ["syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close",
            "syn_sent2", "retrans", "unack"],
        17 => ["unreplied", "replied"],
        _ => null,
    };

    private static void PrintSet(StringBuilder text, NftSet set)
    {
        if (set.Unexpected is not null)
        {
            text.Append(CultureInfo.InvariantCulture, $"\t# not printable: set {set.Name}: {set.Unexpected}\n\n");
            return;
        }

        bool zone = set.Kind == NftSetKind.ZoneMap;
        string word = set.Kind == NftSetKind.Set ? "set" : "map";
        string key = string.Join(" . ", set.Key.Select(field => zone ? TypeofName(field) : TypeName(field)));
        string data = set.Kind switch
        {
            NftSetKind.MarkMap => " : mark",
            NftSetKind.ZoneMap => " : ct zone",
            NftSetKind.VerdictMap => " : verdict",
            NftSetKind.CounterMap => " : counter",
            _ => "",
        };
        text.Append(CultureInfo.InvariantCulture, $"\t{word} {set.Name} {{\n");
        text.Append(CultureInfo.InvariantCulture, $"\t\t{(zone ? "typeof" : "type")} {key}{data}\n");
        text.Append(set.Size is { } size ? string.Create(CultureInfo.InvariantCulture, $"\t\tsize {size}\n") : "");
        text.Append(set.Interval ? "\t\tflags interval\n" : "");
        text.Append(set.Counters ? "\t\tcounter\n" : "");
        text.Append(set.Limit is { } limit ? $"\t\t{NftRuleText.LimitText(limit)}\n" : "");
        PrintElements(text, set);
        text.Append("\t}\n\n");
    }

    private static void PrintElements(StringBuilder text, NftSet set)
    {
        for (int i = 0; i < set.Elements.Count; i++)
        {
            text.Append(i == 0 ? "\t\telements = { " : ",\n\t\t\t     ");
            text.Append(Element(set, set.Elements[i]));
        }

        text.Append(set.Elements.Count == 0 ? "" : " }\n");
    }

    internal static string Element(NftSet set, ReadOnlySpan<byte> row)
    {
        var fields = new List<string>();
        int at = 0;
        foreach (NftType field in set.Key)
        {
            int length = NftSet.FieldLength(field);
            ReadOnlySpan<byte> first = row.Slice(at, length);
            ReadOnlySpan<byte> last = set.Interval ? row.Slice(set.KeyBytes + at, length) : first;
            fields.Add(set.Interval && SetCodec.IsHostOrder(field) && length == 4
                ? RangeOf(TypeOf(field), Reversed(first), Reversed(last))
                : RangeOf(TypeOf(field), first, last));
            at += NftSet.PaddedLength(field);
        }

        ReadOnlySpan<byte> data = row[(set.KeyBytes * (set.Interval ? 2 : 1))..];
        string key = string.Join(" . ", fields);
        return set.Kind switch
        {
            NftSetKind.MarkMap => $"{key} : {NftValueText.ValueOf(NftTextType.Mark, data)}",
            NftSetKind.ZoneMap => $"{key} : {NftValueText.ValueOf(NftTextType.HostNumber, data)}",
            NftSetKind.VerdictMap => $"{key} : {NftRuleText.Verdict(NftElements.GetVerdict(data))}",
            NftSetKind.CounterMap => $"{key} : {Quoted(NftElements.GetName(data))}",
            _ => key,
        };
    }

    // Keys that are ranges are in network order, whatever their type (nftables-facts.md 1.3).
    private static byte[] Reversed(ReadOnlySpan<byte> value)
    {
        byte[] bytes = value.ToArray();
        if (BitConverter.IsLittleEndian)
        {
            Array.Reverse(bytes);
        }

        return bytes;
    }

    private static string TypeName(NftType type) => type switch
    {
        NftType.Ipv4Addr => "ipv4_addr",
        NftType.Ipv6Addr => "ipv6_addr",
        NftType.EtherAddr => "ether_addr",
        NftType.EtherType => "ether_type",
        NftType.ArpOp => "arp_op",
        NftType.InetProto => "inet_proto",
        NftType.InetService => "inet_service",
        NftType.Icmpv4Type => "icmp_type",
        NftType.Icmpv6Type => "icmpv6_type",
        NftType.Mark => "mark",
        NftType.IfIndex => "iface_index",
        NftType.CtState => "ct_state",
        NftType.IfName => "ifname",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a key type"),
    };

    private static string TypeofName(NftType type) => type switch
    {
        NftType.Ipv4Addr => "ip saddr",
        NftType.Ipv6Addr => "ip6 saddr",
        NftType.EtherAddr => "ether saddr",
        NftType.EtherType => "meta protocol",
        NftType.InetProto => "meta l4proto",
        NftType.InetService => "th dport",
        NftType.Mark => "meta mark",
        NftType.IfIndex => "iif",
        NftType.IfName => "iifname",
        NftType.CtState => "ct state",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a key type"),
    };

    private static void PrintChain(StringBuilder text, NftTable table, NftChain chain)
    {
        text.Append(CultureInfo.InvariantCulture, $"\tchain {chain.Name} {{\n");
        if (chain.Hook is { } hook)
        {
            text.Append(hook.Unexpected is null ? "" : $"\t\t# not printable: {hook.Unexpected}\n");
            string device = hook.Device is null ? "" : $"device {Quoted(hook.Device)} ";
            string policy = hook.PolicyDrop ? "drop" : "accept";
            string priority = NftPriorityText.Print(table.Family, hook);
            string name = hook.Hook switch
            {
                NftHook.Prerouting => "prerouting",
                NftHook.Input => "input",
                NftHook.Forward => "forward",
                NftHook.Output => "output",
                NftHook.Postrouting => "postrouting",
                NftHook.Ingress => "ingress",
                _ => "egress",
            };
            text.Append(
                CultureInfo.InvariantCulture,
                $"\t\ttype filter hook {name} {device}priority {priority}; policy {policy};\n");
        }

        foreach (NftRule rule in chain.Rules)
        {
            string? printed = NftRuleText.Print(table, rule);
            text.Append(
                CultureInfo.InvariantCulture, $"\t\t{printed ?? "# not printable: " + string.Join(' ', rule.Exprs)}\n");
        }

        text.Append("\t}\n\n");
    }
}
