namespace Agent.KernelTests.Spoofing;

/// <summary>
/// Every frame of the table from a guest that is routed: it comes through, or exactly its counter moves.
/// </summary>
public sealed class RoutedGuardTests(RoutedGuardHost host) : IClassFixture<RoutedGuardHost>
{
    public static TheoryData<string, string> Cases => GuardHost.Cases();

    [Theory]
    [MemberData(nameof(Cases))]
    public Task A_frame_comes_through_or_its_kind_is_counted(string guest, string frame) =>
        host.CheckAsync(guest, frame);

    [Fact]
    public void Nft_lists_and_reloads_the_guard()
    {
        string listing = host.Network.Host.Exec("nft", "-s", "list", "table", "netdev", "sg_agent");
        Assert.Contains("not the vNIC's MAC address", listing, StringComparison.Ordinal);
        Assert.Contains("ip saddr != 10.0.0.8", listing, StringComparison.Ordinal);
        Assert.Contains("ip6 saddr != fe80::ff:fe00:1", listing, StringComparison.Ordinal);
        Assert.Contains("elements = { 10.0.0.7, 10.3.0.0/28,", listing, StringComparison.Ordinal);
        Assert.Contains("ip frag-off & 8191 != 0 accept", listing, StringComparison.Ordinal);

        // The owner flag is the daemon's, and nft 1.0.6 has no word for the target of a solicitation, so that it cannot
        // compare it with a set of addresses. The rest is text that it reads again.
        host.Network.Host.Nft(string.Join('\n', listing.Split('\n').Where(line =>
            !line.TrimStart().StartsWith("flags owner", StringComparison.Ordinal)
            && !line.Contains("@th,64,128 != @", StringComparison.Ordinal)))
            .Replace("table netdev sg_agent", "table netdev reloaded", StringComparison.Ordinal));
        host.Network.Host.Nft("delete table netdev reloaded\n");
    }
}

/// <summary>
/// The same frames from a port of a bridge, where what passes arrives on the outsider's wire as it was.
/// </summary>
public sealed class BridgedGuardTests(BridgedGuardHost host) : IClassFixture<BridgedGuardHost>
{
    public static TheoryData<string, string> Cases => GuardHost.Cases();

    [Theory]
    [MemberData(nameof(Cases))]
    public Task A_frame_comes_through_or_its_kind_is_counted(string guest, string frame)
    {
        KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        return host.CheckAsync(guest, frame);
    }
}
