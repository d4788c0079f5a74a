using System.Formats.Tar;
using System.IO.Compression;
using System.Text.Json.Nodes;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>The archive for a bug report, of a daemon that has something to tell.</summary>
public sealed class SupportDumpTests
{
    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    [Fact]
    public async Task A_dump_has_everything_but_secrets()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await PrepareAsync(lab);
        (CommandOutcome run, Dictionary<string, string> files) = Dump(lab);
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        JsonNode manifest = JsonNode.Parse(files["MANIFEST.json"])!;
        Assert.Equal(manifest.ToJsonString(), JsonNode.Parse(run.Output)!.ToJsonString());
        Assert.True((bool)manifest["agent_answered"]!);
        string[] missing = [.. manifest["sections"]!.AsArray().Where(one => (string?)one!["result"] != "included")
            .Select(one => (string)one!["name"]!)];
        Assert.True(missing is [] or ["journal"], string.Join(", ", missing)); // there may be no journal here

        Snapshot state = await lab.StateAsync();
        Assert.Equal(state.Revision, Snapshot.Parser.ParseJson(files["state.json"]).Revision);
        Assert.Equal(3, JsonNode.Parse(files["vnics.json"])!["vnics"]!.AsArray().Count);
        Assert.Equal("proved", (string?)JsonNode.Parse(files["verify.json"])!["result"]);
        Assert.Contains("table inet sg_agent", files["ruleset.nft"], StringComparison.Ordinal);
        Assert.Contains("sg_agent_applied_revision 1", files["metrics.txt"], StringComparison.Ordinal);
        Assert.Contains("net.netfilter.nf_conntrack_max = ", files["kernel.txt"], StringComparison.Ordinal);
        Assert.NotEqual(0, (int)JsonNode.Parse(files["sessions.json"])!["sessions"]!);
        Assert.Contains("\"eni-e2\"", files["drops.json"], StringComparison.Ordinal);

        string everything = string.Concat(files.Values);
        Assert.DoesNotContain("hunter2", everything, StringComparison.Ordinal);
        Assert.DoesNotContain("MHcCAQEE", everything, StringComparison.Ordinal);
        Assert.Contains("[removed]", files["config.json.txt"], StringComparison.Ordinal);
        Assert.Contains("[private key removed]", files["state.json"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_anonymized_dump_names_nothing_and_calls_the_same_the_same()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await PrepareAsync(lab);
        (CommandOutcome run, Dictionary<string, string> files) = Dump(lab, "--anonymize");
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        foreach ((string file, string text) in files)
        {
            foreach (string name in (string[])
                ["10.0.0.", "2001:db8", "198.51.100", "tap-e", "eni-e", "\"sg-a", "sg-b", "02:00:00:00:00:03",
                    "hunter2", "shop", "uplink0"])
            {
                Assert.False(text.Contains(name, StringComparison.Ordinal), $"{file} has {name}");
            }
        }

        Snapshot state = Snapshot.Parser.ParseJson(files["state.json"]);
        Assert.Equal(
            state.Vnics.Select(vnic => vnic.Id).Order(StringComparer.Ordinal),
            JsonNode.Parse(files["vnics.json"])!["vnics"]!.AsArray().Select(vnic => (string)vnic!["vnic_id"]!)
                .Order(StringComparer.Ordinal));
        Assert.Contains(state.Vnics[0].InterfaceName, files["ruleset.nft"], StringComparison.Ordinal);
        Assert.Contains($"vnic=\"{state.Vnics[0].Id}\"", files["metrics.txt"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task With_a_dead_daemon_the_dump_says_so_and_has_the_rest()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.Daemon.KillAsync();
        (CommandOutcome run, Dictionary<string, string> files) = Dump(lab);
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        JsonNode manifest = JsonNode.Parse(run.Output)!;
        Assert.False((bool)manifest["agent_answered"]!);
        JsonNode status = manifest["sections"]!.AsArray().Single(one => (string?)one!["name"] == "status")!;
        Assert.Equal("failed", (string?)status["result"]);
        Assert.Contains("nobody listens there any more", (string?)status["detail"], StringComparison.Ordinal);
        Assert.Contains("kernel.txt", files.Keys);
        Assert.Contains("config.json.txt", files.Keys);
    }

    /// <summary>Three vNICs, a session, a drop that is kept, and secrets where people leave them.</summary>
    private static async Task PrepareAsync(DaemonLab lab)
    {
        Snapshot state = DaemonLab.OneWayIn();
        state.Groups[0].Labels.Add("api_token", "hunter2");
        state.Groups[0].Labels.Add("team", "shop");
        state.Groups[1].Description = "-----BEGIN PRIVATE KEY----- MHcCAQEE -----END PRIVATE KEY-----";
        await lab.ApplyAsync(state);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        await DaemonLab.UntilAsync("a drop that is kept", async () =>
        {
            Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
            return Run(lab, "drops").Output.Contains("eni-e2", StringComparison.Ordinal);
        });
        await File.WriteAllTextAsync(
            Path.Combine(lab.Daemon.Directory, "planted.json"),
            "{ \"tracing\": { \"otlp_endpoint\": \"http://me:hunter2@192.0.2.1:4318\" }, \"password\": \"hunter2\" }");
    }

    private static (CommandOutcome Run, Dictionary<string, string> Files) Dump(DaemonLab lab, params string[] options)
    {
        string path = Path.Combine(lab.Daemon.Directory, "dump.tar.gz");
        string config = Path.Combine(lab.Daemon.Directory, "planted.json");
        CommandOutcome run = Run(lab,
        [
            "support-dump", "--json", path, "--config", File.Exists(config) ? config : lab.Daemon.ConfigurationPath,
            .. options,
        ]);
        var files = new Dictionary<string, string>(StringComparer.Ordinal);
        if (run.ExitCode != 0)
        {
            return (run, files);
        }

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        using var packed = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        using var tar = new TarReader(packed);
        while (tar.GetNextEntry() is TarEntry entry)
        {
            using var reader = new StreamReader(entry.DataStream ?? Stream.Null);
            files.Add(entry.Name.Split('/')[1], reader.ReadToEnd());
        }

        return (run, files);
    }

    /// <summary>In the host's namespace, where the metrics are.</summary>
    private static CommandOutcome Run(DaemonLab lab, params string[] arguments) => SystemCommand.TryRun(
        "ip", null,
        ["netns", "exec", lab.Network.Host.Name, Sgctl, "--socket", lab.Daemon.SocketPath, .. arguments]);
}
