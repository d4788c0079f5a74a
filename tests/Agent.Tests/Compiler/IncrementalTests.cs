using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Contract;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Contract;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Compiler;

/// <summary>What came before makes a compilation cheaper, never different.</summary>
public class IncrementalTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void With_a_previous_result_it_is_the_same_as_from_scratch(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 12; i++)
        {
            Snapshot state = RandomStates.Next(random, 1);
            PolicySnapshot policy = DeltaTests.Read(state);
            CompiledRuleset? previous = null;
            for (int step = 0; step < 15; step++)
            {
                CompileRequest request = CompilerAgainstOracleTests.Request(
                    policy) with
                { HeldBack = HeldBack(policy, previous, random) };
                CompiledRuleset scratch = RulesetCompiler.Compile(request);
                CompiledRuleset incremental = RulesetCompiler.Compile(request with { Previous = previous });
                Assert.Equal(NftText.Print(scratch.Ruleset), NftText.Print(incremental.Ruleset));
                Assert.Equal(scratch.Ruleset, incremental.Ruleset);
                Assert.Equal(scratch.Failed, incremental.Failed);
                Assert.Equal(Decisions(scratch), Decisions(incremental));
                previous = incremental;

                Snapshot next = state.Clone();
                next.Revision++;
                for (int change = random.Next(1, 4); change > 0; change--)
                {
                    RandomStates.Change(next, random);
                }

                policy = DeltaReader.Apply(policy, RandomStates.Between(state, next, random), PolicyLimits.Unlimited)
                    .Policy!;
                state = next;
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void The_order_of_arrival_does_not_matter(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 60; i++)
        {
            Snapshot state = RandomStates.Next(random, 1);
            Ruleset one = Compile(state);
            Ruleset other = Compile(RandomStates.Shuffled(state, random));
            Assert.Equal(NftText.Print(one), NftText.Print(other));
            Assert.Equal(one, other);
        }
    }

    [Theory]
    [InlineData(BridgeLayer.None)]
    [InlineData(BridgeLayer.Open)]
    public void Under_another_epoch_it_is_the_same_as_from_scratch_and_two_chains_are_new(BridgeLayer bridge)
    {
        CompileRequest request = CompilerAgainstOracleTests.Request(RichPolicy.Snapshot);
        request = request with { Host = request.Host with { Bridge = bridge, Bridges = ["br0"] } };
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        CompiledRuleset other = compiled.WithEpoch(0x0005_0000).WithEpoch(0x0007_0000);
        Assert.Equal(RulesetCompiler.Compile(request with { Epoch = 0x0007_0000 }).Ruleset, other.Ruleset);
        foreach ((NftTable before, NftTable after) in compiled.Ruleset.Tables.Zip(other.Ruleset.Tables))
        {
            IEnumerable<string> renewed = before.Chains.Zip(after.Chains)
                .Where(pair => !ReferenceEquals(pair.First, pair.Second)).Select(pair => pair.Second.Name);
            Assert.Equal(before.Family == NftFamily.Netdev ? [] : ["live", "stamp"], renewed);
        }
    }

    [Fact]
    public void Only_what_a_change_touches_is_compiled_again()
    {
        PolicySnapshot before = new Evaluator.PolicyBuilder().Basic("a", "in 1 accept tcp 22/22 10.0.0.0/8")
            .Basic("b", "in 1 accept tcp 80/80 10.0.0.0/8").Nic("one", "10.0.0.1", "a").Nic("two", "10.0.0.2", "b")
            .Build();
        CompiledRuleset first = RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(before));
        SecurityGroup changed = before.Groups[
            "b"] with
        { Rules = [Evaluator.PolicyBuilder.Rule("r1", "in 1 accept tcp 81/81 10.0.0.0/8")] };
        PolicySnapshot after = before with { Groups = before.Groups.SetItem("b", changed) };
        CompiledRuleset second = RulesetCompiler.Compile(
            CompilerAgainstOracleTests.Request(after) with { Previous = first });
        string profile = CompiledRuleset.ProfileOf(before.Vnics["one"]);
        Assert.Same(first.Profiles[profile], second.Profiles[profile]);
        profile = CompiledRuleset.ProfileOf(before.Vnics["two"]);
        Assert.NotSame(first.Profiles[profile], second.Profiles[profile]);
    }

    /// <summary>Members come and go, in and around prefixes, while what the host has changes too.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Members_and_hosts_that_change_give_what_a_new_start_gives(int seed)
    {
        var random = new Random(seed);
        PolicySnapshot policy = new Evaluator.PolicyBuilder()
            .Basic("a", "in 1 accept tcp 22/22 10.0.0.0/28", "in 2 drop tcp 22/22 group:b",
                "in 3 accept udp -1/-1 10.0.0.5")
            .Basic("b", "in 1 accept tcp 80/80 group:a", "out 1 drop tcp 25/25 10.0.0.0/30")
            .Nic("one", "10.0.0.1", "a").Nic("two", "10.0.0.2", "b").Nic("three", "10.0.0.3", "a b").Build();
        CompiledRuleset? previous = null;
        int moved = 0;
        for (int step = 0; step < 150; step++)
        {
            CompileRequest request = Disturbed(CompilerAgainstOracleTests.Request(policy), random);
            CompiledRuleset scratch = RulesetCompiler.Compile(request);
            CompiledRuleset incremental = RulesetCompiler.Compile(request with { Previous = previous });
            Assert.Equal(NftText.Print(scratch.Ruleset), NftText.Print(incremental.Ruleset));
            Assert.Equal(scratch.Ruleset, incremental.Ruleset);
            if (previous is not null)
            {
                AddressClasses now = incremental.Classes.Values.Single();
                AddressClasses before = previous.Classes.Values.Single();
                moved += !ReferenceEquals(now, before) && ReferenceEquals(now.Classes, before.Classes) ? 1 : 0;
                Assert.Equal(
                    AddressMoves.Between(IpFamily.V4, before.Cuts[IpFamily.V4], now.Cuts[IpFamily.V4])
                        .Where(move => move.Old != move.New).Order(),
                    now.MovesFrom(before, IpFamily.V4, isWhole: false).Where(move => move.Old != move.New).Order());
                Assert.Equal(Restriction.Between(previous, scratch), Restriction.Between(previous, incremental));
            }

            previous = incremental;
            var delta = new V1.Delta { BaseRevision = policy.Revision, Revision = policy.Revision + 1 };
            var change = new V1.MemberChange { GroupId = random.Next(2) == 0 ? "a" : "b" };
            for (int i = random.Next(1, 4); i > 0; i--)
            {
                string member = random.Next(12) == 0
                    ? $"10.0.0.{4 * random.Next(0, 6)}/30" : $"10.0.0.{random.Next(1, 24)}";
                if (!change.Add.Contains(member) && !change.Remove.Contains(member))
                {
                    (random.Next(3) > 0 ? change.Add : change.Remove).Add(member);
                }
            }

            delta.Members.Add(change);
            policy = DeltaReader.Apply(policy, delta, PolicyLimits.Unlimited).Policy!;
        }

        Assert.True(moved > 20, $"{moved} changes were moves between classes that there are");
    }

    private static CompileRequest Disturbed(CompileRequest request, Random random) => request with
    {
        Host = request.Host with
        {
            Bridge = random.Next(6) switch { 0 => BridgeLayer.Open, 1 => BridgeLayer.Closed, _ => BridgeLayer.None },
            SessionLimits = random.Next(8) > 0,
            Bridges = random.Next(4) == 0 ? ["br0"] : [],
            NetdevHooksByName = random.Next(4) > 0,
            PresentInterfaces = random.Next(2) == 0 ? ["tap-one"] : ["tap-one", "tap-two"],
        },
        Settings = request.Settings with { AdoptsSessions = random.Next(10) == 0 },
        Adopting = random.Next(4) == 0 ? ["one"] : [],
        Epoch = 0x0001_0000u * (uint)random.Next(1, 4),
        ClosedVnics = random.Next(5) == 0
            ? ImmutableDictionary<string, string>.Empty.Add("two", "for a test")
            : ImmutableDictionary<string, string>.Empty,
    };

    private static Ruleset Compile(Snapshot state) =>
        RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(DeltaTests.Read(state))).Ruleset;

    /// <summary>What the counters are read by: rule numbers of every profile.</summary>
    private static string Decisions(CompiledRuleset compiled) => string.Join('\n', compiled.Profiles
        .OrderBy(pair => pair.Key, StringComparer.Ordinal)
        .SelectMany(pair => pair.Value.Ingress.RuleKeys.Concat(pair.Value.Egress.RuleKeys)
            .OrderBy(rule => rule.Key).Select(rule => $"{pair.Key} {rule.Key} {rule.Value}")));

    /// <summary>Now and then a profile that must not follow: it keeps its rules, or is closed.</summary>
    private static ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)> HeldBack(
        PolicySnapshot policy, CompiledRuleset? previous, Random random)
    {
        ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)> held =
            ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)>.Empty;
        foreach (string profile in policy.Vnics.Values.Select(CompiledRuleset.ProfileOf).Distinct())
        {
            if (previous is not null && random.Next(6) == 0)
            {
                PolicySnapshot? rules = random.Next(2) == 0
                    ? previous.Profiles.GetValueOrDefault(profile)?.Source.Policy : null;
                held = held.Add(profile, (rules, "refused"));
            }
        }

        return held;
    }
}
