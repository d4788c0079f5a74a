using System.Collections.Immutable;
using System.Globalization;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Idle times of new sessions, as conntrack timeout objects (semantics.md 5.1, 9.3).</summary>
/// <remarks>
/// vNICs with equal values share the objects and the chain that attaches them. Names say the values, so that the
/// objects of a ruleset can be read back; the value of an object never changes. An object that no vNIC uses any more is
/// kept for a while (<see cref="CompileRequest.KeptTimes"/>): if it went, the kernel would put its live sessions on the
/// namespace's defaults, and a change of times must not touch them.
/// </remarks>
public static class SessionTimes
{
    /// <summary>Protocols that the kernel has timeout objects for, and that read back as they were written.</summary>
    public static readonly ImmutableArray<byte> Protocols =
        [IpProtocol.Tcp, IpProtocol.Udp, IpProtocol.Icmp, IpProtocol.Icmpv6, IpProtocol.Gre];

    /// <summary>Seconds for everything that is not TCP or UDP, and for a handshake (semantics.md 9.3).</summary>
    public const int OtherSeconds = 30;

    private const string Prefix = "times_";

    /// <summary>NFPROTO_INET: one object serves both families.</summary>
    private const ushort BothFamilies = 1;

    /// <summary>nf_tables.h NFT_OBJECT_CT_TIMEOUT.</summary>
    private const uint ObjectType = 7;

    /// <summary>Half-closed TCP still carries data one way; the kernel's own times for it.</summary>
    private const int FinWaitSeconds = 120;
    private const int CloseWaitSeconds = 60;

    internal static string ChainName(SessionTimeouts times) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Prefix}{times.TcpEstablishedSeconds}_{times.TcpClosedAndTimeWaitSeconds}_{times.UdpSeconds}");

    internal static IEnumerable<NftObject.CtTimeout> Objects(
        SessionTimeouts times, IReadOnlyCollection<byte> protocols) =>
        Protocols.Where(protocols.Contains).Select(protocol => Object(NameOf(times, protocol))!);

    /// <summary>The protocols for which the kernel takes an object.</summary>
    /// <param name="probe">Given objects, returns those that the kernel takes.</param>
    public static ImmutableArray<byte> Accepted(Func<IReadOnlyList<NftObject>, IReadOnlyList<NftObject>> probe)
    {
        ArgumentNullException.ThrowIfNull(probe);
        NftObject[] all = [.. Objects(SessionTimeouts.Default, Protocols)];
        return [.. probe(all).OfType<NftObject.CtTimeout>().Select(item => item.L4)];
    }

    /// <summary>
    /// Attaches the objects to a session that a packet opens. Jumped to; the object ignores other protocols.
    /// </summary>
    internal static NftChain Chain(SessionTimeouts times, IReadOnlyCollection<byte> protocols) => new(
        ChainName(times),
        Hook: null,
        Protocols.Where(protocols.Contains).Select(protocol => Exprs.Rule(
            Exprs.L4Proto(protocol), [new NftExpr.ObjectRef(ObjectType, NameOf(times, protocol))],
            Exprs.Return())).ToValueArray());

    /// <summary>Names of the timeout objects that a ruleset holds.</summary>
    public static ImmutableSortedSet<string> Find(Ruleset ruleset, CompilerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        ArgumentNullException.ThrowIfNull(settings);
        IEnumerable<string> names = ruleset.Find(NftFamily.Inet, settings.Table)?.Objects.OfType<NftObject.CtTimeout>()
            .Where(item => item == Object(item.Name)).Select(item => item.Name) ?? [];
        return names.ToImmutableSortedSet(StringComparer.Ordinal);
    }

    /// <summary>The object of a name, or null if it is not one of ours.</summary>
    internal static NftObject.CtTimeout? Object(string name)
    {
        string[] words = name.Split('_');
        if (words.Length < 2 || words[0] + "_" != Prefix)
        {
            return null;
        }

        int[] values = new int[words.Length - 2];
        for (int i = 0; i < values.Length; i++)
        {
            if (!int.TryParse(words[i + 2], NumberStyles.None, CultureInfo.InvariantCulture, out values[i])
                || values[i] == 0)
            {
                return null;
            }
        }

        (byte Protocol, int[] Seconds)? found = (words[1], values) switch
        {
            ("tcp", [int established, int closed]) => (IpProtocol.Tcp, Tcp(established, closed)),
            ("udp", [int udp]) => (IpProtocol.Udp, [udp, udp]),
            ("icmp", []) => (IpProtocol.Icmp, [OtherSeconds]),
            ("icmpv6", []) => (IpProtocol.Icmpv6, [OtherSeconds]),
            ("gre", []) => (IpProtocol.Gre, [OtherSeconds, OtherSeconds]),
            _ => null,
        };
        return found is not { } shape ? null : new NftObject.CtTimeout(
            name, BothFamilies, shape.Protocol,
            shape.Seconds.Select((seconds, i) => new CtTimeoutValue((byte)(i + 1), (uint)seconds)).ToValueArray());
    }

    /// <summary>In the order of nfnetlink_cttimeout.h, CTA_TIMEOUT_TCP_*.</summary>
    /// <remarks>
    /// The last two would cut a session short while data is unacknowledged; the documented time is the established one.
    /// </remarks>
    private static int[] Tcp(int established, int closed) =>
    [
        OtherSeconds, OtherSeconds, established, Math.Min(FinWaitSeconds, established),
        Math.Min(CloseWaitSeconds, established),
        OtherSeconds, closed, closed, OtherSeconds, established, established,
    ];

    private static string NameOf(SessionTimeouts times, byte protocol) => protocol switch
    {
        IpProtocol.Tcp => string.Create(
            CultureInfo.InvariantCulture,
            $"{Prefix}tcp_{times.TcpEstablishedSeconds}_{times.TcpClosedAndTimeWaitSeconds}"),
        IpProtocol.Udp => string.Create(CultureInfo.InvariantCulture, $"{Prefix}udp_{times.UdpSeconds}"),
        IpProtocol.Icmp => Prefix + "icmp",
        IpProtocol.Icmpv6 => Prefix + "icmpv6",
        IpProtocol.Gre => Prefix + "gre",
        _ => throw new ArgumentOutOfRangeException(nameof(protocol), protocol, "no timeout object"),
    };
}
