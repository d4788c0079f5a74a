using System.Text.Json.Nodes;
using Agent.Daemon.Logging;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Logging;

/// <summary>What the real daemon says to a journal.</summary>
public sealed class JournalTests : IDisposable
{
    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    private readonly DirectoryInfo files = ScratchDirectory.Create("journal");
    private readonly FakeJournal journal;

    public JournalTests() => journal = FakeJournal.Listen(Path.Combine(files.FullName, "socket"));

    [Fact]
    public async Task Events_and_drop_records_arrive_with_their_fields_and_name_a_vNIC_alike()
    {
        await using DaemonLab lab = await StartAsync(config => config["drops"] = new JsonObject { ["journal"] = true });
        JournalEntry started = await EventAsync(100);
        Assert.Equal(
            ("Started", "6", "sg-agentd", EventIdentity.Of(100), "0", "new"),
            (started["SG_EVENT_NAME"], started["PRIORITY"], started["SYSLOG_IDENTIFIER"], started["MESSAGE_ID"],
                started["SG_REVISION"], started["SG_ADOPTED"]));
        Assert.StartsWith("sg-agentd 0.", started["MESSAGE"], StringComparison.Ordinal);

        Accepted accepted = await lab.ApplyAsync(DaemonLab.OneWayIn());
        JournalEntry enforced = await journal.WaitAsync(
            "revision 1", entry => entry["SG_EVENT"] == "200" && entry["SG_REVISION"] == "1");
        Assert.Equal($"{accepted.Changes.NetlinkMessages}", enforced["SG_MESSAGES"]);
        Assert.Equal($"{accepted.Changes.NetlinkBytes}", enforced["SG_BYTES"]);

        await RefusedAsync(lab);
        JournalEntry refused = await EventAsync(201);
        Assert.Equal(("4", "1"), (refused["PRIORITY"], refused["SG_FAULT_COUNT"]));
        Assert.Contains("02:xx", refused["SG_FIRST"], StringComparison.Ordinal);

        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        JournalEntry drop = await journal.WaitAsync(
            "a drop", entry => entry["SG_VNIC"] == "eni-e2" && entry["SG_EVENT"] == "352");
        Assert.Equal(
            ("ingress", "default", "udp", $"{lab.E3.V4}", "tap-e2", EventIdentity.Of(352)),
            (drop["SG_DIRECTION"], drop["SG_REASON"], drop["SG_PROTOCOL"], drop["SG_SOURCE"], drop["SG_INTERFACE"],
                drop["MESSAGE_ID"]));
        Assert.Equal("eni-e2", (string?)JsonNode.Parse(drop["MESSAGE"])!["vnic"]);

        await lab.Daemon.StopAsync();
        Assert.Equal("1", (await EventAsync(102))["SG_REVISION"]);
        Assert.Equal("", lab.Daemon.Log);
    }

    [Fact]
    public async Task A_vNIC_that_does_not_follow_is_found_by_its_field()
    {
        await using DaemonLab lab = await StartAsync(
            before: network => network.Host.Nft(OneBadVnicTests.HooksOn("tap-e3")));
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        JournalEntry failed = await journal.WaitAsync(
            "a vNIC", entry => entry["SG_VNIC"] == "eni-e3" && entry["SG_EVENT"] == "205");
        Assert.Equal("4", failed["PRIORITY"]);
        Assert.Contains("E2BIG", failed["SG_REASON"], StringComparison.Ordinal);
        Assert.Equal("3", (await EventAsync(202))["PRIORITY"]);
    }

    [Fact]
    public async Task Debug_is_turned_on_while_it_runs_says_what_a_change_cost_and_ends_by_itself()
    {
        await using DaemonLab lab = await StartAsync();
        Assert.Equal((0, "info\n"), Outcome(Run(lab, "log-level")));
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        Assert.DoesNotContain(journal.Entries, entry => entry["PRIORITY"] == "7");

        CommandOutcome debug = Run(lab, "log-level", "debug", "--for", "5s");
        Assert.Equal((0, ""), (debug.ExitCode, debug.Error));
        Assert.Matches(@"^debug until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, then info\n$", debug.Output);
        Snapshot next = DaemonLab.OneWayIn();
        next.Groups[1] = Scenarios.States.Isolating("sg-b", "in 1 accept udp 1/65535 sg-a");
        Accepted accepted = await lab.ApplyAsync(next);
        foreach (int step in (int[])[500, 501, 510, 511, 512, 513, 514, 515])
        {
            Assert.Equal("7", (await EventAsync(step))["PRIORITY"]);
        }

        JournalEntry proof = await EventAsync(511);
        Assert.Equal(("2", "proved", "3"), (proof["SG_REVISION"], proof["SG_OUTCOME"], proof["SG_VNIC_COUNT"]));
        JournalEntry[] sent = [.. journal.Entries.Where(entry => entry["SG_EVENT"] == "514")];
        Assert.Equal(["switch"], sent.Select(entry => entry["SG_STEP"]).Where(step => step != "clean_up"));
        Assert.Equal(
            accepted.Changes.NetlinkMessages,
            sent.Where(entry => entry["SG_STEP"] != "clean_up").Sum(entry => long.Parse(
                entry["SG_MESSAGES"], System.Globalization.CultureInfo.InvariantCulture)));

        await journal.WaitAsync(
            "the end of it", entry => entry["SG_EVENT"] == "410" && entry["SG_THRESHOLD"] == "info");
        Assert.Equal((0, "info\n"), Outcome(Run(lab, "log-level")));
        int before = journal.Entries.Count(entry => entry["PRIORITY"] == "7");
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await journal.WaitAsync("revision 3", entry => entry["SG_EVENT"] == "200" && entry["SG_REVISION"] == "3");
        Assert.Equal(before, journal.Entries.Count(entry => entry["PRIORITY"] == "7"));

        // What was set ends at once too; JSON; what is not understood.
        Run(lab, "log-level", "error", "--for", "1h");
        JsonNode json = JsonNode.Parse(Run(lab, "log-level", "--json").Output)!;
        Assert.Equal(("LOG_LEVEL_ERROR", "LOG_LEVEL_INFO"), ((string?)json["level"], (string?)json["configured"]));
        Assert.Equal((0, "info\n"), Outcome(Run(lab, "log-level", "default")));
        Assert.Equal(2, Run(lab, "log-level", "loud").ExitCode);
        Assert.Equal(2, Run(lab, "log-level", "debug", "--for", "8d").ExitCode);
    }

