using System.Collections.Immutable;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Policy;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Sessions;

/// <summary>Entries of the kernel's table in the policy's terms.</summary>
public sealed class SessionJudgeTests
{
    internal const uint Mask = 0xffff0000;
    internal const uint Live = 0x00050000;
    internal const uint Older = 0x00040007;

    [Fact]
    public void Ends_are_found_by_address_and_say_which_rule_admits()
    {
        SessionJudge judge = Judge(Policy("in 1 accept udp 53/53 10.0.0.2/32"));
        JudgedSession session = judge.Judge(Udp("10.0.0.2", "10.0.0.1", 53, Live))!;
        Assert.Equal(
            ["two Egress Accept by Default", "one Ingress Accept by rule r1 of a"],
            session.Ends.Select(end => $"{end.Vnic.Id} {end.Direction} {end.Verdict}"));
        Assert.Equal((SessionAge.Live, SessionFate.Passes), (session.Age, session.Fate));

        Assert.Equal("one", judge.Judge(Udp("198.51.100.7", "10.0.3.9", 53, Live))!.Ends.Single().Vnic.Id); // delegated
        Assert.Null(judge.Judge(Udp("198.51.100.7", "203.0.113.9", 53, Live)));
        Assert.Null(judge.Judge(Udp("10.0.0.2", "10.0.0.1", 53, Live) with { Zone = 9 }));
    }

    [Fact]
    public void What_becomes_of_a_session_is_for_its_age_and_the_rules_of_both_ends_to_say()
    {
        SessionJudge judge = Judge(Policy("in 1 accept udp 53/53 0.0.0.0/0"));
        (ushort Port, uint Mark, SessionAge Age, SessionFate Fate)[] cases =
        [
            (53, Live, SessionAge.Live, SessionFate.Passes),
            (53, Older, SessionAge.Older, SessionFate.Continues),
            (53, 7, SessionAge.Unjudged, SessionFate.Continues),
            (54, Older, SessionAge.Older, SessionFate.Cut),
            (54, 0, SessionAge.Unjudged, SessionFate.Cut),
            (54, Live, SessionAge.Live, SessionFate.Passes), // the fabric's own, or taken over
        ];
        foreach ((ushort port, uint mark, SessionAge age, SessionFate fate) in cases)
        {
            JudgedSession session = judge.Judge(Udp("10.0.0.2", "10.0.0.1", port, mark))!;
            Assert.Equal((age, fate), (session.Age, session.Fate));
            Assert.Equal(fate == SessionFate.Cut ? "one" : null, session.CutBy?.Vnic.Id);
        }

        SessionJudge unfollowing = Judge(Policy("in 1 accept udp 53/53 0.0.0.0/0"), unfollowing: "one");
        Assert.Equal(SessionFate.Unknown, unfollowing.Judge(Udp("10.0.0.2", "10.0.0.1", 54, Older))!.Fate);
    }

    [Fact]
    public void A_listed_VPC_is_known_by_its_zone()
    {
        PolicySnapshot policy = Policy("in 1 accept udp 53/53 0.0.0.0/0") with
        {
            Vpcs = ImmutableSortedDictionary.Create<string, Vpc>(StringComparer.Ordinal)
                .Add(PolicyBuilder.Vpc, new Vpc { Id = PolicyBuilder.Vpc }),
        };
        SessionJudge judge = Judge(policy);
        Assert.Null(judge.Judge(Udp("10.0.0.2", "10.0.0.1", 53, Live)));
        Assert.Equal(2, judge.Judge(Udp("10.0.0.2", "10.0.0.1", 53, Live) with { Zone = 0x8001 })!.Ends.Length);
    }

    [Theory]
    [InlineData("255.255.255.255", SessionFate.Continues)]
    [InlineData("198.51.100.9", SessionFate.Continues)] // named
    [InlineData("198.51.100.7", SessionFate.Unknown)] // this host, perhaps
    public void Getting_an_address_is_no_rules_business(string server, SessionFate fate)
    {
        SessionJudge judge = Judge(
            Policy("out 1 drop all -1/-1 0.0.0.0/0"),
            new PolicySettings { DhcpServers = [IpPrefix.Parse("198.51.100.9")] });
        var tuple = PacketTuple.Of("10.0.0.1", server, IpProtocol.Udp, 68, 67);
        JudgedSession judged = judge.Judge(new TrackedSession(tuple, 0, Older))!;
        Assert.Equal((fate, fate == SessionFate.Unknown), (judged.Fate, !judged.IsAllowed));
        Assert.Equal(SessionFate.Cut, judge.Judge(new TrackedSession(
            tuple with { SourcePort = 69 }, 0, Older))!.Fate);
    }

