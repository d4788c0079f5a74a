using Agent.Compiler;
using Agent.Tests.Compiler;

namespace Agent.Tests.Proof;

/// <summary>What stands in the bridge family is proved to be the policy, or to drop everything.</summary>
public sealed class BridgeProofTests
{
    [Fact]
    public void A_bridge_where_nothing_is_judged_drops_every_frame_of_a_vnic()
    {
        CompileRequest rich = RichPolicy.Request();
        Proved(rich with { Host = rich.Host with { Bridge = BridgeLayer.Closed } }, "closed");
    }

    [Fact]
    public void A_policy_that_uses_everything_is_proved_at_bridges() => Proved(Bridged(RichPolicy.Request()), "rich");

    [Fact]
    public void VPCs_with_zones_and_without_are_proved_at_bridges()
    {
        foreach (string[] listed in (string[][])[[], ["vpc-a"], ["vpc-a", "vpc-b"]])
        {
            Proved(Bridged(CompilerAgainstOracleTests.Request(
                ZoneTests.Tenants() with { Vpcs = ZoneTests.Vpcs(listed).Vpcs })), string.Join(',', listed));
        }
    }

    internal static CompileRequest Bridged(CompileRequest request) => request with
    {
        Host = request.Host with { Bridge = BridgeLayer.Open, Bridges = ["br0", "br1"] },
    };

    private static void Proved(CompileRequest request, string what) => ProverTests.Proved(request, what);
}
