using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Proof;

/// <summary>vNICs that look alike are proved once; what makes one of them another is never overlooked.</summary>
public sealed class QuickProofTests
{
    private const string Victim = "eni-3";

    [Fact]
    public void vNICs_that_look_alike_are_proved_once()
    {
        CompileRequest request = Host(vnics: 12, profiles: 3);
        var cache = new ProofCache();
        for (int round = 0; round < 2; round++)
        {
            Assert.True(Prove(request, RulesetCompiler.Compile(request).Ruleset, cache).IsProved);
            Assert.Equal(1, cache.Quick.Runs);
        }
    }

    [Fact]
    public void Another_rule_or_member_asks_only_for_the_judgement()
    {
        CompileRequest request = Host(vnics: 4, profiles: 2);
        var cache = new ProofCache();
        Assert.True(Prove(request, RulesetCompiler.Compile(request).Ruleset, cache).IsProved);
        SecurityGroup group = request.Policy.Groups["sg-1"];
        foreach (SecurityGroup changed in (SecurityGroup[])
        [
            group with { Rules = group.Rules.RemoveAt(3) },
            group with { Members = group.Members.Add(IpPrefix.Parse("10.99.0.1")) },
        ])
        {
            CompileRequest next = request with
            {
                Policy = request.Policy with { Groups = request.Policy.Groups.SetItem("sg-1", changed) },
            };
            Ruleset ruleset = RulesetCompiler.Compile(next).Ruleset;
            int runs = cache.Quick.Runs;
            Assert.True(Prove(next, ruleset, cache).IsProved);
            Assert.Equal(runs, cache.Quick.Runs);

            // What was right a moment ago is wrong now, and nothing in the ruleset has changed.
            Assert.NotEmpty(Faulty(Prove(request, ruleset, cache)));
        }
    }