    /// <summary>The judge of the table and the model of the host say the same of a session's next packet.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Judge_and_model_agree_on_the_next_packet(int seed)
    {
        var random = new Random(seed);
        Place[] places =
        [
            new("e1", "tap-e1", "02:00:00:00:00:01", "10.0.0.8", "2001:db8:1::8"),
            new("e2", "tap-e2", "02:00:00:00:00:02", "10.0.0.5", "2001:db8:1::5"),
            new("out", "uplink0", "", "198.51.100.7", "2001:db8:ffff::7"),
        ];
        int cut = 0;
        for (int round = 0; round < 100; round++)
        {
            SessionTable table = SessionTable.Empty;
            PolicySnapshot[] policies = [Read(random, places), Read(random, places)];
            var first = new SessionOracle(policies[0], PolicySettings.Default, HostSettings.Default);
            var second = new SessionOracle(policies[1], PolicySettings.Default, HostSettings.Default);
            RandomTalk[] talks =
                [.. Enumerable.Range(0, 10).Select(i => new RandomTalk(random, places, (ushort)(40_000 + i)))];
            var opened = new Dictionary<FlowKey, Way>();
            for (int i = 0; i < 40; i++)
            {
                TalkStep step = talks[random.Next(talks.Length)].Next(random);
                (SessionAnswer answer, table) = first.Judge(table, step.Way, step.Packet, TimeSpan.Zero);
                if (answer is { Accepted: true, Opens: true })
                {
                    opened[answer.Session!.Original] = step.Way;
                }
            }

            table = table.Restricted();
            SessionJudge judge = Judge(policies[1]);
            foreach (Session session in table.Sessions.Values)
            {
                var again = new SessionPacket(session.Original.Tuple)
                {
                    Shape = PacketShape.Default with
                    {
                        IcmpType = session.Original.IcmpType,
                        IcmpCode = session.Original.IcmpCode,
                        IcmpId = session.Original.IcmpId,
                    },
                };
                (SessionAnswer answer, _) = second.Judge(table, opened[session.Original], again, TimeSpan.Zero);
                if (answer.Reason != SessionReason.Policy)
                {
                    continue; // a SYN is not what every TCP session takes next
                }

                JudgedSession judged = judge.Judge(new TrackedSession(session.Original.Tuple, 0, Older))!;
                Assert.Equal(answer.Accepted ? SessionFate.Continues : SessionFate.Cut, judged.Fate);
                Assert.Equal(answer.Accepted ? null : answer.VnicId, judged.CutBy?.Vnic.Id);
                cut += answer.Accepted ? 0 : 1;
            }
        }

        Assert.True(cut > 20, $"{cut} sessions were cut");
    }

    internal static SessionJudge Judge(
        PolicySnapshot policy, PolicySettings? settings = null, string? unfollowing = null) => new(
        policy, settings ?? PolicySettings.Default, new SessionJudgeFacts
        {
            Zones = new Dictionary<string, ushort> { [PolicyBuilder.Vpc] = 0x8001 },
            EpochMask = Mask,
            Epoch = Live,
            Unfollowing = unfollowing is null ? [] : new HashSet<string> { unfollowing },
        });

    internal static PolicySnapshot Policy(params string[] rules) => new PolicyBuilder()
        .Basic("a", Verdict.Drop, rules)
        .Basic("b", Verdict.Drop)
        .Nic("one", "10.0.0.1 10.0.3.0/24", "a")
        .Nic("two", "10.0.0.2", "b").Build();

    internal static TrackedSession Udp(string from, string to, ushort port, uint mark) =>
        new(PacketTuple.Of(from, to, IpProtocol.Udp, 4000, port), 0, mark);

    private static PolicySnapshot Read(Random random, Place[] places)
    {
        V1.Snapshot state = TalkStates.Of(random, places);
        state.Revision = 1;
        return Agent.Contract.SnapshotReader.Read(state, PolicyLimits.Default).Policy!;
    }
}
