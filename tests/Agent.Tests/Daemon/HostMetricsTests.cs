using System.Text;
using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Enforcement;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;
using Prometheus;

namespace Agent.Tests.Daemon;

/// <summary>Sizes of what is in force, and of nothing that was.</summary>
public sealed class HostMetricsTests
{
    [Fact]
    public async Task Series_of_a_table_end_with_it()
    {
        CollectorRegistry registry = Metrics.NewCustomRegistry();
        var state = new AgentState { Enforced = Compiled(BridgeLayer.Closed) };
        HostMetrics.Add(registry, () => state);
        string page = await PageAsync(registry);
        Assert.Contains("sg_agent_set_elements{family=\"bridge\",use=\"dispatch\"} 1\n", page);
        Assert.Contains("sg_agent_ruleset_objects{family=\"bridge\",kind=\"chains\"} 3\n", page);
        state = state with { Enforced = Compiled(BridgeLayer.None) };
        page = await PageAsync(registry);
        Assert.DoesNotContain("family=\"bridge\"", page);
        Assert.Contains("sg_agent_ruleset_objects{family=\"inet\",kind=\"chains\"}", page);
        Assert.Contains("sg_agent_ruleset_objects{family=\"netdev\",kind=\"objects\"} 9\n", page);
    }

    private static CompiledRuleset Compiled(BridgeLayer bridge)
    {
        CompileRequest request = CompilerAgainstOracleTests.Request(
            new PolicyBuilder().Advanced("sg").Nic("n", "10.0.0.8", "sg").Build());
        return RulesetCompiler.Compile(request with
        {
            Host = HostFacts.Default with { Bridge = bridge, LogFamilies = [] },
        });
    }

    private static async Task<string> PageAsync(CollectorRegistry registry)
    {
        using var page = new MemoryStream();
        await registry.CollectAndExportAsTextAsync(page, TestContext.Current.CancellationToken);
        return Encoding.UTF8.GetString(page.ToArray());
    }
}
