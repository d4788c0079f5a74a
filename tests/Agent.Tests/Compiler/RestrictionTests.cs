using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Evaluator;
using Agent.Policy;
using Agent.Tests.Contract;
using Agent.Tests.Evaluator;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Compiler;

/// <summary>Whatever a change takes away is noticed; what takes nothing away lets live sessions be.</summary>
public class RestrictionTests
{
    private static readonly string[] Addresses =
    [
        "10.0.0.1", "10.0.0.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.3.1", "10.2.0.1", "192.0.2.1", "192.0.2.200",
        "172.16.0.1",
        "8.8.8.8", "8.8.4.4", "10.91.0.1", "2001:db8::1", "2001:db8::2", "2001:db8:1::7", "2001:db8:1::8",
        "2001:db8:2::1",
        "2001:db8:91::1", "fd00::1", "2600::1", "100.100.100.200",
    ];

    private static readonly ushort[] Ports =
        [1, 22, 25, 53, 79, 80, 81, 100, 101, 440, 443, 444, 450, 451, 999, 1000, 1023, 1024, 2000, 2001, 65535];

    private static readonly byte[] Protocols = [6, 6, 6, 17, 17, 1, 58, 47, 50, 132];

    private static readonly PolicySnapshot Base = new PolicyBuilder()
        .Prefixes("pl4", IpFamily.V4, "192.0.2.0/24", "198.51.100.0/24")
        .Ports("ports", "22/22", "8000/9000")
        .Group("peers", GroupType.Basic, Verdict.Accept, ["10.9.0.1", "10.9.1.0/24"])
        .Group("strangers", GroupType.Basic, Verdict.Accept, ["10.8.0.1"])
        .Basic("web", Verdict.Accept,
            "in 1 accept tcp 80/80 10.0.0.0/8", "in 2 accept tcp ports:ports list:pl4",
            "in 3 accept udp 53/53 group:peers",
            "in 50 drop tcp 23/23 0.0.0.0/0", "out 1 drop tcp 4000/5000 0.0.0.0/0")
        .Nic("one", "10.0.0.8 2001:db8::8", "web").Build();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void A_packet_that_is_no_longer_accepted_makes_a_restriction(int seed)
    {
        var random = new Random(seed);
        int lost = 0;
        int free = 0;
        for (int i = 0; i < 30; i++)
        {
            Snapshot state = RandomStates.Next(random, 1);
            for (int step = 0; step < 6; step++)
            {
                Snapshot next = state.Clone();
                for (int change = random.Next(1, 3); change > 0; change--)
                {
                    RandomStates.Change(next, random);
                }

                (PolicySnapshot before, PolicySnapshot after) = (DeltaTests.Read(state), DeltaTests.Read(next));
                bool restricts = Restriction.Between(Compile(before), Compile(after));
                string? loss = FindLoss(before, after, random);
                Assert.True(loss is null || restricts, $"{loss}\n{state}\n{next}");
                lost += loss is null ? 0 : 1;
                free += restricts ? 0 : 1;
                state = next;
            }
        }

        Assert.True(lost > 5 && free > 10, $"the sample says little: {lost} losses, {free} changes without one");
    }

    public static TheoryData<string, Func<PolicySnapshot, PolicySnapshot>> Harmless => new()
    {
        { "nothing", policy => policy with { Revision = 9 } },
        { "a rule more that accepts",
            policy => Rules(policy, rules => rules.Add(Rule("in 1 accept tcp 443/443 0.0.0.0/0"))) },
        { "a drop rule less", policy => Rules(policy, rules => rules.RemoveAt(3)) },
        { "another id", policy => Rules(policy, rules => rules.SetItem(0, rules[0] with { Id = "other" })) },
        { "a description", policy => Rules(policy, rules => rules.SetItem(0, rules[0] with { Description = "text" })) },
        { "a priority that overtakes nothing",
            policy => Rules(policy, rules => rules.SetItem(0, rules[0] with { Priority = 9 })) },
        { "a drop that is never reached",
            policy => Rules(policy, rules => rules.Add(Rule("in 9 drop tcp 80/80 10.1.0.0/16"))) },
        { "a drop of what is dropped",
            policy => Rules(policy, rules => rules.Add(Rule("in 1 drop tcp 24/24 0.0.0.0/0"))) },
        { "a member more of a peer group",
            policy => Members(policy, "peers", members => members.Add(IpPrefix.Parse("10.9.9.9"))) },
        { "a member of a group that nobody names", policy => Members(policy, "strangers", members => members.Clear()) },
        { "a group more that nobody uses", policy => policy with
            { Groups = policy.Groups.Add("new", new SecurityGroup { Id = "new", VpcId = PolicyBuilder.Vpc }) } },
        { "other timeouts",
            policy => Nic(policy, vnic => vnic with { Timeouts = new SessionTimeouts { UdpSeconds = 60 } }) },
        { "a vNIC more", policy => policy with { Vnics = policy.Vnics.Add("two", policy.Vnics["one"] with
            { Id = "two", InterfaceName = "tap-two", Addresses = [IpPrefix.Parse("10.0.0.9")] }) } },
        { "a prefix more in the list",
            policy => policy with { PrefixLists = policy.PrefixLists.SetItem("pl4", policy.PrefixLists["pl4"] with
            { Entries = policy.PrefixLists["pl4"].Entries.Add(IpPrefix.Parse("203.0.113.0/24")) }) } },
    };

