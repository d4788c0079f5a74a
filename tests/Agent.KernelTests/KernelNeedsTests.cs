using Agent.KernelTests.Nftables;
using Agent.Nftables;

namespace Agent.KernelTests;

public class KernelNeedsTests
{
    [Theory]
    [InlineData("5.2.21-generic", "CONFIG_NF_CONNTRACK_BRIDGE=m", true)]
    [InlineData("6.1.0-56-cloud-amd64", "CONFIG_NF_CONNTRACK_BRIDGE=m", false)]
    [InlineData("6.1.0-56-cloud-amd64", "CONFIG_NF_CONNTRACK_BRIDGE=y", false)]
    [InlineData("6.18.44", "# CONFIG_NF_CONNTRACK_BRIDGE is not set", true)]
    [InlineData("6.18.44", null, false)]
    public void Age_and_build_excuse_a_kernel_and_nothing_else_does(string release, string? line, bool excused)
    {
        KernelBuild build = new(KernelBuild.Parse(release), line is null ? null : new HashSet<string> { line });
        Assert.Equal(excused, KernelNeeds.Excuse(KernelFeature.BridgeConntrack, build) is not null);
    }

    [Fact]
    public void The_reason_names_what_is_missing()
    {
        KernelBuild old = new(new Version(6, 1), null);
        Assert.Equal(
            "needs owner+persist tables: since Linux 6.9, this is 6.1",
            KernelNeeds.Excuse(KernelFeature.OwnerPersist, old));
    }

    [Fact]
    public void The_running_kernel_has_what_its_age_and_build_promise_and_nothing_more()
    {
        Namespace.MustBeThrowaway();
        NftFeatures found = NftFeatures.Probe();
        KernelBuild build = KernelBuild.Running();
        foreach (KernelFeature feature in (KernelFeature[])
            [KernelFeature.OwnerPersist, KernelFeature.NetdevHookByName, KernelFeature.BridgeConntrack])
        {
            bool promised = KernelNeeds.Excuse(feature, build) is null;
            Assert.True(promised == feature.In(found).Available, $"{feature.Name}: {feature.In(found).Detail}");
        }
    }
}
