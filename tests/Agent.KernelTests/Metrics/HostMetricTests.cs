using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Metrics;

/// <summary>What is exported of the host is what the host has: asked of others than the daemon.</summary>
public sealed class HostMetricTests
{
    [Fact]
    public async Task Sessions_of_each_vNIC_and_of_all_are_those_of_the_table()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        Open(lab.E1, lab.E2, 7);
        Open(lab.E1, lab.Network.Outsider, 4);
        Open(lab.E3, lab.E2, 5); // dropped: none
        DateTimeOffset before = DateTimeOffset.UtcNow.AddMilliseconds(-1);

        // The first scrape begins to walk, and does not wait.
        ExpositionPage page = await ExpositionPage.ReadAsync(lab);
        await DaemonLab.UntilAsync("a walk", async () =>
        {
            page = await ExpositionPage.ReadAsync(lab);
            return page.Samples["sg_agent_vnic_sessions_timestamp_seconds"] > 0;
        });
        Assert.Equal((11, 7, 0), (Sessions("eni-e1"), Sessions("eni-e2"), Sessions("eni-e3")));
        AssertBetween(before, page.Samples["sg_agent_vnic_sessions_timestamp_seconds"], DateTimeOffset.UtcNow);
        // Scrapes are sessions of the host.
        Assert.InRange(page.Samples["sg_agent_conntrack_entries"], 11, SessionTable.Count(lab.Network.Host) + 5);
        Assert.Equal(
            lab.Network.Host.ReadSysctl("net/netfilter/nf_conntrack_max"),
            $"{page.Samples["sg_agent_conntrack_limit"]}");

