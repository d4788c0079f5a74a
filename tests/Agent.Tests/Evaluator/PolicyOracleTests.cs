using Agent.Evaluator;
using Agent.Policy;

namespace Agent.Tests.Evaluator;

public class PolicyOracleTests
{
    public static TheoryData<string> Ids => [.. Scenarios.All.Select(s => s.Id)];

    [Theory]
    [MemberData(nameof(Ids))]
    public void Every_scenario_of_the_specification_is_judged_as_written(string id)
    {
        Scenario scenario = Scenarios.Find(id);
        var oracle = new PolicyOracle(scenario.Snapshot, scenario.Settings);
        PolicyVerdict verdict = oracle.Judge(
            scenario.Snapshot.Vnics[scenario.VnicId], scenario.Direction, scenario.Packet, new(scenario.Mark));
        Assert.Equal((scenario.Expected, scenario.Reason), (verdict.Verdict, verdict.Reason));
    }

    [Fact]
    public void Scenario_ids_are_unique() =>
        Assert.Equal(Scenarios.All.Length, Scenarios.All.Select(s => s.Id).Distinct().Count());

    [Fact]
    public void Considered_rules_come_in_the_order_of_evaluation_with_the_reason_each_failed()
    {
        PolicySnapshot snapshot = new PolicyBuilder()
            .Basic("B", "in 1 accept tcp 80/80 10.0.0.0/8", "in 2 accept udp 53/53 0.0.0.0/0")
            .Basic("A", "in 1 accept tcp 22/22 0.0.0.0/0", "in 1 drop tcp 80/80 192.0.2.0/24",
                "in 1 drop all -1/-1 ::/0", "in 1 accept tcp 80/80 10.0.0.0/8 own=10.0.0.9",
                "in 1 accept tcp 80/80 10.0.0.0/8 sport=1/2", "out 1 drop all -1/-1 0.0.0.0/0")
            .Nic("e1", "10.0.0.1", "B A").Build();
        PolicyVerdict verdict = new PolicyOracle(snapshot, PolicySettings.Default).Judge(
            snapshot.Vnics["e1"], Direction.Ingress, PacketTuple.Of("10.1.1.1", "10.0.0.1", IpProtocol.Tcp, 9999, 80));
        Assert.Equal(
            ["A/r2 Remote", "A/r3 Family", "A/r1 DestinationPort", "A/r4 OwnSide", "A/r5 SourcePort"],
            verdict.Considered.Select(c => $"{c.GroupId}/{c.Rule.Id} {c.Why}"));
        Assert.Equal("Accept by rule r1 of B", verdict.ToString());
    }

    [Fact]
    public void A_vnic_without_a_known_group_is_closed_both_ways()
    {
        PolicySnapshot snapshot = new PolicyBuilder().Basic("A").Nic("e1", "10.0.0.1", "A gone").Build();
        var oracle = new PolicyOracle(snapshot, PolicySettings.Default);
        foreach (Direction direction in new[] { Direction.Ingress, Direction.Egress })
        {
            PolicyVerdict verdict = oracle.Judge(
                snapshot.Vnics["e1"], direction, PacketTuple.Of("10.0.0.1", "10.0.0.1", IpProtocol.Udp, 1, 1));
            Assert.Equal((Verdict.Drop, VerdictReason.NoPolicy), (verdict.Verdict, verdict.Reason));
        }
    }

    [Theory]
    [InlineData("00:16:3e:12:34:56", "fe80::216:3eff:fe12:3456")]
    [InlineData("02:00:00:00:00:01", "fe80::ff:fe00:1")]
    public void The_link_local_address_is_formed_from_the_mac(string text, string expected)
    {
        Assert.True(MacAddress.TryParse(text, out MacAddress mac));
        Assert.Equal(IpPrefix.Parse(expected).Bits, PolicyOracle.LinkLocal(mac));
    }
}
