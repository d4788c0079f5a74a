namespace Agent.KernelTests.Scenarios;

/// <summary>Every row of semantics.md section 8 that speaks of packets, with real ones, in both families.</summary>
public sealed class ScenarioTests(ScenarioHost host) : IClassFixture<ScenarioHost>
{
    private static readonly Dictionary<string, Scenario> ById =
        CoreScenarios.All.Concat(FurtherScenarios.All).ToDictionary(s => s.Id);

    public static TheoryData<string, string> Cases => CasesOf(ById.Values);

    internal static Scenario Named(string id) => ById[id];

    [Theory]
    [MemberData(nameof(Cases))]
    public Task The_verdict_is_the_documented_one(string scenario, string family) =>
        host.RunAsync(Named(scenario), AddressPlan.Named(family));

    private static TheoryData<string, string> CasesOf(IEnumerable<Scenario> scenarios)
    {
        TheoryData<string, string> cases = [];
        foreach (Scenario scenario in scenarios)
        {
            cases.Add(scenario.Id, "IPv4");
            if (!scenario.OneFamily)
            {
                cases.Add(scenario.Id, "IPv6");
            }
        }

        return cases;
    }
}

/// <summary>Guests that are ports of a Linux bridge.</summary>
public sealed class BridgedScenarioHost : ScenarioHost
{
    protected override Agent.TestNet.Topology Topology => Agent.TestNet.Topology.Bridged;
}

/// <summary>The same rows, the same packets, the same verdicts at a bridge.</summary>
public sealed class BridgedScenarioTests(BridgedScenarioHost host) : IClassFixture<BridgedScenarioHost>
{
    public static TheoryData<string, string> Cases => ScenarioTests.Cases;

    [Theory]
    [MemberData(nameof(Cases))]
    public Task The_verdict_is_the_documented_one(string scenario, string family)
    {
        KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        return host.RunAsync(ScenarioTests.Named(scenario), AddressPlan.Named(family));
    }
}
