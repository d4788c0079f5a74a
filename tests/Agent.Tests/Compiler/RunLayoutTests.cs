using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Contract;
using Agent.Tests.Evaluator;
using Agent.Tests.Proof;
using Agent.Tests.Simulation;
using Microsoft.Extensions.Logging.Abstractions;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Compiler;

/// <summary>A policy too wide for tables means the same in runs, names the same rule, and stays linear in its rules.
/// </summary>
public sealed class RunLayoutTests
{
    [Theory]
    [InlineData(1, 60)]
    [InlineData(2, 60)]
    [InlineData(3, 60)]
    public void Both_layouts_decide_as_the_oracle_does_and_by_the_same_rule(int seed, int policies)
    {
        var random = new Random(seed);
        int inRuns = 0;
        for (int i = 0; i < policies; i++)
        {
            string[] rules = Rules(random);
            PolicySnapshot policy = CompilerAgainstOracleTests.Snapshot(random, rules);
            CompileRequest request = CompilerAgainstOracleTests.Request(policy);
            CompiledRuleset tables = RulesetCompiler.Compile(request);
            CompiledRuleset runs = RulesetCompiler.Compile(InRuns(request));
            Assert.All(Programs(tables), program => Assert.Empty(program.Runs));
            inRuns += Programs(runs).Count(program => program.Runs.Count == 2);
            Assert.All(Programs(runs).SelectMany(program => program.Runs), run => Assert.True(run.Boxes > 0));
            var oracle = new PolicyOracle(policy, PolicySettings.Default);
            for (int packet = 0; packet < 80; packet++)
            {
                PacketTuple tuple = CompilerAgainstOracleTests.Tuple(random);
                Direction direction = random.Next(2) == 0 ? Direction.Ingress : Direction.Egress;
                bool reply = random.Next(3) == 0;
                PolicyVerdict wanted = oracle.JudgeSession(policy.Vnics["one"], direction, tuple);
                string? rule = wanted.Rule is null ? null : Explainer.RuleOf(wanted);
                foreach (CompiledRuleset compiled in (CompiledRuleset[])[tables, runs])
                {
                    (HookVerdict verdict, string? decided, Trace trace) = Judged(compiled, direction, tuple, reply);
                    string what = $"{direction} {tuple} {reply}: {wanted}, not {decided}\n"
                        + $"{string.Join('\n', rules)}\n{trace}";
                    Assert.True(verdict == (wanted.Accepted ? HookVerdict.Accept : HookVerdict.Drop), what);
                    Assert.True(rule is null || rule == decided, what);
                }
            }
        }

        Assert.True(inRuns > policies, $"{inRuns} of {2 * policies}");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Policies_in_runs_are_proved(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 12; i++)
        {
            string[] rules = Rules(random);
            ProverTests.Proved(InRuns(CompilerAgainstOracleTests.Request(
                CompilerAgainstOracleTests.Snapshot(random, rules))), string.Join('\n', rules));
        }
    }

    [Fact]
    public void A_policy_that_uses_everything_is_proved_in_runs() => ProverTests.Proved(InRuns(RichPolicy.Request()),
        "rich");

    [Theory]
    [InlineData("acl")]
    [InlineData("fw")]
    [InlineData("ipc")]
    public void Filter_sets_are_proved_in_runs(string family) =>
        ProverTests.Proved(InRuns(FilterSets.All[family].Request(new Random(4), rules: 120)), family);

    [Theory]
    [InlineData("fw", 31, 30)]
    [InlineData("ipc", 32, 30)]
    public void Faults_in_runs_are_found(string family, int seed, int faults)
    {
        var random = new Random(seed);
        MutationTests.Check(MutationTests.Seed(
            InRuns(FilterSets.All[family].Request(random, rules: 40)), random, faults), faults);
    }