    [Theory]
    [MemberData(nameof(Harmless))]
    public void A_change_that_takes_nothing_away_is_none(string what, Func<PolicySnapshot, PolicySnapshot> change) =>
        Assert.False(Restriction.Between(Compile(Base), Compile(change(Base))), what);

    public static TheoryData<string, Func<PolicySnapshot, PolicySnapshot>> Harmful => new()
    {
        { "a rule less that accepts", policy => Rules(policy, rules => rules.RemoveAt(0)) },
        { "a drop rule above", policy => Rules(policy, rules => rules.Add(Rule("in 1 drop tcp 80/80 10.77.0.1/32"))) },
        { "a drop rule outwards", policy => Rules(policy, rules => rules.Add(Rule("out 1 drop icmp -1/-1 8.8.8.8"))) },
        { "one port less",
            policy =>
                Rules(policy, rules => rules.SetItem(2, rules[2] with { SourcePorts = new PortRange(1, 65535) })) },
        { "a member less", policy => Members(policy, "peers", members => members.Remove(IpPrefix.Parse("10.9.0.1"))) },
        { "a prefix less in the list",
            policy => policy with { PrefixLists = policy.PrefixLists.SetItem("pl4", policy.PrefixLists["pl4"] with
            { Entries = [IpPrefix.Parse("192.0.2.0/24")] }) } },
        { "a port less in the list",
            policy => policy with { PortLists = policy.PortLists.SetItem("ports", policy.PortLists["ports"] with
            { Entries = [new PortRange(22, 22), new PortRange(8000, 8999)] }) } },
        { "an own side",
            policy =>
                Rules(policy, rules => rules.SetItem(0, rules[0] with { OwnSide = IpPrefix.Parse("10.0.0.9") })) },
        { "no inner access", policy => policy with { Groups = policy.Groups.SetItem("web", policy.Groups["web"] with
            { InnerAccess = Verdict.Drop }) } },
        { "another type", policy => policy with { Groups = policy.Groups.SetItem("web", policy.Groups["web"] with
            { Type = GroupType.Advanced }) } },
        { "the vNIC gone", policy => policy with { Vnics = policy.Vnics.Clear() } },
        { "another address", policy => Nic(policy, vnic => vnic with { Addresses = [IpPrefix.Parse("10.0.0.77")] }) },
        { "another MAC", policy => Nic(policy, vnic => vnic with { Mac = new MacAddress(0x02_00_00_00_00_99) }) },
        { "another interface", policy => Nic(policy, vnic => vnic with { InterfaceName = "tap-new" }) },
        { "a source check",
            policy => Nic(policy, vnic => vnic with { SourceDestinationCheck = !vnic.SourceDestinationCheck }) },
    };

    [Theory]
    [MemberData(nameof(Harmful))]
    public void A_change_that_takes_something_away_is_one(string what, Func<PolicySnapshot, PolicySnapshot> change) =>
        Assert.True(Restriction.Between(Compile(Base), Compile(change(Base))), what);

