using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>Ways to meet a firewall: each gives the processor time of one packet in one burst.</summary>
internal static class Cases
{
    public const int Flows = 256;
    private const int FirstPort = 1024;
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(5);

    /// <summary>Datagrams of sessions that were answered.</summary>
    public static Func<double> Datagrams(PacketBed bed, int packets)
    {
        FrameBurst frames = bed.Datagrams(Flows, FirstPort);
        FrameBurst answers = bed.DatagramAnswers(Flows, FirstPort);
        return () =>
        {
            bed.Forward(frames, Flows);
            bed.Answer(answers, Flows);
            bed.Forward(frames, Flows);
            return bed.Forward(frames, packets).Nanoseconds;
        };
    }

    /// <summary>Segments of TCP sessions that were opened properly.</summary>
    public static Func<double> Segments(PacketBed bed, int packets)
    {
        using FrameBurst opening = bed.Segments(Flows, FirstPort, TcpFlags.Syn, 1000, 0);
        using FrameBurst answer =
            bed.SegmentAnswers(Flows, FirstPort, TcpFlags.Syn | TcpFlags.Ack, 5000, 1001);
        FrameBurst frames = bed.Segments(Flows, FirstPort, TcpFlags.Ack, 1001, 5001);
        bed.Forward(opening, Flows);
        bed.Answer(answer, Flows);
        bed.Forward(frames, Flows);
        return () => bed.Forward(frames, packets).Nanoseconds;
    }

    /// <summary>Datagrams each of which opens a session through both policies.</summary>
    /// <param name="bed">Where.</param>
    /// <param name="packets">Sessions; all are forgotten afterwards.</param>
    /// <param name="alive">Sessions that are open already.</param>
    public static Func<double> Sessions(PacketBed bed, int packets, int alive = 0)
    {
        FrameBurst frames = bed.Datagrams(alive + packets, FirstPort);
        bool tracks = bed.Kind != PlainFirewall.None;
        return () =>
        {
            if (tracks)
            {
                bed.ForgetSessions();
                Thread.Sleep(Settling);
            }

            if (alive > 0)
            {
                bed.Forward(frames, alive);
            }

            return bed.Forward(frames, packets, alive).Nanoseconds;
        };
    }

    /// <summary>Datagrams from outside that no rule admits.</summary>
    public static Func<double> Flood(PacketBed bed, int packets)
    {
        FrameBurst frames = bed.Strangers(Flows);
        return () => bed.Flood(frames, packets).Nanoseconds;
    }
}