    [Fact]
    public void No_two_boxes_of_a_run_meet_and_the_first_run_with_a_packet_has_the_first_rule()
    {
        var random = new Random(5);
        for (int i = 0; i < 60; i++)
        {
            RunBox[] rules = [.. Enumerable.Range(0, random.Next(2, 40)).Select(number => Box(random, (uint)number))];
            var builder = new RunBuilder(100_000);
            Assert.All(rules, rule => Assert.True(builder.Add(rule)));
            Assert.Equal(builder.Count, builder.Runs.Sum(run => run.Count));
            Assert.True(builder.Runs.Count <= rules.Length && builder.Count <= 16 * rules.Length);
            foreach (IReadOnlyList<RunBox> run in builder.Runs)
            {
                for (int one = 0; one < run.Count; one++)
                {
                    Assert.DoesNotContain(run.Skip(one + 1), other => other.Meets(run[one]));
                }
            }

            for (int point = 0; point < 400; point++)
            {
                RunBox at = Point(random);
                RunBox[] found =
                    [.. builder.Runs.Select(run => run.FirstOrDefault(box => box.Meets(at))).Where(IsThere)];
                RunBox wanted = rules.FirstOrDefault(rule => rule.Meets(at));
                Assert.Equal(wanted.Decision, found.FirstOrDefault().Decision);
                Assert.Equal(IsThere(wanted), found.Length > 0);
            }
        }
    }

    [Fact]
    public void A_wide_policy_is_laid_out_in_runs_by_itself_and_linear_in_its_rules()
    {
        CompileRequest request = CompilerAgainstOracleTests.Request(Wide(150));
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        Assert.Empty(compiled.Failed);
        PolicyProgram ingress = Programs(compiled).First(program => program.Runs.Count > 0);
        RunProgram runs = Assert.Single(ingress.Runs); // IPv6 has tables
        Assert.Equal(IpFamily.V4, runs.Family);
        Assert.InRange(runs.Boxes, 300, 16 * 300);
        Assert.InRange(runs.Lookups, 1, 12);
        Assert.Equal(compiled.Ruleset, RulesetCompiler.Compile(request).Ruleset);
        ProverTests.Proved(request, "wide");
    }

    [Fact]
    public void What_runs_cannot_hold_either_is_refused_with_its_reason()
    {
        CompileRequest request = InRuns(CompilerAgainstOracleTests.Request(Wide(20)));
        CompiledRuleset compiled = RulesetCompiler.Compile(
            request with { Settings = request.Settings with { MaxRangeCells = 30 } });
        Assert.Equal(["one"], compiled.Closed);
        Assert.Equal("policy needs more than 30 ranges of addresses and ports", compiled.Failed["one"]);
    }

    [Fact]
    public void A_member_is_one_element_and_what_did_not_change_keeps_its_map()
    {
        PolicySnapshot before = Wide(20);
        SecurityGroup peers = before.Groups["peers"];
        PolicySnapshot after = before with
        {
            Groups = before.Groups.SetItem("peers", peers with
            {
                Members = peers.Members.Add(IpPrefix.Parse("10.77.0.9")),
            }),
        };
        CompiledRuleset first = RulesetCompiler.Compile(InRuns(CompilerAgainstOracleTests.Request(before)));
        CompiledRuleset second = RulesetCompiler.Compile(InRuns(CompilerAgainstOracleTests.Request(after)));
        Plan plan = Plan.Between(first.Ruleset, second.Ruleset);
        Assert.Empty(plan.Prepare);
        NftOp.AddElements added = Assert.IsType<NftOp.AddElements>(Assert.Single(plan.Switch));
        Assert.Equal(1, added.Elements.Count);
        Assert.False(plan.ExchangesMarkMaps);
        Assert.False(Restriction.Between(first, second));

        SecurityGroup web = before.Groups["web"];
        PolicySnapshot ruled = before with
        {
            Groups = before.Groups.SetItem("web", web with
            {
                Rules = web.Rules.Add(
                PolicyBuilder.Rule("new", "in 99 accept udp 7/7 198.18.3.0/24"))
            }),
        };
        plan = Plan.Between(first.Ruleset, RulesetCompiler.Compile(
            InRuns(CompilerAgainstOracleTests.Request(ruled))).Ruleset);
        Assert.False(plan.ExchangesMarkMaps);
        Assert.True(plan.Prepare.OfType<NftOp.AddSet>().Count() <= 2, string.Join('\n', plan.Prepare));
    }

