using System.Globalization;
using Agent.Compiler;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Compiler;

/// <summary>
/// How many rules, expressions and lookups a packet meets: what it costs, but for the machine. Raise a number only on
/// purpose; <c>make bench</c> says what it costs.
/// </summary>
public sealed class PathLengthTests
{
    private const uint Epoch = 0x00010000;
    private const ushort Open = 7777;

    private static readonly (int Rules, int Vnics)[] Sizes = [(10, 2), (1000, 2), (10, 200)];

    [Fact]
    public void A_packet_of_a_session_that_lives_meets_the_same_few_whatever_the_policy()
    {
        var live = new CtInput(CtState.Established, Mark: Epoch);
        Assert.All(Sizes, size => Assert.Equal(
            new PathLength(2, 11, 0), Forward(size, "tap-eni-0", live, Open, HookVerdict.Accept)));
        Assert.All(Sizes, size => Assert.Equal(new PathLength(3, 10, 0), Guard(size, IpProtocol.Tcp)));
        Assert.All(Sizes, size => Assert.Equal(new PathLength(4, 14, 0), Guard(size, IpProtocol.Udp)));
    }

    [Fact]
    public void A_packet_that_opens_a_session_between_two_guests_meets_as_many_for_ten_rules_as_for_a_thousand() =>
        Assert.All(Sizes, size => Assert.Equal(
            new PathLength(53, 171, 8),
            Forward(size, "tap-eni-0", new CtInput(CtState.New), Open, HookVerdict.Accept)));

    [Fact]
    public void A_packet_that_no_rule_admits_meets_as_many_for_ten_rules_as_for_a_thousand() =>
        Assert.All(Sizes, size => Assert.Equal(
            new PathLength(22, 67, 6),
            Forward(size, "eth0", new CtInput(CtState.New), 9, HookVerdict.Drop)));

    private static PathLength Forward(
        (int Rules, int Vnics) size, string from, CtInput ct, ushort port, HookVerdict verdict) =>
        Run(size, new HookInput
        {
            Family = NftFamily.Inet,
            Hook = NftHook.Forward,
            InInterface = from,
            OutInterface = "tap-eni-1",
            InIndex = 1,
            OutIndex = 2,
            Ct = ct,
            Packet = PacketBytes.Of(PacketTuple.Of(
                from == "eth0" ? "198.51.100.7" : "10.0.0.1", "10.0.1.1", IpProtocol.Udp, 40_000, port)),
        }, verdict);

    private static PathLength Guard((int Rules, int Vnics) size, byte protocol)
    {
        byte[] packet = [.. PacketBytes.Of(PacketTuple.Of("10.0.0.1", "10.0.1.1", protocol, 40_000, Open)).Network];
        return Run(size, new HookInput
        {
            Family = NftFamily.Netdev,
            Hook = NftHook.Ingress,
            InInterface = "tap-eni-0",
            Packet = PacketBytes.OfFrame([0xfe, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 8, 0, .. packet]),
        }, HookVerdict.Accept);
    }

    private static PathLength Run((int Rules, int Vnics) size, HookInput input, HookVerdict verdict)
    {
        Trace trace = RulesetEvaluator.Evaluate(RulesetCompiler.Compile(
            CompilerAgainstOracleTests.Request(PolicyOf(size.Rules, size.Vnics))).Ruleset, input);
        Assert.Equal(verdict, trace.Verdict);
        return trace.Length;
    }

    // Rules of each kind even in the smallest: groups, prefixes, single ports, ranges; what none admits is dropped.
    private static PolicySnapshot PolicyOf(int rules, int vnics)
    {
        string[] list = [.. Enumerable.Range(0, rules).Select(RuleAt)];
        PolicyBuilder builder = new PolicyBuilder()
            .Group("peers", GroupType.Basic, Verdict.Drop, ["10.0.0.1/32", "10.0.1.1/32", "10.9.0.1/32"])
            .Basic("sg", Verdict.Drop,
            [
                .. list.Select(rule => "in " + rule), .. list.Select(rule => "out " + rule),
                $"in 1 accept udp {Open}/{Open} group:peers", $"out 1 accept udp {Open}/{Open} group:peers",
                "out 100 drop all -1/-1 0.0.0.0/0", "out 100 drop all -1/-1 ::/0",
            ]);
        for (int i = 0; i < vnics; i++)
        {
            builder.Nic(
                string.Create(CultureInfo.InvariantCulture, $"eni-{i}"),
                string.Create(CultureInfo.InvariantCulture, $"10.0.{i}.1"), "sg");
        }

        return builder.Build();
    }

    private static string RuleAt(int i)
    {
        int first = 10_000 + 41 * i;
        int last = i % 4 == 1 ? first + 40 : first;
        string remote = i % 3 == 0 ? "group:peers"
            : string.Create(CultureInfo.InvariantCulture, $"10.{64 + i % 64}.0.0/16");
        return string.Create(
            CultureInfo.InvariantCulture, $"1 accept {(i % 2 == 0 ? "udp" : "tcp")} {first}/{last} {remote}");
    }
}
