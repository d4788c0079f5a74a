using System.Diagnostics;
using Agent.Evaluator;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Health;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.V1;
using Direction = Agent.Policy.Direction;
using IpFamily = Agent.Policy.IpFamily;
using Kind = Agent.V1.RuleFinding.Types.Kind;
using Vnic = Agent.Policy.Vnic;

namespace Agent.Tests.Evaluator;

/// <summary>What is said of rules is true of every packet, and what is proposed changes nothing.</summary>
public sealed class RuleHealthTests
{
    [Theory]
    [InlineData(61, 120)]
    public void A_rule_is_shadowed_if_and_only_if_it_decides_no_corner_of_any_box(int seed, int policies)
    {
        var random = new Random(seed);
        int shadowed = 0;
        int deciding = 0;
        for (int i = 0; i < policies; i++)
        {
            PolicySnapshot policy =
                CompilerAgainstOracleTests.Snapshot(random, CompilerAgainstOracleTests.Rules(random));
            var oracle = new PolicyOracle(policy, PolicySettings.Default);
            RuleFinding[] found = [.. RuleHealth.Of(policy, PolicySettings.Default).Findings
                .Where(finding => finding.Kind == Kind.Shadowed)];
            foreach (Vnic vnic in policy.Vnics.Values)
            {
                var decide = new HashSet<string>();
                foreach ((Direction direction, PacketTuple packet) in Corners(oracle, vnic))
                {
                    PolicyVerdict verdict = oracle.JudgeSession(vnic, direction, packet);
                    decide.Add($"{verdict.GroupId}/{verdict.Rule?.Id}");
                }

                foreach ((string group, GroupRule rule) in vnic.GroupIds.SelectMany(id =>
                    policy.Groups[id].Rules.Select(rule => (id, rule))))
                {
                    bool says = found.Any(finding => finding.GroupId == group && finding.RuleId == rule.Id
                        && finding.VnicIds.Contains(vnic.Id));
                    Assert.True(says != decide.Contains($"{group}/{rule.Id}"), $"{vnic.Id} {group}/{rule.Id}");
                    shadowed += says ? 1 : 0;
                    deciding += says ? 0 : 1;
                }
            }
        }

        Assert.True(shadowed > 15 && deciding > 100, $"{shadowed} shadowed, {deciding} not");
    }

    [Theory]
    [InlineData(71, 40)]
    public void Without_what_is_removable_nothing_changes_and_without_anything_else_something_does(
        int seed, int policies)
    {
        var random = new Random(seed);
        int removed = 0;
        int kept = 0;
        for (int i = 0; i < policies; i++)
        {
            PolicySnapshot policy =
                CompilerAgainstOracleTests.Snapshot(random, CompilerAgainstOracleTests.Rules(random));
            Analysis analysis = RuleHealth.Of(policy, PolicySettings.Default);
            string[] together = [.. analysis.RemovableTogether];
            PolicySnapshot less = Without(policy, together);
            Assert.True(Agree(policy, less, random), string.Join(' ', together));
            Assert.False(Differ(policy, less));
            removed += together.Length;
            foreach (RuleFinding finding in analysis.Findings.Where(finding =>
                finding.Everywhere && finding.Kind is Kind.Shadowed or Kind.Removable or Kind.Redundant))
            {
                Assert.False(Differ(policy, Without(policy, $"{finding.GroupId}/{finding.RuleId}")), $"{finding}");
            }

            foreach (string rule in policy.Groups.Values.SelectMany(group =>
                group.Rules.Select(rule => $"{group.Id}/{rule.Id}")).Except(together))
            {
                Assert.True(Differ(policy, Without(policy, [.. together, rule])), $"{rule} could go too");
                kept++;
            }
        }

        Assert.True(removed > 40 && kept > 60, $"{removed} removed, {kept} kept");
    }

    [Theory]
    [InlineData("in 1 accept tcp 1/100 10.0.0.0/8;in 1 drop tcp 22/22 10.0.0.0/8",
        "web/r2 RedundantUnsound, web/r2 TieBreak", "")]
    [InlineData("in 1 drop tcp 1/100 10.0.0.0/8;in 1 accept tcp 22/22 10.0.0.0/8",
        "web/r1 TieBreak, web/r2 Shadowed, web/r2 Redundant", "web/r1, web/r2")]
    [InlineData("in 1 accept tcp 1/100 10.0.0.0/8;in 2 accept tcp 22/22 10.1.0.0/16",
        "web/r2 Shadowed, web/r2 Redundant", "web/r2")]
    [InlineData("in 2 accept tcp 1/100 10.0.0.0/8;in 1 accept tcp 22/22 10.1.0.0/16", "web/r2 Removable", "web/r2")]
    [InlineData("in 1 accept tcp 1/21 10.0.0.0/8;in 1 accept tcp 22/99 10.0.0.0/8;in 2 drop tcp 9/80 10.0.0.0/9",
        "web/r3 Shadowed", "web/r3")]
    [InlineData("in 9 accept tcp 1/4000 0.0.0.0/0;in 1 drop tcp 22/22 0.0.0.0/0", "web/r1 Permissive", "")]
    [InlineData("in 9 accept tcp 22/22 ::/0;in 9 accept all -1/-1 0.0.0.0/0",
        "web/r1 Permissive, web/r2 Permissive", "")]
    [InlineData("in 9 accept tcp 80/80 0.0.0.0/0", "", "")]
    [InlineData("out 9 accept tcp 80/80 0.0.0.0/0", "web/r1 Removable", "web/r1")]
    public void Findings(string rules, string expected, string together)
    {
        PolicySnapshot policy = new PolicyBuilder()
            .Basic("web", Verdict.Drop, rules.Split(';')).Nic("e1", "192.0.2.1", "web").Build();
        Analysis analysis = RuleHealth.Of(policy, PolicySettings.Default);
        Assert.Equal(expected, string.Join(", ", analysis.Findings.Select(finding =>
            $"{finding.GroupId}/{finding.RuleId} {finding.Kind}")));
        Assert.Equal(together, string.Join(", ", analysis.RemovableTogether));
    }