    /// <summary>What a commit pays, in a number that repeats: 30 % above what was measured.</summary>
    [Fact]
    public void A_proof_after_a_change_of_one_rule_allocates_little()
    {
        const long KibibytesMax = 6_400;
        CompileRequest request = Host(vnics: 20, profiles: 2, rules: 100);
        var cache = new ProofCache();
        long bytes = 0;
        for (int round = 0; round < 4; round++)
        {
            SecurityGroup group = request.Policy.Groups["sg-1"];
            request = request with
            {
                Policy = request.Policy with
                {
                    Groups = request.Policy.Groups.SetItem("sg-1", group with
                    {
                        Rules = group.Rules.SetItem(7, PolicyBuilder.Rule(
                            group.Rules[7].Id, $"in 5 accept tcp {round + 100}/300 10.0.0.0/9")),
                    }),
                },
            };
            CompiledRuleset compiled = RulesetCompiler.Compile(request);
            ProofFacts facts = Verifier.FactsOf(compiled);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.True(Prover.Prove(
                compiled.Ruleset, request.Policy, request.PolicySettings, facts, cache,
                cancel: TestContext.Current.CancellationToken).IsProved);
            bytes = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Assert.True(bytes <= KibibytesMax * 1024, $"{bytes / 1024} KiB, and {KibibytesMax} are allowed");
        Assert.Equal(1, cache.Quick.Runs);
    }

    /// <summary>How often rows of sets were swept, and the verdicts of rows found: numbers that repeat.</summary>
    [Fact]
    public void A_change_is_proved_by_what_it_concerns()
    {
        CompileRequest request = Host(vnics: 2, profiles: 2, rules: 150);
        SecurityGroup group = request.Policy.Groups["sg-1"] with { Members = [IpPrefix.Parse("10.99.0.1")] };
        PolicySnapshot policy = request.Policy with { Groups = request.Policy.Groups.SetItem("sg-1", group) };
        var cache = new ProofCache();
        (int cold, int verdicts) = Work(policy);
        Assert.True(cold > 400 && verdicts > 100, $"{cold} sweeps and {verdicts} verdicts: too few to tell");

        // A narrow prefix: few addresses know the rule.
        int narrow = Enumerable.Range(0, group.Rules.Length).First(
            i => group.Rules[i].Remote is Remote.Cidr { Prefix.Length: >= 22 });
        GroupRule changed = group.Rules[narrow] with { DestinationPorts = new PortRange(61_000, 61_001) };
        (int swept, int found) = Work(policy = policy with
        {
            Groups = policy.Groups.SetItem("sg-1", group = group with { Rules = group.Rules.SetItem(narrow, changed) }),
        });
        Assert.True(swept <= 16 && found <= 8, $"one rule: {swept} sweeps and {found} verdicts, of {cold}");

        // Another member like the one that is there: no kind of addresses is new.
        (swept, found) = Work(policy = policy with
        {
            Groups = policy.Groups.SetItem("sg-1", group with
            {
                Members = group.Members.Add(IpPrefix.Parse("10.99.0.2")),
            }),
        });
        Assert.Equal((0, 0), (swept, found));

        (int Swept, int Verdicts) Work(PolicySnapshot next)
        {
            int before = cache.Functions.Swept.Count;
            int known = cache.Forms.Verdicts.Computed;
            CompileRequest now = request with { Policy = next };
            Assert.True(Prove(now, RulesetCompiler.Compile(now).Ruleset, cache).IsProved);
            return (cache.Functions.Swept.Count - before, cache.Forms.Verdicts.Computed - known);
        }
    }

    public static TheoryData<string> Faults => new(
        "rule gone", "judgements swapped", "another profile", "own address swapped", "row swapped", "row of another",
        "reply judged as request", "limit always reached", "unreadable", "symbol",
        "another stage");

    [Theory]
    [MemberData(nameof(Faults))]
    public void One_that_only_nearly_looks_alike_is_not_proved(string fault)
    {
        CompileRequest request = Host(vnics: 6, profiles: 3, rules: 6);
        Ruleset compiled = RulesetCompiler.Compile(request).Ruleset;
        Ruleset faulty = Seed(compiled, request.Policy, fault);
        Assert.NotEqual(compiled, faulty);
        var cache = new ProofCache();
        Assert.True(Prove(request, compiled, cache).IsProved);
        foreach (ProofCache used in (ProofCache[])[cache, new ProofCache()])
        {
            ProofReport report = Prove(request, faulty, used);
            Assert.Contains(Victim, Faulty(report));
            Assert.Contains("eni-1", report.Vnics.Keys.Except(Faulty(report)));
        }

        Assert.True(Prove(request, compiled, cache).IsProved);
    }

    private static Ruleset Seed(Ruleset compiled, PolicySnapshot policy, string fault)
    {
        string vnic = $"vnic_tap-{Victim}";
        string own = Convert.ToHexString(Address(policy, Victim));
        return fault switch
        {
            "rule gone" => InChain(compiled, vnic + "_in", rules => [.. rules.Where(
                rule => rule.Comment != "not for an own address")]),
            "judgements swapped" => InChain(compiled, vnic + "_in", rules => [.. rules.Select(rule => Targets(
                rule, name => name.EndsWith("_in", StringComparison.Ordinal) ? name[..^3] + "_out" : name))]),
            "reply judged as request" => InChain(compiled, vnic + "_in", rules => [.. rules.Select(rule => Targets(
                rule, name => name.Replace("_out_reply", "_out", StringComparison.Ordinal)))]),
            "another profile" => InChain(compiled, vnic + "_in", rules => [.. rules.Select(rule => Targets(
                rule, name => name.EndsWith("_in", StringComparison.Ordinal)
                    ? CompiledRuleset.ProfileOf(policy.Vnics["eni-1"]) + "_in" : name))]),
            "own address swapped" => InChain(compiled, vnic + "_in", rules => [.. rules.Select(rule => Exprs(
                rule, expr => expr is NftExpr.Cmp cmp && Convert.ToHexString([.. cmp.Data]) == own
                    ? cmp with { Data = Address(policy, "eni-0").ToValueArray() } : expr))]),
            "limit always reached" => InChain(compiled, $"limit_tap-{Victim}", rules => [new NftRule(
                rules[0].Exprs.Where(expr => expr is not NftExpr.ConnLimit).ToValueArray())]),
            "unreadable" => InChain(compiled, vnic + "_out", rules => [.. rules.Select((rule, i) => i > 0 ? rule
                : new NftRule([new NftExpr.Opaque("fib", [1, 2, 3]), .. rule.Exprs]))]),
            "symbol" => InChain(compiled, vnic + "_in", rules => [.. rules.Select(rule =>
                rule.Comment != "not for an own address" ? rule : Exprs(rule, expr => expr is NftExpr.Cmp cmp
                    && Convert.ToHexString([.. cmp.Data]) == own ? Symbols.Expr(
                        Agent.Evaluator.Forms.PacketField.OwnDestination, holds: false, IpFamily.V4) : expr))]),
            "another stage" => WithAnotherStage(compiled),
            "row swapped" => InMap(compiled, "vnic_to", rows => (Row(rows, Victim), Row(rows, "eni-0"))),
            _ => InMap(compiled, "vnic_from", rows => (Row(rows, Victim), Row(rows, "eni-0"))),
        };
    }

    // What one vNIC sends is dispatched by a map of its own, in which two receivers have changed places.
    private static Ruleset WithAnotherStage(Ruleset ruleset)
    {
        NftTable table = ruleset.Tables.First(one => one.Family == NftFamily.Inet);
        NftChain stage = table.Chains.First(chain => chain.Name.StartsWith("stage_to_", StringComparison.Ordinal));
        NftSet map = table.Sets.First(set => set.Name.StartsWith("to_", StringComparison.Ordinal));
        NftChain other = stage with
        {
            Name = "stage_x",
            Rules = stage.Rules.Select(rule => Exprs(rule, expr =>
                expr is NftExpr.LookupVerdict look && look.Map == map.Name ? look with { Map = "to_x" } : expr))
                .ToValueArray(),
        };
        Ruleset added = InTable(ruleset, one => one with
        {
            Chains = one.Chains.Append(other).OrderBy(chain => chain.Name, StringComparer.Ordinal).ToValueArray(),
            Sets = one.Sets.Append(map with { Name = "to_x" }).OrderBy(set => set.Name, StringComparer.Ordinal)
                .ToValueArray(),
        });
        added = InChain(added, "sent_tap-eni-0", rules => [.. rules.Select(rule => Exprs(rule, expr =>
            expr is NftExpr.VerdictIs { Verdict: { } verdict } && verdict.Chain == stage.Name
                ? new NftExpr.VerdictIs(verdict with { Chain = "stage_x" }) : expr))]);
        return InMap(added, "to_x", rows => (Row(rows, Victim), Row(rows, "eni-0")));
    }

    private static byte[] Address(PolicySnapshot policy, string vnic) =>
        policy.Vnics[vnic].Addresses[0].Address.GetAddressBytes();

    internal static NftRule Exprs(NftRule rule, Func<NftExpr, NftExpr> change) =>
        rule with { Exprs = rule.Exprs.Select(change).ToValueArray() };

    private static NftRule Targets(NftRule rule, Func<string, string> change) => Exprs(rule, expr =>
        expr is NftExpr.VerdictIs { Verdict: { Chain: string name } verdict }
            && name.StartsWith("p_", StringComparison.Ordinal)
            ? new NftExpr.VerdictIs(verdict with { Chain = change(name) }) : expr);

    internal static Ruleset InChain(Ruleset ruleset, string name, Func<NftRule[], NftRule[]> change) => InTable(
        ruleset, table => table with
        {
            Chains = table.Chains.Select(chain => chain.Name != name ? chain
                : chain with { Rules = change([.. chain.Rules]).ToValueArray() }).ToValueArray(),
        });

    private static int Row(NftElements rows, string vnic) => Enumerable.Range(0, rows.Count).First(
        row => NftElements.GetName(rows[row][..16]) == "tap-" + vnic);

    // Two rows exchange what they lead to.
    private static Ruleset InMap(Ruleset ruleset, string name, Func<NftElements, (int, int)> pick) => InTable(
        ruleset, table => table with
        {
            Sets = table.Sets.Select(set =>
            {
                if (set.Name != name)
                {
                    return set;
                }

                (int one, int other) = pick(set.Elements);
                var rows = new NftElements.Builder(set.Elements.RowBytes);
                for (int row = 0; row < set.Elements.Count; row++)
                {
                    int data = row == one ? other : row == other ? one : row;
                    rows.Add([.. set.Elements[row][..16], .. set.Elements[data][16..]]);
                }

                return set with { Elements = rows.Build() };
            }).ToValueArray(),
        });

    internal static Ruleset InTable(Ruleset ruleset, Func<NftTable, NftTable> change) => new(ruleset.Tables
        .Select(table => table.Family == NftFamily.Inet ? change(table) : table).ToValueArray());

    internal static string[] Faulty(ProofReport report) => [.. report.Vnics
        .Append(new KeyValuePair<string, VnicProof>("", report.Host))
        .Where(pair => pair.Value is not VnicProof.Proved).Select(pair => pair.Key)];

    internal static CompileRequest Host(int vnics, int profiles, int rules = 12) =>
        CompilerAgainstOracleTests.Request(LargePolicy.Of(vnics, profiles, rules));

    internal static ProofReport Prove(CompileRequest request, Ruleset ruleset, ProofCache? cache = null) =>
        Prover.Prove(ruleset, request.Policy, request.PolicySettings,
            Verifier.FactsOf(RulesetCompiler.Compile(request)), cache);
}
