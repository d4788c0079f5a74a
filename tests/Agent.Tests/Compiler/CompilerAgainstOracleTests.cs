using System.Globalization;
using Agent.Compiler;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Compiler;

/// <summary>
/// Meaning survives lowering: random policies, packets at every edge, and two judges that share no code.
/// </summary>
public sealed class CompilerAgainstOracleTests
{
    private const uint Epoch = 0x00010000;

    private static readonly string[] Remotes =
    [
        "0.0.0.0/0", "::/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "192.0.2.0/25", "100.64.0.0/10",
        "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::7/128", "group:peers", "group:many", "list:pl4", "list:pl6",
    ];

    private static readonly string[] Protocols =
    [
        "all -1/-1", "tcp 1/65535", "tcp 22/22", "tcp 80/443", "tcp 440/450", "tcp ports:ports", "udp 53/53",
        "udp 1000/2000",
        "icmp -1/-1", "icmpv6 -1/-1", "gre -1/-1", "50 -1/-1", "6 -1/-1", "tcp 8000/8003", "udp ports:ports",
    ];

    private static readonly string[] Options =
        ["", "", "", "", " sport=1024/65535", " own=10.0.0.8", " own=10.0.0.0/28", " own=2001:db8::8"];

    private static readonly string[] Addresses =
    [
        "10.0.0.8", "10.0.0.9", "10.1.2.3", "10.1.2.4", "10.1.3.1", "10.2.0.1", "192.0.2.1", "192.0.2.200",
        "100.64.0.1",
        "8.8.8.8", "10.9.0.1", "10.9.0.2", "100.100.100.200", "2001:db8::8", "2001:db8::9", "2001:db8:1::7",
        "2001:db8:1::8", "2001:db9::1",
        "255.255.255.255", "0.0.0.1", "10.7.7.7",
    ];

    private static readonly ushort[] Ports =
        [0, 1, 21, 22, 23, 25, 53, 79, 80, 443, 444, 450, 999, 1000, 1023, 1024, 2000, 2001, 8000, 8003, 8004, 65535];

    [Theory]
    [InlineData(1, 150)]
    [InlineData(2, 150)]
    [InlineData(3, 150)]
    public void Random_policies_judge_random_packets_alike(int seed, int policies)
    {
        var random = new Random(seed);
        for (int i = 0; i < policies; i++)
        {
            string[] rules = Rules(random);
            PolicySnapshot policy = Snapshot(random, rules);
            Check(policy, random, rules, packets: 120);
        }
    }

    [Fact]
    public void Scenario_policies_compile_to_their_verdicts()
    {
        foreach (Scenario scenario in Scenarios.All.Where(
            s => s.Settings is null || s.Settings == PolicySettings.Default))
        {
            _ = RulesetCompiler.Compile(Request(scenario.Snapshot));
        }
    }

    [Fact]
    public void The_same_policy_gives_the_same_ruleset()
    {
        string[] rules = Rules(new Random(7));
        Ruleset one = RulesetCompiler.Compile(Request(Snapshot(new Random(9), rules))).Ruleset;
        Ruleset two = RulesetCompiler.Compile(Request(Snapshot(new Random(9), rules))).Ruleset;
        Assert.Equal(one, two);
    }

    internal static CompileRequest Request(PolicySnapshot policy) =>
        new(policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, Epoch);

    internal static string[] Rules(Random random) =>
        [.. Enumerable.Range(0, random.Next(0, 12)).Select(_ => string.Create(
        CultureInfo.InvariantCulture,
        $"{(random.Next(2) == 0 ? "in" : "out")} {random.Next(1, 5)} {(random.Next(2) == 0 ? "drop" : "accept")} "
            + $"{Protocols[random.Next(Protocols.Length)]} {Remotes[random.Next(Remotes.Length)]}"
            + $"{Options[random.Next(Options.Length)]}"))];

    internal static PolicySnapshot Snapshot(Random random, string[] rules)
    {
        // A rule may only be what validation lets through.
        string[] valid = [.. rules.Where(IsValid)];
        bool advanced = random.Next(4) == 0;
        PolicyBuilder builder = new PolicyBuilder()
            .Prefixes("pl4", IpFamily.V4, "10.1.2.0/24", "10.1.2.128/25", "192.0.2.0/24", "8.8.8.8")
            .Prefixes("pl6", IpFamily.V6, "2001:db8:1::/64", "2001:db9::1")
            .Ports("ports", "22/22", "8000/9000")
            .Group("peers", GroupType.Basic, Verdict.Accept, ["10.1.2.3", "10.9.0.0/31", "2001:db8:1::7"])
            .Group("many", GroupType.Basic, Verdict.Drop, ["10.9.0.1", "10.9.0.2", "10.1.0.0/16", "2001:db8:1::/56"]);
        string[] first = [.. valid.Where((_, i) => i % 2 == 0)];
        string[] second = [.. valid.Where((_, i) => i % 2 == 1)];
        builder = advanced
            ? builder.Advanced("a", [.. first.Where(NoGroup)]).Advanced("b", [.. second.Where(NoGroup)])
            : builder.Group(
                "a", GroupType.Basic, random.Next(2) == 0 ? Verdict.Accept : Verdict.Drop, ["10.7.7.7"], first)
                .Basic("b", random.Next(2) == 0 ? Verdict.Accept : Verdict.Drop, second);
        return builder.Nic(
            "one", "10.0.0.8 10.0.0.9 2001:db8::8 2001:db8::9", "a b", vnic =>
                vnic with { SourceDestinationCheck = false })
            .Nic("two", "10.2.0.1", "a").Build();
    }

