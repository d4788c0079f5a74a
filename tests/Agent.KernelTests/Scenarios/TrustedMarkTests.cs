using System.Text.Json.Nodes;
using Agent.TestNet;
using static Agent.KernelTests.Scenarios.AddressPlan;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Scenarios;

/// <summary>
/// A daemon that is told which packet mark the fabric sets on balancer and probe traffic (semantics.md 9.16).
/// </summary>
public sealed class TrustedMarkHost : ScenarioHost
{
    internal const int FabricMark = 0x0e1b;

    protected override DaemonOptions Options => new()
    {
        Configure = c => c["semantics"] = new JsonObject { ["trusted_marks"] = new JsonArray(FabricMark) },
    };
}

/// <summary>C22 and E22 with the mark that identifies the platform's own traffic.</summary>
public sealed class TrustedMarkTests(TrustedMarkHost host) : IClassFixture<TrustedMarkHost>
{
    [Theory]
    [InlineData("IPv4")]
    [InlineData("IPv6")]
    public async Task Balancer_traffic_and_platform_probes_pass_by_their_mark_alone(string family)
    {
        AddressPlan plan = Named(family);
        string ip = plan.IsV4 ? "ip" : "ip6";
        // The fabric of this lab: what comes from one address was forwarded by a balancer or is a probe.
        host.Network.Host.Nft(
            "table inet fabric\ndelete table inet fabric\ntable inet fabric {\n chain arriving {\n"
            + " type filter hook prerouting priority -310\n"
            + $" iifname uplink0 {ip} saddr {plan.Seven} meta mark set {TrustedMarkHost.FabricMark}\n }}\n}}\n");
        Scenario scenario = new("C22, E22", "marked traffic is exempt", p =>
        [
            Apply([Accepting("sg-a", $"in 1 drop all -1/-1 {p.Any}")], Nic("e1", "sg-a")),
            new ScenarioStep.Ask(
                Tcp("out", p.Seven, "e1", p.E1, 80),
                Echo("out", p.Seven, "e1", p.E1),
                Tcp("out", p.Nine, "e1", p.E1, 80).Dropped(),
                Echo("out", p.Nine, "e1", p.E1).Dropped()),
        ]);
        await host.RunAsync(scenario, plan);
    }
}
