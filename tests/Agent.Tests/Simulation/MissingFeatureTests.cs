using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Nftables;
using Agent.Policy;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Simulation;

/// <summary>
/// 7 of the peers' failures (Agent.KernelTests/README.md): a feature or module of the kernel is missing, and nobody is
/// told. The real enforcer on a kernel that lacks one thing after the other, as if its module were not there.
/// </summary>
public class MissingFeatureTests
{
    private static readonly PolicySnapshot First = EnforcerTests.Policy(
        1,
        web: ["in 1 accept tcp 80/80 0.0.0.0/0", "in 2 accept udp 500/600 10.0.0.0/8"],
        data: ["in 1 drop tcp 1/9 ::/0"]);

    private static readonly PolicySnapshot Narrower = EnforcerTests.Policy(2, web: []);

    /// <summary>All that the ruleset of the policy needs, and that a module brings.</summary>
    public static TheoryData<string> Features()
    {
        var kernel = new SimulatedFirewall();
        Start(kernel).Enforce(First, HostFacts.Default);
        return [.. kernel.Committed.SelectMany(ops => ops).SelectMany(NeedsOf).Distinct().Order()];
    }

    [Theory]
    [MemberData(nameof(Features))]
    public void A_kernel_without_a_feature_or_module_is_never_said_to_enforce_what_needs_it(string feature)
    {
        var kernel = new SimulatedFirewall { Refuses = op => NeedsOf(op).Contains(feature) ? "not supported" : null };
        Enforcer enforcer = Start(kernel);
        if (Enforces(enforcer, First))
        {
            // Somebody can do without; who cannot is named with the reason, and is closed.
            Assert.NotEmpty(enforcer.Enforced!.Failed);
            Assert.All(enforcer.Enforced.Failed.Values, why => Assert.Contains("not supported", why));
        }

        // The module is loaded: nothing is left of its absence.
        kernel.Refuses = _ => null;
        AssertEnforced(kernel, enforcer, First);
    }

    [Theory]
    [MemberData(nameof(Features))]
    public void A_feature_or_module_that_goes_missing_leaves_what_is_enforced(string feature)
    {
        var kernel = new SimulatedFirewall();
        Enforcer enforcer = Start(kernel);
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        Ruleset before = kernel.Ruleset;
        kernel.Refuses = op => NeedsOf(op).Contains(feature) ? "not supported" : null;
        int commits = kernel.Committed.Count;
        if (!Enforces(enforcer, Narrower))
        {
            Assert.All(
                before.Tables.SelectMany(table => table.Chains).Where(chain => chain.Hook is not null),
                chain => Assert.Contains(chain, kernel.Ruleset.Tables.SelectMany(table => table.Chains)));
        }
        else if (enforcer.Enforced!.Failed.Count == 0)
        {
            // What it needs was not asked for again.
            Assert.DoesNotContain(
                kernel.Committed.Skip(commits).SelectMany(ops => ops), op => NeedsOf(op).Contains(feature));
            AssertEnforced(kernel, enforcer, Narrower);
        }

        kernel.Refuses = _ => null;
        AssertEnforced(kernel, enforcer, Narrower);
    }

    private static IEnumerable<string> NeedsOf(NftOp op) => op switch
    {
        NftOp.AddTable table => [$"family {table.Family}"],
        NftOp.AddChain { Hook: { } hook } => [$"hook {hook.Hook}"],
        NftOp.AddSet { Set: var set } =>
            [$"set {set.Kind}{(set.Interval ? set.Key.Count > 1 ? " of boxes" : " of ranges" : "")}"],
        NftOp.AddObject { Object: var one } => [$"object {one.GetType().Name}"],
        NftOp.AddRule { Rule: var rule } => rule.Exprs.Select(expr => $"expression {expr.GetType().Name}"),
        _ => [],
    };

    private static bool Enforces(Enforcer enforcer, PolicySnapshot policy)
    {
        try
        {
            enforcer.Enforce(policy, HostFacts.Default);
            return true;
        }
        catch (EnforcementFailedException)
        {
            return false;
        }
    }

    private static void AssertEnforced(SimulatedFirewall kernel, Enforcer enforcer, PolicySnapshot policy)
    {
        enforcer.Enforce(policy, HostFacts.Default);
        enforcer.Cleanup();
        Assert.Empty(enforcer.Enforced!.Failed);
        Assert.Equal(
            RulesetCompiler.Compile(new CompileRequest(
                policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, enforcer.Epoch)).Ruleset,
            kernel.Ruleset);
    }

    private static Enforcer Start(SimulatedFirewall kernel)
    {
        var enforcer = new Enforcer(
            kernel, CompilerSettings.Default, PolicySettings.Default, TimeProvider.System, NullLogger.Instance);
        enforcer.Adopt(0);
        return enforcer;
    }
}
