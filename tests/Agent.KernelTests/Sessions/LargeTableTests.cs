using System.Diagnostics;
using Agent.Daemon.Sessions;
using Agent.Daemon.Top;
using Agent.Evaluator.Sessions;
using Agent.Netlink.Conntrack;
using Agent.Policy;
using Agent.TestNet;
using Agent.Tests.Evaluator;

namespace Agent.KernelTests.Sessions;

/// <summary>As many sessions as a busy host has.</summary>
public sealed class LargeTableTests
{
    private const int Sessions = 200_000;

    /// <summary>On two shared cores; a quiet machine takes a fraction of it.</summary>
    private static readonly TimeSpan Affordable = Pace.Scaled(TimeSpan.FromSeconds(20));

    [Fact]
    public void Two_hundred_thousand_sessions_are_read_and_judged_without_being_held()
    {
        using NetNamespace place = NetNamespace.Create("table");
        int max = int.Parse(place.ReadSysctl("net/netfilter/nf_conntrack_max"), null);
        Assert.SkipWhen(max < Sessions, $"nf_conntrack_max is {max}, and a namespace of this kernel cannot raise it");
        Assert.Equal(Sessions, Conntrack.Fill(place, Sessions));

        SessionJudge before = Judge("in 1 accept udp 4001/4001 11.0.0.0/8");
        SessionJudge now = Judge("in 1 drop udp 4001/4001 11.0.0.0/9", "in 2 accept udp 4001/4001 11.0.0.0/8");
        (PassTally tally, TimeSpan took, long held) = place.Run(() =>
        {
            long start = GC.GetTotalMemory(forceFullCollection: true);
            long started = Stopwatch.GetTimestamp();
            var tally = new PassTally(before, now);
            long peak = 0;
            int seen = 0;
            bool whole = KernelSessions.Read(FlowFilter.All, flow =>
            {
                // They are nobody's yet: judged as if they had been admitted an epoch ago.
                tally.Add(flow.Tracked() with { Mark = 0x00010000 });
                if (++seen % 50_000 == 0)
                {
                    peak = Math.Max(peak, GC.GetTotalMemory(forceFullCollection: true) - start);
                }
            }, CancellationToken.None);
            Assert.True(whole);
            return (tally, Stopwatch.GetElapsedTime(started), peak);
        });
        Assert.Equal(Sessions, tally.Judged);
        PassCut cut = Assert.Single(tally.Cuts);
        Assert.Equal(("one", "a/r1", (long)Sessions), (cut.VnicId, cut.Rule, cut.Sessions));
        Assert.True(took < Affordable, $"{took}");
        Assert.True(held < 16 << 20, $"{held} bytes are held");
        TestContext.Current.TestOutputHelper?.WriteLine($"{Sessions} sessions in {took}; {held} bytes held");
    }

    /// <summary>Who watches the top holds two looks: both, and what ranking them takes, are bounded.</summary>
    [Fact]
    public void A_look_at_two_hundred_thousand_sessions_holds_a_bounded_number_of_them()
    {
        const int Compared = 20_000;
        const int BytesEach = 512; // a hash table just grown has room for twice as many
        using NetNamespace place = NetNamespace.Create("top");
        int max = int.Parse(place.ReadSysctl("net/netfilter/nf_conntrack_max"), null);
        Assert.SkipWhen(max < Sessions, $"nf_conntrack_max is {max}, and a namespace of this kernel cannot raise it");
        Assert.Equal(Sessions, Conntrack.Fill(place, Sessions));
        SessionJudge judge = Judge();
        (SessionWalk walk, TimeSpan took, long held) = place.Run(() =>
        {
            long start = GC.GetTotalMemory(forceFullCollection: true);
            long started = Stopwatch.GetTimestamp();
            var walk = new SessionWalk(judge.Owners, Compared);
            int kept = 0;
            Assert.True(KernelSessions.Read(FlowFilter.All, flow =>
            {
                walk.Add(flow);
                kept = Math.Max(kept, walk.Sample.Kept.Count);
            }, CancellationToken.None));
            Assert.InRange(kept, Compared / 2, Compared);
            return (walk, Stopwatch.GetElapsedTime(started), GC.GetTotalMemory(forceFullCollection: true) - start);
        });
        Assert.Equal((Sessions, true), (walk.Sessions, walk.Sample.IsPartial));
        Assert.True(took < Affordable, $"{took}");
        Assert.True(held < Compared * BytesEach, $"{held} bytes are held");
        TestContext.Current.TestOutputHelper?.WriteLine($"{Sessions} sessions in {took}; {held} bytes held");
    }

    private static SessionJudge Judge(params string[] rules) => new(
        new PolicyBuilder().Basic("a", Verdict.Drop, rules).Nic("one", "198.51.100.7", "a").Build(),
        PolicySettings.Default,
        new SessionJudgeFacts
        {
            Zones = new Dictionary<string, ushort>(),
            EpochMask = 0xffff0000,
            Epoch = 0x00020000,
            Unfollowing = new HashSet<string>(),
        });
}