    [Fact]
    public void Closing_a_vnic_or_its_profile_takes_everything_away()
    {
        CompileRequest request = CompilerAgainstOracleTests.Request(Base);
        CompiledRuleset open = RulesetCompiler.Compile(request);
        CompiledRuleset closed = RulesetCompiler.Compile(
            request with { ClosedVnics = ImmutableDictionary<string, string>.Empty.Add("one", "refused") });
        CompiledRuleset closedProfile = RulesetCompiler.Compile(request with
        {
            HeldBack = ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)>.Empty
                .Add(CompiledRuleset.ProfileOf(Base.Vnics["one"]), (null, "refused")),
        });
        Assert.True(Restriction.Between(open, closed));
        Assert.True(Restriction.Between(open, closedProfile));
        Assert.False(Restriction.Between(closed, open));
        Assert.False(Restriction.Between(closedProfile, open));
        Assert.False(Restriction.Between(closed, closed));
    }

    [Fact]
    public void Other_settings_are_taken_as_a_restriction()
    {
        CompileRequest request = CompilerAgainstOracleTests.Request(Base);
        CompiledRuleset before = RulesetCompiler.Compile(request);
        PolicySettings[] others =
        [
            PolicySettings.Default with { EgressInner = EgressInner.InnerFirst },
            PolicySettings.Default with { MetadataAddresses = [] },
            PolicySettings.Default with { TrustedMarks = [1] },
            PolicySettings.Default with { PlatformBlockedTcpPorts = [] },
        ];
        Assert.All(others, other =>
            Assert.True(Restriction.Between(before, RulesetCompiler.Compile(request with { PolicySettings = other }))));
        Assert.True(Restriction.Between(
            before, RulesetCompiler.Compile(
                request with { Settings = request.Settings with { ManagedInterfaces = ["x*"] } })));
        Assert.False(Restriction.Between(before, before.WithEpoch(0x00030000)));
    }

    private static CompiledRuleset Compile(PolicySnapshot policy) =>
        RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(policy));

    internal static string? FindLoss(PolicySnapshot before, PolicySnapshot after, Random random)
    {
        var old = new PolicyOracle(before, PolicySettings.Default);
        var now = new PolicyOracle(after, PolicySettings.Default);
        foreach (Vnic vnic in before.Vnics.Values.Where(vnic => after.Vnics.ContainsKey(vnic.Id)))
        {
            for (int i = 0; i < 250; i++)
            {
                PacketTuple tuple = Tuple(random);
                Direction direction = random.Next(2) == 0 ? Direction.Ingress : Direction.Egress;
                if (old.JudgeSession(vnic, direction, tuple).Accepted
                    && !now.JudgeSession(after.Vnics[vnic.Id], direction, tuple).Accepted)
                {
                    return $"{vnic.Id} {direction} {tuple}";
                }
            }
        }

        return null;
    }

    private static PacketTuple Tuple(Random random)
    {
        IpPrefix from = IpPrefix.Parse(Addresses[random.Next(Addresses.Length)]);
        IpPrefix[] others = [.. Addresses.Select(IpPrefix.Parse).Where(one => one.Family == from.Family)];
        byte protocol = Protocols[random.Next(Protocols.Length)];
        bool ports = IpProtocol.HasPorts(protocol);
        return new PacketTuple(from.Family, from.Bits, others[random.Next(others.Length)].Bits, protocol,
            ports ? Ports[random.Next(Ports.Length)] : (ushort)0, ports ? Ports[random.Next(Ports.Length)] : (ushort)0);
    }

    private static GroupRule Rule(string text) => PolicyBuilder.Rule("new", text);

    private static PolicySnapshot Rules(
        PolicySnapshot policy, Func<ImmutableArray<GroupRule>, ImmutableArray<GroupRule>> change) =>
        policy with
        {
            Groups = policy.Groups.SetItem(
            "web", policy.Groups["web"] with { Rules = change(policy.Groups["web"].Rules) })
        };

    private static PolicySnapshot Members(
        PolicySnapshot policy, string group, Func<ImmutableSortedSet<IpPrefix>, ImmutableSortedSet<IpPrefix>> change) =>
        policy with
        {
            Groups = policy.Groups.SetItem(
            group, policy.Groups[group] with { Members = change(policy.Groups[group].Members) })
        };

    private static PolicySnapshot Nic(PolicySnapshot policy, Func<Vnic, Vnic> change) =>
        policy with { Vnics = policy.Vnics.SetItem("one", change(policy.Vnics["one"])) };
}
