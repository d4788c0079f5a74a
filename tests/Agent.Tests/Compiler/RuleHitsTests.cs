using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Proof;

namespace Agent.Tests.Compiler;

/// <summary>Counting hits of rules touches no verdict, and nobody who did not ask for it.</summary>
public sealed class RuleHitsTests
{
    [Fact]
    public void With_hits_everything_is_proved_and_only_what_counts_differs()
    {
        CompileRequest rich = RichPolicy.Request();
        CompiledRuleset off = RulesetCompiler.Compile(rich);
        foreach (string[] who in (string[][])[["all"], ["one"], ["closed"], ["nobody"]])
        {
            CompileRequest request = With(rich, who);
            ProverTests.Proved(request, string.Join(',', who));
            Ruleset on = RulesetCompiler.Compile(request).Ruleset;
            Assert.True(Restart.KeepsVerdicts(off.Ruleset, on) && Restart.KeepsVerdicts(on, off.Ruleset));
            Assert.Equal(on, RulesetCompiler.Compile(request).Ruleset);
        }

        CompileRequest other = rich with
        {
            Policy = rich.Policy with { Vnics = rich.Policy.Vnics.Remove("two") },
        };
        Assert.False(Restart.KeepsVerdicts(off.Ruleset, RulesetCompiler.Compile(With(other, "all")).Ruleset));
        Assert.False(Restart.KeepsVerdicts(Ruleset.Empty, off.Ruleset));
    }

    [Fact]
    public void A_vNIC_that_did_not_opt_in_has_the_chains_that_it_had()
    {
        CompileRequest rich = RichPolicy.Request();
        NftTable off = Inet(RulesetCompiler.Compile(rich));
        NftTable on = Inet(RulesetCompiler.Compile(With(rich, "two")));
        string[] changed = [.. off.Chains.Where(chain => !on.Chains.Contains(chain)).Select(chain => chain.Name)];
        Assert.Equal(["drop_from_rule", "drop_to_rule", "vnic_two_in", "vnic_two_out"],
            changed.Select(name => name.Replace("tap-", "", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_changed_rule_is_its_own_elements_and_no_more()
    {
        CompileRequest rich = With(RichPolicy.Request(), "all");
        CompiledRuleset before = RulesetCompiler.Compile(rich);
        SecurityGroup web = rich.Policy.Groups["web"];
        PolicySnapshot fewer = rich.Policy with
        {
            Groups = rich.Policy.Groups.SetItem("web", web with { Rules = web.Rules.RemoveAt(0) }),
        };
        CompiledRuleset after = RulesetCompiler.Compile(rich with { Policy = fewer, Previous = before });
        NftSet was = Inet(before).Sets.Single(set => set.Name == "hits_in");
        NftSet now = Inet(after).Sets.Single(set => set.Name == "hits_in");
        (NftElements removed, NftElements added) = NftElements.Difference(was.Elements, now.Elements);
        Assert.Equal((2, 0), (removed.Count, added.Count)); // one and router are in web
    }

    [Fact]
    public void The_limit_cuts_whole_vNICs_and_says_how_many_rules()
    {
        CompileRequest rich = RichPolicy.Request();
        CompiledRuleset all = RulesetCompiler.Compile(With(rich, "all"));
        Assert.Equal((3, 0), (all.CountedVnics.Count, all.UncountedRules));
        CompileRequest request = With(rich, "all");
        CompiledRuleset none = RulesetCompiler.Compile(
            request with { Settings = request.Settings with { MaxRuleHits = 1 } });
        Assert.Empty(none.CountedVnics);
        Assert.Equal(rich.Policy.Vnics.Values.Sum(vnic => all.RulesOf(vnic).Count()), none.UncountedRules);
        Assert.All(Inet(none).Sets.Where(set => set.Name.StartsWith("hits_", StringComparison.Ordinal)),
            set => Assert.Equal(0, set.Elements.Count));
    }

    private static CompileRequest With(CompileRequest request, params string[] who) =>
        request with { Settings = request.Settings with { RuleHits = [.. who] } };

    private static NftTable Inet(CompiledRuleset compiled) =>
        compiled.Ruleset.Find(NftFamily.Inet, compiled.Request.Settings.Table)!;
}