    [Fact]
    public async Task No_packet_makes_a_line_and_nobody_floods_the_log()
    {
        const int Sent = 20_000;
        const int Refusals = 120;
        await using DaemonLab lab = await StartAsync(config => config["log"]!["level"] = "debug");
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.SettledAsync();
        int before = journal.Entries.Count;
        byte[] frame = Packets.FrameOf(
            lab.Network.NextHopMac(lab.E3, lab.E2.V4), lab.E3.Mac,
            Packets.Udp(lab.E3.V4, lab.E2.V4, 40_000, 7, [1]));
        for (int i = 0; i < Sent; i++)
        {
            lab.E3.Wire.Send(frame);
        }

        using var counters = new Sessions.CountedDrops(lab.Network.Host);
        await DaemonLab.UntilAsync(
            "every packet counted", () => counters.Read().Any(counter => counter.Value >= Sent));
        Assert.InRange(journal.Entries.Count - before, 0, 20);

        for (int i = 0; i < Refusals; i++)
        {
            await RefusedAsync(lab);
        }

        Assert.Equal(
            Refusals - 50, await lab.MetricAsync("sg_agent_log_events_unwritten_total{why=\"suppressed\"}"));
        Assert.Equal(0, await lab.MetricAsync("sg_agent_log_events_unwritten_total{why=\"lost\"}"));
        Assert.Equal(
            journal.Entries.Count(entry => entry["PRIORITY"] == "4"),
            await lab.MetricAsync("sg_agent_log_events_total{level=\"warning\"}"));
        await lab.Daemon.StopAsync();
        Assert.Equal(50, journal.Entries.Count(entry => entry["SG_EVENT"] == "201"));
        JournalEntry sum = await EventAsync(411);
        Assert.Equal(
            ($"{Refusals - 50}", "201", "Refused"),
            (sum["SG_COUNT"], sum["SG_SUPPRESSED_EVENT"], sum["SG_SUPPRESSED_NAME"]));
    }

    [Fact]
    public async Task Without_a_journal_events_are_lines_on_standard_error()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await DaemonLab.UntilAsync("a line", () => lab.Daemon.Log.Contains("revision 1:", StringComparison.Ordinal));
        Assert.All(lab.Daemon.Log.Split('\n', StringSplitOptions.RemoveEmptyEntries), line =>
            Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info |warn |error) \d{3} \S", line));
        Assert.Empty(journal.Entries);
    }

    public void Dispose()
    {
        journal.Dispose();
        files.Delete(recursive: true);
    }

    private Task<DaemonLab> StartAsync(
        Action<JsonObject>? configure = null, Action<TestNetwork>? before = null) => DaemonLab.StartAsync(
        config =>
        {
            config["log"] = new JsonObject { ["to"] = "journal", ["journal_socket"] = journal.Path };
            configure?.Invoke(config);
        },
        before);

    private Task<JournalEntry> EventAsync(int number) =>
        journal.WaitAsync($"event {number}", entry => entry["SG_EVENT"] == $"{number}");

    private static async Task RefusedAsync(DaemonLab lab)
    {
        Snapshot bad = DaemonLab.OneWayIn();
        bad.Vnics[0].Mac = "02:xx";
        ApplyResponse answer = await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = bad, NextRevision = true });
        Assert.Single(answer.Refused.Faults);
    }

    private static (int, string) Outcome(CommandOutcome run) => (run.ExitCode, run.Output);

    private static CommandOutcome Run(DaemonLab lab, params string[] arguments) =>
        SystemCommand.TryRun(Sgctl, null, ["--socket", lab.Daemon.SocketPath, .. arguments]);
}
