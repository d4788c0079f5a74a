using Agent.Compiler;
using Agent.Contract;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Nftables;
using Agent.Policy;
using Agent.V1;

namespace Agent.Tests.Sessions;

/// <summary>
/// Conversations over changing policies: the model's answer, and what the compiled ruleset does with the packet if
/// conntrack says of it what the model says.
/// </summary>
public sealed class SessionModelAgainstRulesetTests
{
    /// <summary>Bits of the mark that are not ours.</summary>
    private const uint ForeignBits = 7;

    private const uint Confirmed = 8; // linux/netfilter/nf_conntrack_common.h IPS_CONFIRMED

    private static readonly Place[] Places =
    [
        new("e1", "tap-e1", "02:00:00:00:00:01", "10.0.0.8", "2001:db8:1::8"),
        new("e2", "tap-e2", "02:00:00:00:00:02", "10.0.0.5", "2001:db8:1::5"),
        new("e3", "tap-e3", "02:00:00:00:00:03", "10.0.0.7", "2001:db8:1::7"),
        new("out", "uplink0", "", "198.51.100.7", "2001:db8:ffff::7"),
        new("odd", "tap-odd", "", "198.51.100.9", "2001:db8:ffff::9"), // closed: managed, and not in the policy
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Ruleset_and_model_agree_on_every_packet(int seed)
    {
        var random = new Random(seed);
        int packets = 0;
        var seen = new Dictionary<(SessionReason, CtState, bool), int>();
        for (int round = 0; round < 60; round++)
        {
            var run = new Run(random, zoned: round % 3 == 0, limited: round % 4 == 0, $"seed {seed}, round {round}");
            for (int step = 0; step < 120; step++)
            {
                if (step % 30 == 29)
                {
                    run.ChangePolicy();
                }

                SessionAnswer answer = run.Step();
                (SessionReason, CtState, bool) kind = (answer.Reason, answer.State, answer.Accepted);
                seen[kind] = seen.GetValueOrDefault(kind) + 1;
                packets++;
            }
        }

        // A test that met only one kind of packet would prove nothing.
        Assert.True(packets == 60 * 120 && seen.Count >= 15, string.Join('\n', seen.OrderBy(pair => pair.Key)));
        SessionReason[] expected =
        [
            SessionReason.Live, SessionReason.RelatedToLive, SessionReason.Policy, SessionReason.Invalid,
            SessionReason.NotLive, SessionReason.NotSyn, SessionReason.Limit, SessionReason.Zone,
            SessionReason.Closed, SessionReason.Spoof,
        ];
        Assert.Empty(expected.Except(seen.Keys.Select(key => key.Item1)));
        Assert.Contains(seen.Keys, key => key is (SessionReason.Policy, CtState.Established, false));
    }

    /// <summary>One host, its policy and the sessions of the moment.</summary>
    private sealed class Run
    {
        private readonly Random random;
        private readonly bool zoned;
        private readonly bool limited;
        private readonly string name;
        private readonly RandomTalk[] talks;
        private readonly List<string> history = [];
        private CompiledRuleset compiled;
        private SessionOracle oracle;
        private SessionTable table = SessionTable.Empty;

        /// <summary>The same sessions on a host that judges every one again with every change.</summary>
        private SessionTable strict = SessionTable.Empty;
        private TimeSpan now;

        public Run(Random random, bool zoned, bool limited, string name)
        {
            (this.random, this.zoned, this.limited, this.name) = (random, zoned, limited, name);
            talks = [.. Enumerable.Range(0, 10).Select(i => new RandomTalk(random, Places, (ushort)(40_000 + i)))];
            PolicySnapshot policy = NextPolicy();
            compiled = Compile(policy);
            oracle = new SessionOracle(policy, PolicySettings.Default, HostSettings.Default);
        }

        public void ChangePolicy()
        {
            PolicySnapshot policy = NextPolicy();
            CompiledRuleset next = Compile(policy);
            bool restricted = Restriction.Between(compiled, next);
            table = restricted ? table.Restricted() : table;
            strict = strict.Restricted();
            compiled = next.WithEpoch(MarkOf(table.Epoch) & ~ForeignBits);
            oracle = new SessionOracle(policy, PolicySettings.Default, HostSettings.Default);
            history.Add($"-- another policy, restricted: {restricted}");
        }

        public SessionAnswer Step()
        {
            now += TimeSpan.FromSeconds(random.Next(40) == 0 ? random.Next(100) : 0.1);
            TalkStep step = talks[random.Next(talks.Length)].Next(random);
            Way way = random.Next(30) > 0 ? step.Way
                : step.Way with { In = Places[random.Next(Places.Length)].Device };
            SessionTable before = table;
            (SessionAnswer answer, table) = oracle.Judge(table, way, step.Packet, now);
            (SessionAnswer strictAnswer, strict) = oracle.Judge(strict, way, step.Packet, now);
            history.Add($"{now.TotalSeconds:0.0} {way.In} to {way.Out}: {step.Packet}: {answer}");
            Check(answer, way, step.Packet, before);

            // A change that is said to take nothing away takes nothing away; only errors tell the two hosts apart.
            Assert.True(answer.Accepted == strictAnswer.Accepted || answer.State == CtState.Related,
                $"{this}\n{strictAnswer}");
            return answer;
        }

        public override string ToString() => $"{name}\n{string.Join('\n', history.TakeLast(40))}";

        private static uint MarkOf(int epoch) => (uint)(epoch + 1) << 16 | ForeignBits;

        private PolicySnapshot NextPolicy()
        {
            Snapshot state = TalkStates.Of(random, Places);
            state.Revision = 1;
            if (limited)
            {
                state.Vnics[0].MaxSessions = 2;
            }

            if (zoned)
            {
                state.Vpcs.Add(new V1.Vpc { Id = "vpc-1", UplinkInterfaces = { "uplink0" } });
                MoveToVpc2(state, "eni-e3");
            }

            SnapshotResult read = SnapshotReader.Read(state, PolicyLimits.Default);
            Assert.True(read.Policy is not null, string.Join('\n', read.Faults));
            return read.Policy;
        }

        // In a VPC of its own, which is listed too: nobody else reaches it.
        private static void MoveToVpc2(Snapshot state, string id)
        {
            V1.Vnic vnic = state.Vnics.Single(one => one.Id == id);
            foreach (string groupId in vnic.GroupIds.ToArray())
            {
                V1.SecurityGroup copy = state.Groups.Single(group => group.Id == groupId).Clone();
                copy.Id += "2";
                copy.VpcId = "vpc-2";
                state.Groups.Add(copy);
                vnic.GroupIds[vnic.GroupIds.IndexOf(groupId)] = copy.Id;
            }

            vnic.VpcId = "vpc-2";
            state.Vpcs.Add(new V1.Vpc { Id = "vpc-2" });
        }

        private CompiledRuleset Compile(PolicySnapshot policy) => RulesetCompiler.Compile(
            new CompileRequest(
                policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default,
                MarkOf(table.Epoch) & ~ForeignBits)
            {
                KnownZones = compiled?.Zones ?? ZoneNumbers.None,
            });

        private void Check(SessionAnswer answer, Way way, SessionPacket packet, SessionTable before)
        {
            bool guarded = Guarded(way, packet);
            if (answer.Reason == SessionReason.Spoof || !guarded)
            {
                // A guest that sends redirects is stopped at its device; the model does not look that deep.
                Assert.True(!guarded && !answer.Accepted, $"guard accepts: {guarded}\n{this}");
                return;
            }

            ushort zone = ZoneOf(way, packet);
            Assert.True(zone == (answer.Session is { } session ? Number(session.Original.Zone) : zone), ToString());
            Trace trace = Forward(answer, way, packet, zone);
            Assert.True(trace.Verdict == answer.Verdict, $"{this}\n{trace}");
            bool lives = answer.Session is { } one && table.Sessions.ContainsKey(one.Original);
            if (!answer.Accepted || answer.Session is null || !lives)
            {
                return;
            }

            // The mark that the ruleset leaves is the epoch that the model remembers.
            uint mark = answer.Session.Epoch is int at ? MarkOf(at) : ForeignBits;
            Assert.True(trace.CtMark == mark, $"{this}\n{trace}");
            Assert.True(trace.CtTimeout == (answer.Opens ? TimeoutOf(answer.Session) : null), $"{this}\n{trace}");
            Assert.True(answer.Opens == !before.Sessions.ContainsKey(answer.Session.Original)
                || before.Find(answer.Session.Original, now) is null
                || packet.Tuple.Protocol == IpProtocol.Tcp, ToString());
        }

        private Trace Forward(SessionAnswer answer, Way way, SessionPacket packet, ushort zone) =>
            RulesetEvaluator.Evaluate(compiled.Ruleset, new HookInput
            {
                Family = NftFamily.Inet,
                Hook = NftHook.Forward,
                Packet = PacketBytes.Of(packet.Tuple, packet.Shape),
                InInterface = way.In,
                OutInterface = way.Out,
                InIndex = 3,
                OutIndex = 4,
                SessionLimitExceeded = answer.Reason == SessionReason.Limit,
                Ct = new CtInput(
                    answer.State, answer.Reply, answer.EpochBefore is int at ? MarkOf(at) : ForeignBits, zone,
                    answer.Opens ? 0 : Confirmed),
            });

        private bool Guarded(Way way, SessionPacket packet)
        {
            Place place = Places.Single(one => one.Device == way.In);
            PacketShape shape = packet.Shape with
            {
                SourceMac = Mac(place.IsGuest ? place.Mac : "0e:00:00:00:00:01"),
                DestinationMac = Mac("0e:00:00:00:00:02"),
            };
            return RulesetEvaluator.Evaluate(compiled.Ruleset, new HookInput
            {
                Family = NftFamily.Netdev,
                Hook = NftHook.Ingress,
                Packet = PacketBytes.Of(packet.Tuple, shape),
                InInterface = way.In,
                InIndex = 3,
            }).Verdict == HookVerdict.Accept;
        }

        private ushort ZoneOf(Way way, SessionPacket packet) => RulesetEvaluator.Evaluate(
            compiled.Ruleset, new HookInput
            {
                Family = NftFamily.Inet,
                Hook = NftHook.Prerouting,
                Packet = PacketBytes.Of(packet.Tuple, packet.Shape),
                InInterface = way.In,
                InIndex = 3,
            }).Zone ?? 0;

        private static MacAddress Mac(string text) =>
            MacAddress.TryParse(text, out MacAddress mac) ? mac : throw new FormatException(text);

        private ushort Number(string vpc) => vpc.Length == 0 ? (ushort)0 : compiled.Zones[vpc];

        private static string? TimeoutOf(Session session) => session.CountsFor.IsEmpty ? null
            : session.Original.Tuple.Protocol switch
            {
                IpProtocol.Tcp => "times_tcp_910_3",
                IpProtocol.Udp => "times_udp_30",
                IpProtocol.Icmp => "times_icmp",
                IpProtocol.Icmpv6 => "times_icmpv6",
                IpProtocol.Gre => "times_gre",
                _ => null,
            };
    }
}
