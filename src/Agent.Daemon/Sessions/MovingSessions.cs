using System.Net;
using Agent.Evaluator;
using Agent.Evaluator.Explaining;
using Agent.Evaluator.Sessions;
using Agent.Netlink.Conntrack;
using Agent.Policy;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Daemon.Sessions;

/// <summary>Sessions as messages that go from one host to another, and back to what the kernel takes.</summary>
internal static class MovingSessions
{
    /// <summary>Flags of a TCP side that do not speak of sequence numbers, which are not carried.</summary>
    /// <remarks>linux/netfilter/nf_conntrack_tcp.h: WINDOW_SCALE, SACK_PERM, CLOSE_INIT.</remarks>
    private const byte CarriedFlags = 0b111;

    /// <summary>RFC 7323, section 2.3.</summary>
    private const uint MaxWindowScale = 14;

    /// <summary>Longer than any idle time of the kernel by default: TCP's five days.</summary>
    private static readonly TimeSpan MaxTime = TimeSpan.FromDays(5);

    /// <summary>Whether conntrack tells, and takes, all that makes a session of this protocol go on.</summary>
    /// <remarks>
    /// Not ICMP (a question lasts seconds), GRE (keys), SCTP and DCCP (tags and sequence numbers), nor UDP-Lite.
    /// </remarks>
    public static bool IsCarried(byte protocol) =>
        protocol is not (IpProtocol.Icmp or IpProtocol.Icmpv6 or IpProtocol.Gre or 33 or 132 or 136);

    public static V1.MovedSession Of(Flow flow) => new()
    {
        Packet = Service.SessionMessages.PacketOf(flow.Tracked().Original),
        EndsIn = Duration.FromTimeSpan(TimeSpan.FromSeconds(flow.TimeoutSeconds)),
        Answered = flow.IsAnswered,
        Assured = flow.IsAssured,
        Tcp = flow.Tcp is not { } tcp ? null : new V1.MovedTcp
        {
            State = tcp.State,
            WindowScale = tcp.Original.WindowScale,
            ReplyWindowScale = tcp.Reply.WindowScale,
            Flags = (uint)(tcp.Original.Flags & CarriedFlags),
            ReplyFlags = (uint)(tcp.Reply.Flags & CarriedFlags),
        },
    };

    /// <summary>Reads one that another host gave away.</summary>
    /// <param name="session">The message.</param>
    /// <param name="zone">Of the vNIC, on this host.</param>
    /// <param name="path">Of the message.</param>
    /// <param name="faults">What is wrong with it is added here.</param>
    /// <returns>Null if anything is.</returns>
    public static Flow? Read(V1.MovedSession session, ushort zone, string path, List<string> faults)
    {
        int before = faults.Count;
        PacketTuple? tuple = ReadPacket(session.Packet, path, faults);
        Check(session.EndsIn is { Seconds: > 0 } ends && ends.Seconds <= MaxTime.TotalSeconds, "ends_in",
            $"must be between 1 s and {MaxTime.TotalDays} days");
        bool isTcp = tuple?.Protocol == IpProtocol.Tcp;
        Check(tuple is null || session.Tcp is not null == isTcp, "tcp",
            isTcp ? "is missing" : "is no part of this protocol");
        if (session.Tcp is { } tcp)
        {
            Check(tcp.State is > (uint)TcpState.None and <= (uint)TcpState.SynSent2, "tcp.state", "is no state of TCP");
            Check(tcp.WindowScale <= MaxWindowScale, "tcp.window_scale", "is at most 14");
            Check(tcp.ReplyWindowScale <= MaxWindowScale, "tcp.reply_window_scale", "is at most 14");
            Check(tcp.Flags <= CarriedFlags, "tcp.flags", "has bits that are not carried");
            Check(tcp.ReplyFlags <= CarriedFlags, "tcp.reply_flags", "has bits that are not carried");
        }

        if (faults.Count > before || tuple is not { } original)
        {
            return null;
        }

        FlowTuple opened = new(
            IpPrefix.AddressOf(original.Family, original.Source),
            IpPrefix.AddressOf(original.Family, original.Destination),
            original.Protocol, original.SourcePort, original.DestinationPort);
        return Flow.New(opened, zone, (uint)session.EndsIn.Seconds, session.Answered, session.Assured) with
        {
            Tcp = session.Tcp is not { } of ? null : new TcpFlow(
                (byte)of.State, new TcpSide((byte)of.WindowScale, (byte)of.Flags),
                new TcpSide((byte)of.ReplyWindowScale, (byte)of.ReplyFlags)),
        };

        void Check(bool isGood, string field, string what)
        {
            if (!isGood)
            {
                faults.Add($"{path}.{field}: {what}");
            }
        }
    }

    private static PacketTuple? ReadPacket(V1.Packet? packet, string path, List<string> faults)
    {
        int before = faults.Count;
        if (packet is null)
        {
            faults.Add($"{path}.packet: is missing");
            return null;
        }

        byte? protocol = PacketText.ProtocolOf(packet.Protocol);
        uint lastPort = protocol is byte known && IpProtocol.HasPorts(known) ? ushort.MaxValue : 0u;
        if (protocol is null || !IsCarried(protocol.Value))
        {
            faults.Add($"{path}.packet.protocol: is none whose sessions are carried");
        }
        else if (Math.Max(packet.SourcePort, packet.DestinationPort) > lastPort)
        {
            faults.Add($"{path}.packet: a port is above {lastPort}");
        }

        IpPrefix? source = ReadAddress(packet.Source, "source");
        IpPrefix? destination = ReadAddress(packet.Destination, "destination");
        if (source?.Family != destination?.Family && source is not null && destination is not null)
        {
            faults.Add($"{path}.packet: the addresses are of two families");
        }

        return faults.Count > before ? null : new PacketTuple(
            source!.Value.Family, source.Value.Bits, destination!.Value.Bits, protocol!.Value,
            (ushort)packet.SourcePort, (ushort)packet.DestinationPort);

        IpPrefix? ReadAddress(string text, string field)
        {
            // Without a scope, a prefix, or IPv4 in IPv6's clothes: as the other host has written it.
            if (IPAddress.TryParse(text, out IPAddress? address) && !address.IsIPv4MappedToIPv6
                && address.ToString() == text && !text.Contains('%', StringComparison.Ordinal))
            {
                return IpPrefix.Host(address);
            }

            faults.Add($"{path}.packet.{field}: is no address");
            return null;
        }
    }
}
