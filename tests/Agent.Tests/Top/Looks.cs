using System.Net;
using Agent.Daemon.Counting;
using Agent.Daemon.Top;
using Agent.Evaluator.Sessions;
using Agent.Netlink.Conntrack;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Top;

/// <summary>Looks of our own making: two vNICs of one VPC, and sessions between them and the world.</summary>
internal static class Looks
{
    public const string One = "10.0.0.1";
    public const string Two = "10.0.0.2";
    public const string World = "198.51.100.7";

    public static readonly SessionJudge Judge = new(
        new PolicyBuilder().Group("a", GroupType.Basic, Verdict.Drop, ["198.51.100.0/24"])
            .Basic("b").Nic("one", One, "a").Nic("two", Two, "b").Build(),
        PolicySettings.Default,
        new SessionJudgeFacts
        {
            Zones = new Dictionary<string, ushort>(),
            EpochMask = 0xffff0000,
            Epoch = 0x00010000,
            Unfollowing = new HashSet<string>(),
        });

    /// <summary>An UDP session; its source port is its number, and a packet has 100 bytes.</summary>
    /// <param name="id">The kernel's number.</param>
    /// <param name="from">Who opened it.</param>
    /// <param name="to">Who answers.</param>
    /// <param name="sent">Packets; null: the kernel does not count.</param>
    /// <param name="answered">Likewise.</param>
    /// <param name="seconds">That it has left.</param>
    public static Flow Udp(
        uint id, string from, string to, ulong? sent = null, ulong? answered = null, uint seconds = 30)
    {
        var there = new FlowTuple(IPAddress.Parse(from), IPAddress.Parse(to), 17, (ushort)(4000 + (id % 1000)), 53);
        var back = new FlowTuple(there.Destination, there.Source, 17, 53, there.SourcePort);
        return new Flow(there, back, Zone: 0, Mark: 0, Status: 8, seconds, id)
        {
            OriginalCount = sent is ulong s ? new FlowCount(s, 100 * s) : null,
            ReplyCount = answered is ulong a ? new FlowCount(a, 100 * a) : null,
        };
    }

    public static TopLook Of(params Flow[] flows) => Of(1000, flows);

    public static TopLook Of(int capacity, params Flow[] flows)
    {
        var walk = new SessionWalk(Judge.Owners, capacity);
        Array.ForEach(flows, walk.Add);
        return new TopLook
        {
            At = 0,
            Time = DateTimeOffset.UnixEpoch,
            Judge = Judge,
            Sessions = walk.Sample,
            SessionsOf = walk.Counts,
            SessionCount = walk.Sessions,
            UncountedCount = walk.Uncounted,
            Gap = "",
            Counters = new Dictionary<CountKey, PacketCount>(),
            CountersAt = 0,
        };
    }
}
