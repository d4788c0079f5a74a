using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Agent.Policy;
using Google.Protobuf.WellKnownTypes;
using static Agent.Contract.FaultList;

namespace Agent.Contract;

/// <summary>Reads single values; what is wrong goes to the list, and a harmless value comes back.</summary>
internal sealed class Fields(FaultList faults, PolicyLimits limits)
{
    private const int IdMax = 64;
    private const int ProtocolMax = 6; // icmpv6

    public string Id(string path, string value, string code = Codes.Id)
    {
        if (value.Length is 0 or > IdMax || !value.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-'))
        {
            faults.Add(
                path, code, $"{Show(value)} is not an id", "Use 1 to 64 letters, digits, '.', '_' and '-'.");
        }

        return value;
    }

    /// <summary>Free text, which is shown to people.</summary>
    public string Text(string path, string value, int max, string code = Codes.Text)
    {
        if (value.Length > max || !(limits.TakesHiddenText ? !value.Any(char.IsControl) : PlainText.Is(value)))
        {
            faults.Add(path, code, $"{Show(value)} is longer than {max} characters or has hidden ones",
                "Shorten it; leave out line breaks, NUL and marks of text direction.");
        }

        return value;
    }

    public IpPrefix? Prefix(string path, string value, string code, bool canonical)
    {
        if (!IpPrefix.TryParse(value, out IpPrefix prefix, out bool wasCanonical))
        {
            faults.Add(path, code, $"{Show(value)} is not an address or CIDR",
                "Write 10.0.0.0/8 or 2001:db8::/32, without scope id; write v4-mapped v6 addresses as IPv4.");
            return null;
        }

        if (!wasCanonical && (canonical || prefix.Family == IpFamily.V6))
        {
            faults.Add(
                path, code, $"{Show(value)} has bits set behind its prefix length", $"Write {prefix}.");
            return null;
        }

        if (!wasCanonical)
        {
            faults.Warn(path, $"{value} has bits set behind its prefix length; taken as {prefix}");
        }

        return prefix;
    }

    public IpPrefix? Host(string path, string value)
    {
        IpPrefix? prefix = Prefix(path, value, Codes.Address, canonical: true);
        if (prefix is { IsHost: false })
        {
            faults.Add(
                path, Codes.Address, $"{Show(value)} is a prefix, not an address",
                "Use delegated_prefixes for it.");
            return null;
        }

        return prefix;
    }

    /// <summary>"first/last", 1 to 65535.</summary>
    public PortRange? Ports(string path, string value, string code)
    {
        int slash = value.IndexOf('/', StringComparison.Ordinal);
        if (slash > 0 && Port(value.AsSpan(0, slash)) is ushort first
            && Port(value.AsSpan(slash + 1)) is ushort last && first <= last)
        {
            return new PortRange(first, last);
        }

        faults.Add(
            path, code, $"{Show(value)} is not a port range",
            "Write first/last, such as 80/80 or 8000/9000, 1 to 65535.");
        return null;

        static ushort? Port(ReadOnlySpan<char> text) =>
            ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) && port > 0
                ? port : null;
    }

    /// <summary>The protocol's number; null with <paramref name="known"/> set is "all".</summary>
    public byte? Protocol(string path, string value, out bool known)
    {
        known = true;
        switch (value.Length > ProtocolMax ? "" : value.ToLowerInvariant())
        {
            case "all": return null;
            case "tcp": return IpProtocol.Tcp;
            case "udp": return IpProtocol.Udp;
            case "icmp": return IpProtocol.Icmp;
            case "icmpv6": return IpProtocol.Icmpv6;
            case "gre": return IpProtocol.Gre;
        }

        if (value.Length <= ProtocolMax
            && byte.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out byte number))
        {
            return number;
        }

        known = false;
        faults.Add(path, Codes.Protocol, $"{Show(value)} is not a protocol",
            "Use tcp, udp, icmp, icmpv6, gre, all, or a number 0 to 255.");
        return null;
    }

    /// <summary>
    /// Device name of at most 15 bytes (linux/if.h IFNAMSIZ), as the kernel's dev_valid_name takes it.
    /// </summary>
    public string Interface(string path, string value)
    {
        if (value.Length is 0 or > 15 || Encoding.UTF8.GetByteCount(value) > 15 || value is "." or ".."
            || value.Any(c => c is '/' or ':' or '*' || char.IsWhiteSpace(c) || char.IsControl(c))
            || !(limits.TakesHiddenText || PlainText.Is(value)))
        {
            faults.Add(path, Codes.Interface, $"{Show(value)} is not an interface name",
                "Use 1 to 15 bytes without spaces, '/', ':' and '*'.");
        }

        return value;
    }

    public MacAddress Mac(string path, string value)
    {
        if (!MacAddress.TryParse(value, out MacAddress mac) || mac.IsMulticast || mac.Bits == 0)
        {
            faults.Add(
                path, Codes.Mac, $"{Show(value)} is not a unicast MAC address", "Write 02:00:00:00:00:01.");
        }

        return mac;
    }

    /// <summary>A moment of the years 1 to 9999; null if it is not set.</summary>
    public DateTimeOffset? Moment(string path, Timestamp? value)
    {
        if (value is null)
        {
            return null;
        }

        try
        {
            return value.ToDateTimeOffset();
        }
        catch (InvalidOperationException)
        {
            faults.Add(path, Codes.Time, $"{value.Seconds} s and {value.Nanos} ns since 1970 is not a time",
                "Use the years 1 to 9999, and 0 to 999999999 ns.");
            return null;
        }
    }

    /// <summary>An optional number of seconds; 0 stands for the default.</summary>
    public int Seconds(string path, uint value, int fallback, int min, int max)
    {
        if (value != 0 && (value < min || value > max))
        {
            faults.Add(
                path, Codes.Timeout, $"{value} seconds is out of range", $"Use {min} to {max}, or 0 for {fallback}.");
        }

        return value == 0 ? fallback : (int)Math.Min(value, int.MaxValue);
    }

    /// <summary>Items by id; a repeated id is a fault.</summary>
    public ImmutableSortedDictionary<string, T> ById<T>(string path, IEnumerable<T> items, Func<T, string> id)
    {
        var map = ImmutableSortedDictionary.CreateBuilder<string, T>(StringComparer.Ordinal);
        foreach (T item in items)
        {
            if (!map.TryAdd(id(item), item))
            {
                faults.Add(
                    $"{path}[{Place(id(item))}]", Codes.Duplicate, $"id {Show(id(item))} stands twice",
                    "Give each its own id.");
            }
        }

        return map.ToImmutable();
    }
}