        double Sessions(string vnic) => page.Samples[$"sg_agent_vnic_sessions{{vnic=\"{vnic}\"}}"];
    }

    [Fact]
    public async Task Sizes_are_those_that_nft_lists()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = DaemonLab.OneWayIn();
        state.Groups[0].Members.AddRange(Enumerable.Range(1, 50).Select(i => $"10.77.{2 * i}.0/24"));
        await lab.ApplyAsync(state);
        await lab.SettledAsync();
        ExpositionPage page = await ExpositionPage.ReadAsync(lab);
        JsonObject[] listed = [.. JsonNode.Parse(lab.Network.Host.Exec("nft", "-j", "list", "ruleset"))!["nftables"]!
            .AsArray().Select(one => one!.AsObject())];
        string[] families = [.. listed.Where(one => one.ContainsKey("table"))
            .Select(one => (string)one["table"]!["family"]!).Order(StringComparer.Ordinal)];
        Assert.Contains("inet", families);
        Assert.Equal(families, Families("sg_agent_set_elements"));
        Assert.Equal(families, Families("sg_agent_ruleset_objects"));
        foreach (string family in families)
        {
            JsonNode[] sets = [.. Of(family, "set", "map")];
            Assert.Equal(sets.Sum(Elements), page.Labels("sg_agent_set_elements")
                .Where(name => name.Contains($"\"{family}\"", StringComparison.Ordinal))
                .Sum(name => page.Samples[name]));
            Assert.Equal(sets.Where(set => Named(set, "adr_")).Sum(Elements),
                page.Samples[$"sg_agent_set_elements{{family=\"{family}\",use=\"addresses\"}}"]);
            Assert.Equal(sets.Where(set => Named(set, "p_")).Sum(Elements),
                page.Samples[$"sg_agent_set_elements{{family=\"{family}\",use=\"policies\"}}"]);
            foreach ((string kind, string[] names) in ((string, string[])[])
                [
                    ("sets", ["set", "map"]), ("chains", ["chain"]), ("rules", ["rule"]),
                    ("objects", ["counter", "ct timeout"]),
                ])
            {
                Assert.Equal((family, kind, Of(family, names).Count()), (family, kind,
                    (int)page.Samples[$"sg_agent_ruleset_objects{{family=\"{family}\",kind=\"{kind}\"}}"]));
            }
        }

        Assert.True(page.Samples["sg_agent_set_elements{family=\"inet\",use=\"addresses\"}"] >= 50);

        IEnumerable<JsonNode> Of(string family, params string[] kinds) => listed
            .SelectMany(one => kinds.Select(kind => one[kind])).OfType<JsonNode>()
            .Where(one => (string?)one["family"] == family);
        string[] Families(string gauge) => [.. page.Labels(gauge).Select(name => name.Split('"')[1]).Distinct()
            .Order(StringComparer.Ordinal)];
        static int Elements(JsonNode set) => set["elem"]?.AsArray().Count ?? 0;
        static bool Named(JsonNode set, string prefix) =>
            ((string)set["name"]!).StartsWith(prefix, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Times_of_revisions_are_when_they_came_and_when_they_were_in_force_and_outlive_a_restart()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        ExpositionPage first = await ExpositionPage.ReadAsync(lab);
        Assert.Equal((0, 0), (first.Samples["sg_agent_desired_timestamp_seconds"],
            first.Samples["sg_agent_applied_revision"]));
        DateTimeOffset before = DateTimeOffset.UtcNow.AddMilliseconds(-1);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        DateTimeOffset after = DateTimeOffset.UtcNow;
        double desired = await DesiredAsync(lab);
        double applied = await AppliedAsync(lab);
        AssertBetween(before, desired, after);
        AssertBetween(before, applied, after);
        Assert.True(applied >= desired);

        // What is refused is not heard.
        Snapshot refused = DaemonLab.OneWayIn();
        refused.Vnics[0].Mac = "no";
        Assert.NotNull((await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = refused, NextRevision = true },
            cancellationToken: TestContext.Current.CancellationToken)).Refused);
        Assert.Equal((desired, applied), (await DesiredAsync(lab), await AppliedAsync(lab)));

        await Task.Delay(1100, TestContext.Current.CancellationToken);
        DateTimeOffset restart = DateTimeOffset.UtcNow;
        await lab.Daemon.RestartAsync();
        await ExpositionPage.ReadAsync(lab);
        Assert.InRange(await DesiredAsync(lab), desired - 1, desired + 1); // a file's time
        AssertBetween(restart, await AppliedAsync(lab), DateTimeOffset.UtcNow);
        Assert.Equal(1, await lab.MetricAsync("sg_agent_applied_revision"));

        DateTimeOffset second = DateTimeOffset.UtcNow.AddMilliseconds(-1);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        AssertBetween(second, await DesiredAsync(lab), DateTimeOffset.UtcNow);
        Assert.Equal(2, await lab.MetricAsync("sg_agent_desired_revision"));
    }

    /// <summary>A plan that somebody else's commit has overtaken: the kernel says ERESTART, and there is another one.
    /// </summary>
    [Fact]
    public async Task What_the_kernel_refuses_is_counted_by_the_name_of_its_error()
    {
        const string Restart = "sg_agent_netlink_errors_total{error=\"ERESTART\"}";
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync(); // others' commits matter there only
        lab.Network.Host.Nft("table inet other { set s { type ipv4_addr; }; }\n");
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        double before = (await ExpositionPage.ReadAsync(lab)).Samples.GetValueOrDefault(Restart);
        int change = 0;
        await lab.WhileOthersCommitAsync("inet other s", () => DaemonLab.UntilAsync("an overtaken plan", async () =>
        {
            Snapshot state = DaemonLab.OneWayIn();
            state.Groups[0].Members.Add($"10.9.0.{++change % 250}");
            await lab.ApplyAsync(state);
            return (await ExpositionPage.ReadAsync(lab)).Samples.GetValueOrDefault(Restart) > before;
        }));
    }

    private static void Open(NetworkEndpoint from, NetworkEndpoint to, int sessions)
    {
        for (int i = 0; i < sessions; i++)
        {
            from.Wire.Send(Packets.FrameOf(
                from.HostMac, from.Mac, Packets.Udp(from.V4, to.V4, PortNumbers.Next(), 4000, [1])));
        }
    }

    private static Task<double> DesiredAsync(DaemonLab lab) => lab.MetricAsync("sg_agent_desired_timestamp_seconds");

    private static Task<double> AppliedAsync(DaemonLab lab) => lab.MetricAsync("sg_agent_applied_timestamp_seconds");

    private static void AssertBetween(DateTimeOffset first, double seconds, DateTimeOffset last) => Assert.InRange(
        seconds, first.ToUnixTimeMilliseconds() / 1000.0, (last.ToUnixTimeMilliseconds() + 1) / 1000.0);
}
