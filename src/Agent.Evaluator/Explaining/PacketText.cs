using System.Globalization;
using System.Net;
using Agent.Policy;

namespace Agent.Evaluator.Explaining;

/// <summary>A packet that somebody copied from a log.</summary>
/// <param name="Packet">Its tuple.</param>
/// <param name="In">The device that it came from; empty if the line has none.</param>
/// <param name="Out">The device that it went to; likewise.</param>
internal readonly record struct PastedPacket(PacketTuple Packet, string In, string Out);

/// <summary>Reads the lines in which packets are logged, and the names of protocols.</summary>
public static class PacketText
{
    private const string Arrow = "->";

    /// <summary>
    /// "tcp 10.0.0.8:4711 -> 10.1.2.3:22" as <see cref="PacketTuple"/> prints it, with anything before it; or key=value
    /// as the kernel's log and conntrack have them, the first of each key.
    /// </summary>
    /// <returns>Null, and what is missing.</returns>
    internal static PastedPacket? Read(string line, out string fault)
    {
        string[] words = line.Split((char[])[' ', '\t', ','], StringSplitOptions.RemoveEmptyEntries);
        int arrow = Array.IndexOf(words, Arrow);
        return arrow >= 2 && arrow + 1 < words.Length
            ? Arrowed(words[..arrow], words[arrow + 1], out fault) : Keyed(words, out fault);
    }

    /// <returns>IANA number of a name or number; null for anything else.</returns>
    public static byte? ProtocolOf(string text) => text?.ToLowerInvariant() switch
    {
        null => null,
        "tcp" => IpProtocol.Tcp,
        "udp" => IpProtocol.Udp,
        "icmp" => IpProtocol.Icmp,
        "icmpv6" => IpProtocol.Icmpv6,
        "gre" => IpProtocol.Gre,
        _ => byte.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out byte number) ? number : null,
    };

    /// <summary>As <see cref="ProtocolOf"/> reads it.</summary>
    public static string NameOf(byte protocol) => protocol switch
    {
        IpProtocol.Tcp => "tcp",
        IpProtocol.Udp => "udp",
        IpProtocol.Icmp => "icmp",
        IpProtocol.Icmpv6 => "icmpv6",
        IpProtocol.Gre => "gre",
        _ => protocol.ToString(CultureInfo.InvariantCulture),
    };

    private static PastedPacket? Arrowed(string[] left, string right, out string fault)
    {
        if (ProtocolOf(left[^2]) is not byte protocol)
        {
            fault = $"'{left[^2]}' is not a protocol";
            return null;
        }

        (IpPrefix Address, ushort? Port)? from = EndPointOf(left[^1], protocol);
        (IpPrefix Address, ushort? Port)? to = EndPointOf(right, protocol);
        return Tuple(protocol, from, to, "", "", out fault);
    }

    private static PastedPacket? Keyed(string[] words, out string fault)
    {
        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (string word in words)
        {
            if (word.IndexOf('=', StringComparison.Ordinal) is > 0 and int at)
            {
                values.TryAdd(word[..at], word[(at + 1)..]);
            }
        }

        string name = Value("PROTO");
        name = name.Length > 0 ? name : words.FirstOrDefault(word =>
            !word.Contains('=', StringComparison.Ordinal) && word.Any(char.IsAsciiLetter)
            && ProtocolOf(word) is not null)
            ?? "";
        if (ProtocolOf(name) is not byte protocol)
        {
            fault = name.Length == 0 ? "it names no protocol (PROTO=)" : $"'{name}' is not a protocol";
            return null;
        }

        return Tuple(
            protocol, Side(Value("SRC"), Value("SPT", "SPORT")), Side(Value("DST"), Value("DPT", "DPORT")),
            Value("PHYSIN", "IN"), Value("PHYSOUT", "OUT"), out fault);

        string Value(params ReadOnlySpan<string> keys)
        {
            foreach (string key in keys)
            {
                if (values.TryGetValue(key, out string? value) && value.Length > 0)
                {
                    return value;
                }
            }

            return "";
        }
    }

    private static PastedPacket? Tuple(
        byte protocol, (IpPrefix Address, ushort? Port)? from, (IpPrefix Address, ushort? Port)? to, string inDevice,
        string outDevice, out string fault)
    {
        if (from is not { } source || to is not { } target || source.Address.Family != target.Address.Family)
        {
            fault = "it has no source and destination of one family";
            return null;
        }

        bool ports = IpProtocol.HasPorts(protocol);
        if (ports && target.Port is null)
        {
            fault = "it has no destination port";
            return null;
        }

        fault = "";
        return new PastedPacket(
            new PacketTuple(source.Address.Family, source.Address.Bits, target.Address.Bits, protocol,
                ports ? source.Port ?? 0 : (ushort)0, ports ? target.Port ?? 0 : (ushort)0), inDevice, outDevice);
    }

    private static (IpPrefix, ushort?)? Side(string address, string port)
    {
        ushort number = 0;
        return IpPrefix.TryParse(address, out IpPrefix host, out _) && host.IsHost
            && (port.Length == 0
                || ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out number))
            ? (host, port.Length == 0 ? null : number) : null;
    }

    private static (IpPrefix, ushort?)? EndPointOf(string text, byte protocol) =>
        !IpProtocol.HasPorts(protocol) ? Side(text, "")
        : IPEndPoint.TryParse(text, out IPEndPoint? end) ? Side(end.Address.ToString(), PortOf(text))
        : null;

    // Behind "]:", or behind the only colon.
    private static string PortOf(string text)
    {
        int colon = text.LastIndexOf(':');
        return colon > 0 && (text[colon - 1] == ']' || text.IndexOf(':') == colon) ? text[(colon + 1)..] : "";
    }
}