    private static bool NoGroup(string rule) => !rule.Contains("group:", StringComparison.Ordinal);

    private static bool IsValid(string text)
    {
        GroupRule rule = PolicyBuilder.Rule("x", text);
        IpFamily? family = rule.Remote switch
        {
            Remote.Cidr cidr => cidr.Prefix.Family,
            Remote.PrefixList list => list.Id == "pl4" ? IpFamily.V4 : IpFamily.V6,
            _ => null,
        };
        bool own = rule.OwnSide is null || family is null || rule.OwnSide.Value.Family == family;
        bool ports = rule.SourcePorts is null || rule.Protocol is IpProtocol.Tcp or IpProtocol.Udp;
        bool icmp = rule.Protocol switch
        {
            IpProtocol.Icmp => family != IpFamily.V6 && rule.OwnSide?.Family != IpFamily.V6,
            IpProtocol.Icmpv6 => family != IpFamily.V4 && rule.OwnSide?.Family != IpFamily.V4,
            _ => true,
        };
        return own && ports && icmp;
    }

    private static void Check(PolicySnapshot policy, Random random, string[] rules, int packets)
    {
        Ruleset ruleset = RulesetCompiler.Compile(Request(policy)).Ruleset;
        var oracle = new PolicyOracle(policy, PolicySettings.Default);
        Vnic vnic = policy.Vnics["one"];
        for (int i = 0; i < packets; i++)
        {
            PacketTuple tuple = Tuple(random);
            Direction direction = random.Next(2) == 0 ? Direction.Ingress : Direction.Egress;
            bool stale = random.Next(3) == 0;
            bool reply = stale && random.Next(2) == 0;
            Verdict expected = oracle.JudgeSession(vnic, direction, tuple).Verdict;
            Trace trace = RulesetEvaluator.Evaluate(ruleset, Input(vnic, direction, tuple, stale, reply));
            Assert.True(
                trace.Verdict == (expected == Verdict.Accept ? HookVerdict.Accept : HookVerdict.Drop),
                $"{direction} {tuple} stale={stale} reply={reply}: expected {expected}\n"
                    + $"{string.Join('\n', rules)}\n{trace}");
            if (expected == Verdict.Accept)
            {
                Assert.Equal(Epoch, trace.CtMark & CompilerSettings.Default.EpochMask);
                Assert.Equal(0u, trace.Mark);
            }
        }
    }

    internal static PacketTuple Tuple(Random random)
    {
        while (true)
        {
            IpPrefix from = IpPrefix.Parse(Addresses[random.Next(Addresses.Length)]);
            IpPrefix to = IpPrefix.Parse(Addresses[random.Next(Addresses.Length)]);
            byte protocol = (byte[])[6, 6, 6, 17, 17, 1, 58, 47, 50, 132] is var all
                ? all[random.Next(all.Length)] : (byte)0;
            if (from.Family != to.Family)
            {
                continue;
            }

            bool ports = IpProtocol.HasPorts(protocol);
            return new PacketTuple(from.Family, from.Bits, to.Bits, protocol,
                ports ? Ports[random.Next(Ports.Length)] : (ushort)0, ports
                    ? Ports[random.Next(Ports.Length)] : (ushort)0);
        }
    }

    // The tuple is the session's own direction; a reply travels against it, so it crosses the vNIC the other way.
    internal static HookInput Input(Vnic vnic, Direction direction, PacketTuple tuple, bool stale, bool reply)
    {
        bool outOfGuest = direction == Direction.Egress != reply;
        return new HookInput
        {
            Family = NftFamily.Inet,
            Hook = NftHook.Forward,
            Packet = PacketBytes.Of(reply ? tuple.Reversed : tuple),
            InInterface = outOfGuest ? vnic.InterfaceName : "uplink0",
            OutInterface = outOfGuest ? "uplink0" : vnic.InterfaceName,
            InIndex = 3,
            OutIndex = 4,
            Ct = stale ? new CtInput(CtState.Established, reply, Mark: 0x00020007) : new CtInput(CtState.New, Mark: 7),
        };
    }
}
