using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Supervision;

/// <summary>SIGHUP: what can change does, what cannot is told, and a fault changes nothing.</summary>
public sealed class HangUpTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_can_change_changes_and_the_rest_waits_for_a_restart()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Accepted applied = await lab.ApplyAsync(DaemonLab.OneWayIn());
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Forward);
        Setting rate = await SettingAsync(lab, "drops.per_second");
        Assert.Equal(("10", SettingSource.Default, true), (rate.Value, rate.Source, rate.Reloadable));
        Assert.Contains("set log_10_20 ", lab.Listing(), StringComparison.Ordinal);
        string epoch = Epoch(lab);

        await EditAsync(lab, config =>
        {
            config["drops"] = new JsonObject { ["per_second"] = 37 };
            config["log"] = new JsonObject { ["level"] = "debug" };
            config["mass_change"] = new JsonObject { ["floor"] = 1 };
            config["table"] = "another";
        });
        await ReloadedAsync(lab, 1);
        rate = await SettingAsync(lab, "drops.per_second");
        Assert.Equal(("37", SettingSource.File, lab.Daemon.ConfigurationPath), (rate.Value, rate.Source, rate.Origin));
        Assert.Contains("set log_37_20 ", lab.Listing(), StringComparison.Ordinal);
        await DaemonLab.UntilAsync("the old rate gone", () =>
            !lab.Listing().Contains("log_10_20", StringComparison.Ordinal));
        Assert.Equal(epoch, Epoch(lab)); // no session is judged again for it
        Assert.Equal(LogLevel.Debug, await ConfiguredLevelAsync(lab));

        Setting table = await SettingAsync(lab, "table");
        Assert.Equal(("sg_agent", true, "another", false),
            (table.Value, table.RestartNeeded, table.PendingValue, table.Reloadable));
        await DaemonLab.UntilAsync("the event", () => lab.Daemon.Log.Contains(
            "table is 'sg_agent' until a restart", StringComparison.Ordinal));

        // Two of three vNICs: less than the floor was, and more than it is now.
        Snapshot less = DaemonLab.OneWayIn();
        less.Vnics.RemoveAt(2);
        less.Vnics.RemoveAt(1);
        ApplyResponse held = await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = less, NextRevision = true }, cancellationToken: Cancel);
        Assert.Null(held.Accepted);
        Assert.Equal(applied.Revision, (await lab.StatusAsync()).AppliedRevision);
        await allowed.StopAsync();
        Assert.Equal(allowed.Forward.Sent, allowed.Forward.Received);
    }

    [Fact]
    public async Task A_fault_changes_nothing_and_each_is_told()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await EditAsync(lab, config =>
        {
            config["log"] = new JsonObject { ["level"] = "debug", ["burts"] = 1 };
            config["verify"] = "perhaps";
        });
        lab.Daemon.HangUp();
        await DaemonLab.UntilAsync("the faults", () => lab.Daemon.Log.Contains("log.burts", StringComparison.Ordinal)
            && lab.Daemon.Log.Contains("'perhaps' is not", StringComparison.Ordinal));
        Assert.Contains("has 2 faults", lab.Daemon.Log, StringComparison.Ordinal);
        EffectiveConfig config = await lab.Client.GetConfigAsync(new GetConfigRequest(), cancellationToken: Cancel);
        Assert.Equal(2, config.Faults.Count);
        Assert.Equal("info", config.Settings.Single(setting => setting.Key == "log.level").Value);
        Assert.Equal(LogLevel.Info, await ConfiguredLevelAsync(lab));
        Assert.True(lab.Daemon.IsRunning);

        await EditAsync(lab, config =>
        {
            config.Remove("log");
            config.Remove("verify");
        });
        await ReloadedAsync(lab, 1);
        Assert.Empty((await lab.Client.GetConfigAsync(new GetConfigRequest(), cancellationToken: Cancel)).Faults);
    }

    [Fact]
    public async Task Who_may_not_any_more_is_cut_off_from_what_he_had_open()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(config =>
        {
            config["grpc"]!["socket_mode"] = "0666";
            config["grpc"]!["socket_observers"] = new JsonArray(65533);
        });
        SystemCommand.Run("chmod", "o+rx", lab.Daemon.Directory);
        string tool = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");
        string[] asOther =
        [
            "--reuid=65533", "--regid=65533", "--clear-groups", "--", "env", "HOME=/nonexistent",
            "DOTNET_ROOT=/usr/share/dotnet", tool, "--socket", lab.Daemon.SocketPath,
        ];
        Task<CommandOutcome> watching = Task.Run(
            () => SystemCommand.TryRun("setpriv", null, [.. asOther, "drops", "--follow"]), Cancel);
        await DaemonLab.UntilAsync("his call", async () =>
            await lab.MetricAsync("sg_agent_calls{kind=\"watch\"}") > 0);
        Assert.False(watching.IsCompleted);

        await EditAsync(lab, config => config["grpc"]!["socket_observers"] = new JsonArray(65532));
        await ReloadedAsync(lab, 1);
        Assert.NotEqual(0, (await watching).ExitCode);
        CommandOutcome again = SystemCommand.TryRun("setpriv", null, [.. asOther, "status"]);
        Assert.NotEqual(0, again.ExitCode);
        Assert.Contains("65533", again.Error, StringComparison.Ordinal);
        await DaemonLab.UntilAsync("the event", () => lab.Daemon.Log.Contains(
            "1 calls were ended", StringComparison.Ordinal));
    }

    private static async Task<LogLevel> ConfiguredLevelAsync(DaemonLab lab) =>
        (await lab.Client.GetLogLevelAsync(new GetLogLevelRequest(), cancellationToken: Cancel)).Configured;

    private static async Task<Setting> SettingAsync(DaemonLab lab, string key) =>
        (await lab.Client.GetConfigAsync(new GetConfigRequest(), cancellationToken: Cancel))
            .Settings.Single(setting => setting.Key == key);

    private static string Epoch(DaemonLab lab) => lab.Network.Host.Exec(
        "nft", "list", "chain", "inet", "sg_agent", "stamp");

    private static async Task EditAsync(DaemonLab lab, Action<JsonObject> edit)
    {
        var config = (JsonObject)JsonNode.Parse(await File.ReadAllTextAsync(lab.Daemon.ConfigurationPath, Cancel))!;
        edit(config);
        await File.WriteAllTextAsync(lab.Daemon.ConfigurationPath, config.ToJsonString(), Cancel);
    }

    private static async Task ReloadedAsync(DaemonLab lab, int times)
    {
        lab.Daemon.HangUp();
        await DaemonLab.UntilAsync("a reload", () =>
            lab.Daemon.Log.Split("the configuration was read again").Length > times);
    }
}
