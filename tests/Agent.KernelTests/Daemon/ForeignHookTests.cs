using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>What others hook beside us: found, with the packets that it concerns, and never touched.</summary>
public sealed class ForeignHookTests : IAsyncLifetime
{
    private static readonly string Program = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    private DaemonLab lab = null!;

    public async ValueTask InitializeAsync()
    {
        lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
    }

    public ValueTask DisposeAsync() => lab.DisposeAsync();

    [Fact]
    public async Task Chains_that_concern_nothing_that_the_policy_admits_are_no_findings()
    {
        lab.Network.Host.Nft($$"""
            table ip others {
              chain pre {
                type filter hook prerouting priority -300; policy accept;
                iifname "{{lab.E3.HostDevice}}" ip saddr 192.0.2.9 meta l4proto tcp drop
              }
              chain early { type filter hook forward priority -200; policy accept; counter; }
              chain onward {
                type filter hook forward priority 10; policy accept;
                iifname "{{lab.E3.HostDevice}}" oifname "{{lab.E2.HostDevice}}" ip saddr {{lab.E3.V4}} drop
                oifname "{{lab.E2.HostDevice}}" ct state new tcp dport 23 drop
                oifname "no-such-device" drop
              }
            }
            table ip6 empty {
              chain onward { type filter hook forward priority 0; policy accept; }
            }

            """);
        // A chain that does matter comes last: once it is found, the others were looked at.
        lab.Network.Host.Nft("""
            table ip6 last {
              chain onward { type filter hook forward priority 5; policy drop; }
            }

            """);
        IReadOnlyList<ForeignChain> found = await FindingsAsync(chain => chain.Chain == "ip6 last onward");
        Assert.All(found, one => Assert.Equal(("ip6 last onward", ""), (one.Chain, one.Chain == "ip6 last onward" ? ""
            : $"{one.Effect} {one.VnicId}: {one.Detail}")));
    }

    [Theory]
    [InlineData("forward", 10)]
    [InlineData("forward", -300)]
    [InlineData("prerouting", -150)]
    [InlineData("postrouting", 20)]
    public async Task A_drop_of_what_the_policy_admits_is_found_wherever_it_stands(string hook, int priority)
    {
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        lab.Network.Host.Nft($$"""
            table ip others {
              chain c { type filter hook {{hook}} priority {{priority}}; policy accept; udp dport 1000-65535 drop; }
            }

            """);
        IReadOnlyList<ForeignChain> found = await FindingsAsync(chain => chain.VnicId == "eni-e2");
        ForeignChain drops = Assert.Single(found, chain => chain.VnicId == "eni-e2"
            && chain.Detail.Contains($"-> {lab.E2.V4}:", StringComparison.Ordinal));
        Assert.Equal(("ip others c", hook, priority, "drops"), (drops.Chain, drops.Hook, drops.Priority, drops.Effect));
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false)); // so it is true
        Assert.Equal(0, await lab.MetricAsync("sg_agent_drift_repairs_total"));

        lab.Network.Host.Exec("nft", "delete", "table", "ip", "others");
        await DaemonLab.UntilAsync("an end of it", async () => (await lab.StatusAsync()).ForeignChains.Count == 0);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
    }

    [Theory]
    [InlineData("type filter hook forward priority 10; policy accept; ct mark set 0", "changes_epoch")]
    [InlineData("type filter hook forward priority 10; policy accept; meta mark 0 udp dport 1000-65535 drop", "drops")]
    [InlineData("type nat hook postrouting priority 100; policy accept; masquerade", "unknown")]
    [InlineData("type filter hook forward priority 10; policy accept; limit rate 10/second drop", "unknown")]
    public async Task What_is_done_to_marks_and_addresses_is_found_or_said_to_be_unknown(string chain, string effect)
    {
        lab.Network.Host.Nft($"table ip others {{\nchain c {{ {chain}; }}\n}}\n");
        IReadOnlyList<ForeignChain> found = await FindingsAsync(one => one.Chain == "ip others c");
        Assert.All(found, one => Assert.Equal(effect, one.Effect));
        string text = await Sgctl();
        Assert.Contains("finding: chain ip others c", text, StringComparison.Ordinal);
    }

    private async Task<IReadOnlyList<ForeignChain>> FindingsAsync(Func<ForeignChain, bool> awaited)
    {
        IReadOnlyList<ForeignChain> found = [];
        await DaemonLab.UntilAsync("a finding", async () =>
        {
            found = (await lab.StatusAsync()).ForeignChains;
            return found.Any(awaited);
        });
        return found;
    }

    private Task<string> Sgctl() => Task.Run(() => lab.Network.Host.Exec(
        Program, "--socket", lab.Daemon.SocketPath, "status"));
}
