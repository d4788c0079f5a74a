namespace Agent.KernelTests.Scenarios;

/// <summary>Every row of semantics.md section 8 that speaks of packets, with real ones, in both families.</summary>
public sealed class ScenarioTests(ScenarioHost host) : IClassFixture<ScenarioHost>
{
    private static readonly Dictionary<string, Scenario> ById =
        CoreScenarios.All.Concat(FurtherScenarios.All).ToDictionary(s => s.Id);

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (Scenario scenario in ById.Values)
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

    [Theory]
    [MemberData(nameof(Cases))]
    public Task The_verdict_is_the_documented_one(string scenario, string family) =>
        host.RunAsync(ById[scenario], AddressPlan.Named(family));
}
