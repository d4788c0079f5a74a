using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>Records of dropped packets as lines of a file and of the journal, also where there is no room.</summary>
public sealed partial class DropSinkTests : IDisposable
{
    private const string Lost = "sg_agent_drop_records_lost_total{where=\"file\"}";

    private readonly DirectoryInfo folder = ScratchDirectory.Create("drops");

    private string Target => Path.Combine(folder.FullName, "drops.json");

    public void Dispose() => folder.Delete(recursive: true);

    [Fact]
    public async Task Records_go_to_a_file_that_is_put_aside_when_it_is_full()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(ToFile);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        byte[] frame = Denied(lab, 44_000);
        await DaemonLab.UntilAsync("two files put aside", () =>
        {
            for (int i = 0; i < 100; i++)
            {
                lab.E3.Wire.Send(frame);
            }

            return File.Exists(Target + ".2");
        });
        await DaemonLab.UntilAsync("a last line", () =>
        {
            string[] lines = File.ReadAllLines(Target);
            return lines.Length > 0 && lines[^1].EndsWith('}');
        });
        Assert.False(File.Exists(Target + ".3"));
        Assert.All((string[])[Target, Target + ".1", Target + ".2"], one =>
            Assert.InRange(new FileInfo(one).Length, 1, 1 << 20));
        JsonNode line = JsonNode.Parse(File.ReadLines(Target + ".1").First())!;
        Assert.Equal(("eni-e2", "ingress", "drop", "default", "default", 44_000, 99), (
            (string?)line["vnic"], (string?)line["direction"], (string?)line["verdict"], (string?)line["reason"],
            (string?)line["rule"], (int?)line["source_port"], (int?)line["destination_port"]));
    }

    [Theory]
    [InlineData("size=64k", "No space left on device", "rm {0}/drops.json")]
    [InlineData("size=64k,ro", "Read-only file system", "mount -o remount,rw {0}")]
    public async Task What_a_file_cannot_take_is_lost_and_counted_and_said_once_until_there_is_room_again(
        string disk, string fault, string cure)
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(
            ToFile, disks: new Dictionary<string, string> { [folder.FullName] = disk });
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        byte[] frame = Denied(lab, 44_001);
        await DaemonLab.UntilAsync("many lost records", async () =>
        {
            lab.E3.Wire.Send(frame);
            return await lab.MetricAsync(Lost) > 100;
        });

        // The file is tried again each second, a change and another reader do not wait for it, and all of it is one
        // line of the log.
        await using DropStream stream = DropStream.On(lab);
        double before = await lab.MetricAsync(Lost);
        for (uint port = 44_100; port < 44_130; port++)
        {
            lab.E3.Wire.Send(Denied(lab, (int)port));
            Assert.Equal("eni-e2", (await stream.NextAsync(port)).VnicId);
            await Task.Delay(100, TestContext.Current.CancellationToken);
        }

        Snapshot open = DaemonLab.OneWayIn();
        open.Groups[1] = Isolating("sg-b", "in 1 accept udp 1/65535 10.0.0.0/24");
        await lab.ApplyAsync(open);
        Assert.True(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: true));
        Assert.True(await lab.MetricAsync(Lost) >= before + 30);
        Assert.Single(Unwritable().Matches(lab.Daemon.Log));
        Assert.Contains(fault, lab.Daemon.Log, StringComparison.Ordinal);
        Assert.All(Lines(lab), line => Assert.NotNull(JsonNode.Parse(line)?["time"])); // whole ones

        string[] words = string.Format(null, cure, folder.FullName).Split(' ');
        Assert.Equal(0, lab.Daemon.ExecInside(words).ExitCode);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await DaemonLab.UntilAsync("a record in the file", () =>
        {
            lab.E3.Wire.Send(frame);
            return Lines(lab).Length > 0;
        });
        double lost = await lab.MetricAsync(Lost);
        Assert.Equal(lost, Lines(lab).Sum(line => (long?)JsonNode.Parse(line)!["lost_before"] ?? 0)); // none is silent
        Assert.Single(Unwritable().Matches(lab.Daemon.Log));
    }

    [Fact]
    public async Task A_line_of_the_journal_is_the_whole_record()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["drops"] = new JsonObject { ["journal"] = true });
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await using DropStream stream = DropStream.On(lab);
        lab.E3.Wire.Send(Denied(lab, 44_300));
        DropRecord record = await stream.NextAsync(44_300);
        JsonNode? line = null;
        await DaemonLab.UntilAsync("a line", () => (line = lab.Daemon.Log.Split('\n')
            .Where(text => text.EndsWith('}') && text.Contains("44300", StringComparison.Ordinal))
            .Select(text => JsonNode.Parse(text[text.IndexOf('{', StringComparison.Ordinal)..]))
            .FirstOrDefault()) is not null);
        Assert.Equal(record.Time.ToDateTime(), DateTime.Parse((string)line!["time"]!, null).ToUniversalTime());
        line.AsObject().Remove("time");
        Assert.Equal($$"""
            {"vnic":"eni-e2","interface":"tap-e2","direction":"ingress","verdict":"drop","reason":"default",
            "rule":"default","protocol":"udp","source":"{{lab.E3.V4}}","source_port":44300,
            "destination":"{{lab.E2.V4}}","destination_port":99,"length":29,"ether_type":2048,
            "mac":"02:00:00:00:00:02"}
            """.Replace("\n", "", StringComparison.Ordinal), line.ToJsonString());
    }

    private void ToFile(JsonObject config) => config["drops"] = new JsonObject
    {
        ["per_second"] = 100_000,
        ["burst"] = 100_000,
        ["file"] = Target,
        ["file_max_mb"] = 1,
        ["file_keep"] = 2,
    };

    // What the daemon sees there.
    private string[] Lines(DaemonLab lab) =>
        lab.Daemon.ExecInside("cat", Target).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private static byte[] Denied(DaemonLab lab, int port) => Packets.FrameOf(
        lab.E3.HostMac, lab.E3.Mac, Packets.Udp(lab.E3.V4, lab.E2.V4, port, 99, [1]));

    [GeneratedRegex("records of dropped packets cannot be written to")]
    private static partial Regex Unwritable();
}
