using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator.Proof;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Proof;

/// <summary>What the compiler makes of a policy is proved to be the policy, for all packets.</summary>
public sealed class ProverTests
{
    [Theory]
    [InlineData(1, 60)]
    [InlineData(2, 60)]
    public void Random_policies_are_proved(int seed, int policies)
    {
        var random = new Random(seed);
        for (int i = 0; i < policies; i++)
        {
            string[] rules = CompilerAgainstOracleTests.Rules(random);
            Proved(CompilerAgainstOracleTests.Request(CompilerAgainstOracleTests.Snapshot(random, rules)),
                string.Join('\n', rules));
        }
    }

    [Theory]
    [InlineData("acl")]
    [InlineData("fw")]
    [InlineData("ipc")]
    public void Filter_sets_are_proved(string family)
    {
        for (int seed = 0; seed < 3; seed++)
        {
            Proved(FilterSets.All[family].Request(new Random(seed), rules: 160), $"{family} {seed}");
        }
    }

    [Fact]
    public void A_policy_that_uses_everything_is_proved() => Proved(RichPolicy.Request(), "rich");

    [Fact]
    public void Scenarios_are_proved()
    {
        foreach (Scenario scenario in Scenarios.All)
        {
            Proved(new CompileRequest(scenario.Snapshot, scenario.Settings, CompilerSettings.Default,
                HostFacts.Default, RichPolicy.Epoch), scenario.Id);
        }
    }

    [Fact]
    public void VPCs_with_zones_and_without_are_proved()
    {
        foreach (string[] listed in (string[][])[[], ["vpc-a"], ["vpc-b"], ["vpc-a", "vpc-b"]])
        {
            Proved(CompilerAgainstOracleTests.Request(
                ZoneTests.Tenants() with { Vpcs = ZoneTests.Vpcs(listed).Vpcs }), string.Join(',', listed));
        }
    }

    [Fact]
    public void Every_switch_of_semantics_and_layout_is_proved()
    {
        CompileRequest rich = RichPolicy.Request();
        CompileRequest[] requests =
        [
            rich with { ClosedVnics = rich.ClosedVnics.Add("two", "a test") },
            rich with { Settings = rich.Settings with { MaxSessionsPerVnic = 0 } },
            rich with { Settings = rich.Settings with { EpochMask = 0x00ff0000, ManagedInterfaces = [] } },
            rich with { Settings = rich.Settings with { AdoptsSessions = true }, Adopting = ["one"] },
            rich with { Host = rich.Host with { TimeoutProtocols = [], SessionLimits = false } },
            rich with { Host = rich.Host with { LogFamilies = [] } },
            rich with { Settings = rich.Settings with { DropRate = 0 } },
            rich with { Settings = rich.Settings with { DropRate = 7, DropBurst = 1, FlowVnics = ["*"] } },
            rich with { Settings = rich.Settings with { FlowVnics = ["two"], FlowRules = ["web/r1", "web/r12"] } },
            rich with { Settings = rich.Settings with { ExpandedPorts = 0 } },
            rich with { Settings = rich.Settings with { RuleHits = ["all"] } },
            rich with
            {
                PolicySettings = rich.PolicySettings with
                {
                    EgressInner = EgressInner.InnerFirst,
                    TrustedMarks = [],
                    PlatformBlockedTcpPorts = [25, 26, 465],
                    MetadataAddresses = [],
                    DhcpServers = [IpPrefix.Parse("10.0.0.2"), IpPrefix.Parse("fd00::/64")],
                    HostServices =
                    [
                        HostService.Parse("udp/53")!.Value, HostService.Parse("icmp")!.Value,
                        HostService.Parse("tcp/8775@169.254.169.254")!.Value,
                    ],
                },
            },
        ];
        for (int i = 0; i < requests.Length; i++)
        {
            Proved(requests[i], $"request {i}");
        }
    }

    internal static void Proved(CompileRequest request, string what)
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        ProofReport report = Prover.Prove(
            compiled.Ruleset, request.Policy, request.PolicySettings, Verifier.FactsOf(compiled));
        Assert.True(report.IsProved, $"{what}\n{Text(report)}");
    }

    internal static string Text(ProofReport report) => string.Join('\n', report.Vnics
        .Select(pair => (pair.Key, pair.Value)).Append(("host", report.Host))
        .Where(pair => pair.Item2 is not VnicProof.Proved)
        .Select(pair => $"{pair.Item1}: {pair.Item2}"));
}