    [Fact]
    public void A_rule_that_does_nothing_at_one_vnic_but_something_at_another_is_not_proposed()
    {
        PolicySnapshot policy = new PolicyBuilder()
            .Basic("a", Verdict.Drop, "in 2 accept tcp 80/80 10.0.0.0/8")
            .Basic("b", Verdict.Drop, "in 1 accept tcp 1/99 10.0.0.0/8")
            .Basic("c", Verdict.Drop, "in 1 drop tcp 1/99 10.0.0.0/8")
            .Nic("e1", "192.0.2.1", "a").Nic("e2", "192.0.2.2", "a b").Build();
        Analysis analysis = RuleHealth.Of(policy, PolicySettings.Default);
        RuleFinding finding = analysis.Findings.Single(one => one.GroupId == "a");
        Assert.Equal((Kind.Shadowed, false, "e2"), (finding.Kind, finding.Everywhere, finding.Vnics));
        finding = analysis.Findings.Single(one => one.GroupId == "c");
        Assert.Equal((Kind.Removable, true, "no vNIC"), (finding.Kind, finding.Everywhere, finding.Vnics));
        Assert.Equal(["c/r1"], analysis.RemovableTogether);
    }

    [Fact]
    public void A_large_host_is_examined_in_a_moment()
    {
        PolicySnapshot policy = LargePolicy.Of(vnics: 500, profiles: 40, rules: 200);
        long started = Stopwatch.GetTimestamp();
        Assert.Equal(8000u, RuleHealth.Of(policy, PolicySettings.Default).RulesChecked);
        TimeSpan took = Stopwatch.GetElapsedTime(started);
        TestContext.Current.TestOutputHelper?.WriteLine($"{took}");
        Assert.True(took < TimeSpan.FromSeconds(60), $"{took}");
    }

    private static bool Agree(PolicySnapshot one, PolicySnapshot other, Random random)
    {
        PolicyOracle[] oracles = [new(one, PolicySettings.Default), new(other, PolicySettings.Default)];
        return one.Vnics.Values.All(vnic => random.GetItems([.. Corners(oracles[0], vnic)], 200).All(packet =>
            oracles[0].JudgeSession(vnic, packet.Item1, packet.Item2).Verdict
            == oracles[1].JudgeSession(other.Vnics[vnic.Id], packet.Item1, packet.Item2).Verdict));
    }

    // Whether any packet, of whatever own address, is judged differently; in a group without vNICs, at one of its own.
    private static bool Differ(PolicySnapshot one, PolicySnapshot other)
    {
        var forms = new PolicyForms();
        PolicyOracle[] oracles = [new(one, PolicySettings.Default), new(other, PolicySettings.Default)];
        Vnic some = one.Vnics.Values.First();
        return one.Vnics.Values.Concat(one.Groups.Keys.Except(one.Vnics.Values.SelectMany(vnic => vnic.GroupIds))
            .Select(id => some with { Id = "alone", GroupIds = [id] })).Any(vnic => Ways().Any(way =>
                PolicyForm.Difference(
                    forms.Of(oracles[0], vnic, way.Item1, way.Item2),
                    forms.Of(oracles[1], vnic, way.Item1, way.Item2)).Any()));
    }

    private static IEnumerable<(Direction, PacketTuple)> Corners(PolicyOracle oracle, Vnic vnic)
    {
        var forms = new PolicyForms();
        return Ways().SelectMany(way => PolicyFormTests.Corners(forms.Of(oracle, vnic, way.Item1, way.Item2))
            .Select(packet => (way.Item1, packet)));
    }

    private static IEnumerable<(Direction, IpFamily)> Ways() =>
        from direction in new[] { Direction.Ingress, Direction.Egress }
        from family in new[] { IpFamily.V4, IpFamily.V6 }
        select (direction, family);

    private static PolicySnapshot Without(PolicySnapshot policy, params string[] rules) => policy with
    {
        Groups = policy.Groups.SetItems(policy.Groups.Values.Select(group => KeyValuePair.Create(group.Id, group with
        {
            Rules = group.Rules.RemoveAll(rule => rules.Contains($"{group.Id}/{rule.Id}")),
        }))),
    };
}