    [Fact]
    public void Another_numbering_of_places_moves_the_epoch_behind_the_change()
    {
        PolicySnapshot before = Wide(20);
        SecurityGroup web = before.Groups["web"];
        PolicySnapshot after = before with
        {
            Groups = before.Groups.SetItem("web", web with
            {
                Rules = web.Rules.Add(
                PolicyBuilder.Rule("new", "in 99 accept udp 7/7 198.18.3.128/25"))
            }),
        };
        CompiledRuleset first = RulesetCompiler.Compile(InRuns(CompilerAgainstOracleTests.Request(before)));
        CompiledRuleset second = RulesetCompiler.Compile(InRuns(CompilerAgainstOracleTests.Request(after)));
        Assert.True(Restriction.Between(first, second));
        Assert.True(Plan.Between(first.Ruleset, second.Ruleset).ExchangesMarkMaps);
        Assert.False(Plan.Between(first.Ruleset, first.WithEpoch(0x00020000).Ruleset).ExchangesMarkMaps);

        // From tables to runs, too.
        Assert.True(Plan.Between(
            RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(before)).Ruleset, first.Ruleset)
            .ExchangesMarkMaps);
    }

    [Fact]
    public void Taking_away_is_told_from_giving_where_places_stay()
    {
        PolicySnapshot policy = Wide(20);
        Assert.False(Restricts(policy, rules => rules.Add(Rule("in 99 accept udp 7/7 198.18.3.0/24"))));
        Assert.False(Restricts(policy, rules => rules.Add(Rule("in 99 drop udp 7/7 198.18.3.0/24")))); // it is dropped
        Assert.True(Restricts(policy, rules => rules.Insert(0, Rule("in 1 drop tcp 1/65535 198.18.3.0/24"))));
        Assert.True(Restricts(policy, rules => [.. rules.Where(rule => rule.Remote is not Remote.Group)]));
        Assert.True(Restricts(policy, rules =>
            [.. rules.Select(rule => rule with { Priority = (byte)(100 - rule.Priority) })]));

        static GroupRule Rule(string text) => PolicyBuilder.Rule("new", text);

        static bool Restricts(
            PolicySnapshot policy,
            Func<System.Collections.Immutable.ImmutableArray<GroupRule>,
                System.Collections.Immutable.ImmutableArray<GroupRule>> change)
        {
            SecurityGroup web = policy.Groups["web"];
            PolicySnapshot after = policy with
            {
                Groups = policy.Groups.SetItem("web", web with { Rules = change(web.Rules) }),
            };
            return Restriction.Between(
                RulesetCompiler.Compile(InRuns(CompilerAgainstOracleTests.Request(policy))),
                RulesetCompiler.Compile(InRuns(CompilerAgainstOracleTests.Request(after))));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Changes_give_what_scratch_gives_and_whatever_they_take_away_is_noticed(int seed)
    {
        var random = new Random(seed);
        int lost = 0;
        int free = 0;
        for (int i = 0; i < 8; i++)
        {
            Snapshot state = RandomStates.Next(random, 1);
            CompiledRuleset previous = Compile(state, previous: null);
            for (int step = 0; step < 8; step++)
            {
                Snapshot next = state.Clone();
                next.Revision++;
                for (int change = random.Next(1, 3); change > 0; change--)
                {
                    RandomStates.Change(next, random);
                }

                CompiledRuleset now = Compile(next, previous);
                Assert.Equal(Compile(next, previous: null).Ruleset, now.Ruleset);
                bool restricts = Restriction.Between(previous, now);
                string? loss = RestrictionTests.FindLoss(
                    previous.Request.Policy, now.Request.Policy, random);
                Assert.True(loss is null || restricts, $"{loss}\n{state}\n{next}");
                Assert.True(restricts || !Plan.Between(previous.Ruleset, now.Ruleset).ExchangesMarkMaps
                    || previous.Request.Policy.Vnics.Count != now.Request.Policy.Vnics.Count, $"{state}\n{next}");
                lost += loss is null ? 0 : 1;
                free += restricts ? 0 : 1;
                (state, previous) = (next, now);
            }
        }

        Assert.True(lost > 1 && free > 5, $"the sample says little: {lost} losses, {free} changes without one");

        static CompiledRuleset Compile(Snapshot state, CompiledRuleset? previous) => RulesetCompiler.Compile(
            InRuns(CompilerAgainstOracleTests.Request(DeltaTests.Read(state))) with { Previous = previous });
    }

    [Fact]
    public void A_staged_policy_in_runs_counts_by_rule_and_does_nothing()
    {
        var random = new Random(6);
        for (int i = 0; i < 8; i++)
        {
            string[] rules = Rules(random);
            PolicySnapshot live = CompilerAgainstOracleTests.Snapshot(random, Rules(random));
            PolicySnapshot staged = CompilerAgainstOracleTests.Snapshot(random, rules);
            var pair = new StagedRulesetTests.Beside(InRuns(CompilerAgainstOracleTests.Request(live)), staged);
            Assert.All(pair.Shadow.Ruleset.Tables, table => Assert.Null(Bystander.Objection(table)));
            var oracle = new PolicyOracle(staged, PolicySettings.Default);
            for (int packet = 0; packet < 40; packet++)
            {
                PacketTuple tuple = CompilerAgainstOracleTests.Tuple(random);
                Direction direction = random.Next(2) == 0 ? Direction.Ingress : Direction.Egress;
                PolicyVerdict wanted = oracle.JudgeSession(staged.Vnics["one"], direction, tuple);
                StagedCount count = Assert.Single(pair.Send(CompilerAgainstOracleTests.Input(
                    live.Vnics["one"], direction, tuple, stale: false, reply: false)));
                string what = $"{direction} {tuple}: {wanted}, not {count}\n{string.Join('\n', rules)}";
                Assert.True(("one", direction, wanted.Verdict) == (count.VnicId, count.Direction, count.Verdict), what);
                Assert.True(wanted.Rule is null || count.DecidedBy == Explainer.RuleOf(wanted), what);
            }
        }
    }

    /// <summary>The map that gives numbers out is exchanged; what slips through meanwhile is judged again.</summary>
    [Fact]
    public void Where_places_get_other_numbers_the_epoch_moves_behind_the_rules()
    {
        CompilerSettings settings = CompilerSettings.Default with { MaxCells = 0 };
        var kernel = new SimulatedFirewall();
        var enforcer = new Enforcer(
            kernel, settings, PolicySettings.Default, TimeProvider.System, NullLogger.Instance);
        enforcer.Adopt(0);
        PolicySnapshot policy = Wide(10);
        enforcer.Enforce(policy, HostFacts.Default);
        enforcer.Cleanup();
        uint epoch = enforcer.Epoch;
        SecurityGroup web = policy.Groups["web"];
        PolicySnapshot more = policy with
        {
            Revision = 2,
            Groups = policy.Groups.SetItem("web", web with
            {
                Rules = web.Rules.Add(PolicyBuilder.Rule("new", "in 99 accept udp 7/7 198.18.3.128/25")),
            }),
        };
        string[] maps = ClassMaps(kernel.Ruleset);
        var seen = new List<(bool NewMap, bool OldEpoch)>();
        kernel.BeforeCommit = () => seen.Add((
            kernel.Ruleset.Tables[0].Chains.Any(chain => chain.Rules.Any(rule => rule.Exprs.Any(expr =>
                expr is NftExpr.LookupData look && look.Map.Contains("_class_", StringComparison.Ordinal)
                    && !maps.Contains(look.Map)))),
            EpochReader.Find(kernel.Ruleset, settings) == epoch));
        Assert.True(enforcer.Enforce(more, HostFacts.Default).Revalidated);
        Assert.NotEqual(epoch, enforcer.Epoch);
        Assert.Contains((true, true), seen); // the rules were there, and the epoch was still the old one
    }

    private static string[] ClassMaps(Ruleset ruleset) => [.. ruleset.Tables[0].Sets.Select(set => set.Name)
        .Where(name => name.Contains("_class_", StringComparison.Ordinal))];

    /// <summary>The same, with no room for a table.</summary>
    internal static CompileRequest InRuns(CompileRequest request) =>
        request with { Settings = request.Settings with { MaxCells = 0 } };

    /// <summary>
    /// Rules of which one half names remote addresses and the other one own addresses: their tables multiply.
    /// </summary>
    internal static PolicySnapshot Wide(int half) => new PolicyBuilder()
        .Group("peers", GroupType.Basic, Verdict.Accept, ["10.77.0.1", "10.77.0.2"])
        .Basic("web",
        [
            "in 50 accept tcp 5432/5432 group:peers",
            .. Enumerable.Range(0, half).Select(i =>
                $"in {1 + i % 100} {(i % 3 == 0 ? "drop" : "accept")} tcp {1000 + 10 * i}/{5000 + 10 * i}"
                + $" 198.18.{i}.0/24"),
            .. Enumerable.Range(0, half).Select(i =>
                $"in {1 + i % 100} {(i % 3 == 1 ? "drop" : "accept")} tcp {2000 + 10 * i}/{6000 + 10 * i} 0.0.0.0/0"
                + $" own=10.0.{i}.0/24"),
        ])
        .Nic("one", "10.0.3.8 10.0.5.8 2001:db8::8", "web").Build();

    // Many, so that they overlap.
    private static string[] Rules(Random random) =>
        [.. Enumerable.Range(0, 1 + random.Next(4)).SelectMany(_ => CompilerAgainstOracleTests.Rules(random))];

    private static IEnumerable<PolicyProgram> Programs(CompiledRuleset compiled) =>
        compiled.Profiles.Values.SelectMany(profile => (PolicyProgram[])[profile.Ingress, profile.Egress]);

    // The judgement alone, so that the mark is what it left.
    private static (HookVerdict Verdict, string? Rule, Trace Trace) Judged(
        CompiledRuleset compiled, Direction direction, PacketTuple tuple, bool reply)
    {
        Vnic vnic = compiled.Request.Policy.Vnics["one"];
        string profile = CompiledRuleset.ProfileOf(vnic);
        NftTable inet = compiled.Ruleset.Tables.First(table => table.Family == NftFamily.Inet);
        NftChain probe = Datapath.Hooked("probe", NftHook.Forward,
            [Exprs.Rule(Exprs.Jump(
                $"{profile}_{(direction == Direction.Ingress ? "in" : "out")}{(reply ? "_reply" : "")}"))], 0);
        var alone = new Ruleset(
            [inet with { Chains = inet.Chains.Where(chain => chain.Hook is null).Append(probe).ToValueArray() }]);
        Trace trace = RulesetEvaluator.Evaluate(
            alone, CompilerAgainstOracleTests.Input(vnic, direction, tuple, stale: reply, reply));
        return (trace.Verdict, compiled.RuleOf(profile, direction, trace.Mark), trace);
    }

    private static bool IsThere(RunBox box) => box.Decision != 0;

    private static RunBox Box(Random random, uint number) => new(
        Span(random), Span(random), Span(random), Span(random), Decision.Of((Verdict)random.Next(1, 3), 16 + number));

    private static Interval Span(Random random)
    {
        if (random.Next(4) == 0)
        {
            return new Interval(0, 15);
        }

        int first = random.Next(16);
        return new Interval((UInt128)first, (UInt128)random.Next(first, 16));
    }

    private static RunBox Point(Random random)
    {
        return new RunBox(At(), At(), At(), At(), 0);

        Interval At()
        {
            var at = (UInt128)random.Next(16);
            return new Interval(at, at);
        }
    }
}
