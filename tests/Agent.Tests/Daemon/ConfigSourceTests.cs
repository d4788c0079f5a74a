using System.Text.Json;
using Agent.Daemon;
using Agent.Daemon.Access;
using Agent.Daemon.Config;
using Agent.Daemon.Logging;
using Agent.Tests.Nftables;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.Daemon;

/// <summary>File, environment and flags: who wins, who is wrong, and what may change while the daemon runs.</summary>
public sealed class ConfigSourceTests
{
    private static readonly DateTimeOffset Now = new(2026, 11, 30, 6, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Flags_win_over_the_environment_and_that_over_the_file()
    {
        const string File = """{ "table": "of_file", "verify": "report", "on_change": "keep" }""";
        ConfigResult read = Read(
            File, [("SG_AGENTD_TABLE", "of_env"), ("SG_AGENTD_VERIFY", "off"), ("PATH", "/bin")], "table=of_flag");
        Assert.Equal(
            ("of_flag", VerifyMode.Off, OnChange.Keep),
            (read.Config!.Compiler.Table, read.Config.Verify, read.Config.OnChange));
        Assert.Equal(
            [
                new Setting("audit_interval_ms", "100", SettingSource.Default, ""),
                new Setting("on_change", "keep", SettingSource.File, "f.json"),
                new Setting("table", "of_flag", SettingSource.Flag, "--set table"),
                new Setting("verify", "off", SettingSource.Environment, "environment SG_AGENTD_VERIFY"),
            ],
            read.Settings.Where(one => one.Key is "table" or "verify" or "on_change" or "audit_interval_ms"));
    }

    [Fact]
    public void Every_setting_has_a_variable_of_its_own()
    {
        string[] keys = [.. Read("", []).Settings.Select(setting => setting.Key)];
        Assert.True(keys.Length > 80, $"{keys.Length}");
        Assert.Equal(keys.Length, keys.Select(Setting.VariableOf).Distinct().Count());
        Assert.Equal("SG_AGENTD_GRPC_TLS_CLIENT_CA", Setting.VariableOf("grpc.tls.client_ca"));
        Assert.Contains("grpc.tls.client_ca", keys);
        foreach (string key in keys.Where(key => !key.Contains("tls", StringComparison.Ordinal)))
        {
            string value = Read("", []).Settings.Single(setting => setting.Key == key).Value;
            Setting read = Read("", [(Setting.VariableOf(key), value)]).Settings.Single(one => one.Key == key);
            Assert.Equal((value, SettingSource.Environment), (read.Value, read.Source));
        }
    }

    [Fact]
    public void All_faults_of_all_sources_are_told_at_once_each_with_where_it_is()
    {
        ConfigResult read = Read(
            """{ "state_directory": "rel", "nonsense": 1, "verify": "maybe" }""",
            [("SG_AGENTD_GRPC_SOCKT", "/x"), ("SG_AGENTD_LOG_LEVEL", "loud"), ("SG_AGENTD_ZZZZZZZZZZZZ", "")],
            "tabl=x", "log.burst=-1", "verify=sometimes");
        Assert.Null(read.Config);
        Assert.Equal(
            [
                ("--set", "tabl"), ("--set log.burst", "log.burst"), ("--set verify", "verify"),
                ("environment SG_AGENTD_GRPC_SOCKT", "SG_AGENTD_GRPC_SOCKT"),
                ("environment SG_AGENTD_LOG_LEVEL", "log.level"),
                ("environment SG_AGENTD_ZZZZZZZZZZZZ", "SG_AGENTD_ZZZZZZZZZZZZ"),
                ("f.json", "nonsense"), ("f.json", "state_directory"),
            ],
            read.Faults.Select(fault => (fault.Origin, fault.Path)).Order());
        Assert.Equal("Did you mean table?", read.Faults.Single(fault => fault.Path == "tabl").Remedy);
        Assert.Equal(
            "Did you mean SG_AGENTD_GRPC_SOCKET?",
            read.Faults.Single(fault => fault.Path == "SG_AGENTD_GRPC_SOCKT").Remedy);
    }

    [Fact]
    public void A_file_that_is_no_JSON_does_not_hide_the_faults_of_others() => Assert.Equal(
        ["SG_AGENTD_X", "line 1", "tabl"],
        Read("{ \"table\": ", [("SG_AGENTD_X", "")], "tabl=x").Faults.Select(fault => fault.Path)
            .Order(StringComparer.Ordinal));

    [Fact]
    public void A_check_says_the_same_in_JSON()
    {
        ConfigResult read = Read("""{ "table": "9" }""", []);
        using JsonDocument json = JsonDocument.Parse(ConfigReport.Json("f.json", read));
        Assert.False(json.RootElement.GetProperty("valid").GetBoolean());
        JsonElement fault = Assert.Single(json.RootElement.GetProperty("faults").EnumerateArray());
        Assert.Equal("f.json", fault.GetProperty("origin").GetString());
        Assert.Equal("table", fault.GetProperty("path").GetString());
        Assert.Equal(read.Settings.Length, json.RootElement.GetProperty("settings").GetArrayLength());
        Assert.Contains("f.json: table: '9' is not", ConfigReport.Text("f.json", read), StringComparison.Ordinal);
        Assert.Equal("f.json: no fault\n", ConfigReport.Text("f.json", Read("", [])));
        Assert.Equal(CommandLine.Usage, CommandLine.Parse(["--json"]).ExitCode);
        Assert.True(CommandLine.Parse(["--check-config", "--json"]) is { IsJson: true, Message: null });
    }

    /// <summary>packaging/config.json: what is commented out is every setting at its default.</summary>
    [Fact]
    public void The_example_has_every_setting_at_its_default()
    {
        string text = File.ReadAllText(Path.Combine(GoldenTests.RepositoryRoot(), "packaging", "config.json"));
        ConfigResult asIs = Read(text, []);
        Assert.NotNull(asIs.Config);
        Assert.All(asIs.Settings, setting => Assert.Equal(SettingSource.Default, setting.Source));

        string[] uncommented = [.. text.Split('\n').Select(line =>
            line.TrimStart() is var rest && (rest.StartsWith("//\"", StringComparison.Ordinal) || rest == "//},")
                ? rest[2..] : line)];
        ConfigResult whole = Read(string.Join('\n', uncommented), []);
        // Certificates are files, and there are none.
        Assert.All(whole.Faults, fault => Assert.Contains(".tls.", fault.Path, StringComparison.Ordinal));
        Assert.Equal(
            asIs.Settings.Select(setting => (setting.Key, setting.Value, SettingSource.File)),
            whole.Settings.Select(setting => (setting.Key, setting.Value, setting.Source)));
    }

    /// <summary>Each setting that may change at run time does, and no other one.</summary>
    [Fact]
    public void A_reload_takes_what_may_change_and_nothing_else()
    {
        ConfigResult first = Read("", []);
        EffectiveConfig before = EffectiveConfig.Of(first, Now);
        string[] changes =
        [
            "log.level=debug", "log.burst=7", "mass_change.floor=7", "limits.groups_per_vnic=7", "verify_budget_ms=7",
            "verify_interval_seconds=7", "grpc.socket_controllers=7", "grpc.calls_per_second=7", "grpc.calls_burst=7",
            "grpc.max_questions=7", "grpc.max_costly=7", "grpc.max_watches=7", "grpc.max_updates=7",
            "grpc.answer_timeout_seconds=7", "drops.per_second=7", "drops.burst=7", "drops.flows_per_second=7",
            "drops.flow_vnics=eni-1", "drops.flow_rules=sg/r",
            "table=x", "grpc.socket=/x", "metrics.listen=", "drops.kept=7", "verify=off", "managed_interfaces=x*",
            "conntrack.zone_first=7", "log.to=console", "grpc.max_connections=7",
        ];
        foreach (string change in changes)
        {
            string key = change.Split('=')[0];
            ConfigResult next = Read("", [], change);
            EffectiveConfig after = before.After(next, _ => false, Now);
            bool isTaken = after.Pending.IsEmpty;
            Assert.Equal(RuntimeSettings.Has(key), isTaken);
            Assert.Equal(
                (isTaken ? next.Config! : first.Config!).ToString(), after.Config.ToString());
            Assert.Equal(
                (isTaken ? next : first).Settings.Single(one => one.Key == key),
                after.Settings.Single(one => one.Key == key));
        }

        EffectiveConfig all = before.After(Read("", [], changes), _ => false, Now);
        Assert.Equal(9, all.Pending.Count);
        Assert.Equal("sg_agent", all.Config.Compiler.Table);
        Assert.Equal(7u, all.Config.Compiler.DropRate);
        Assert.Empty(all.After(first, _ => false, Now).Pending); // taken back before a restart
    }

    [Fact]
    public void A_reload_with_a_fault_changes_nothing_and_keeps_the_faults()
    {
        EffectiveConfig before = EffectiveConfig.Of(Read("", []), Now);
        EffectiveConfig after = before.After(Read("", [], "log.level=debug", "nonsense=1"), _ => false, Now);
        Assert.Same(before.Config, after.Config);
        Assert.Equal(before.Settings, after.Settings);
        Assert.Equal("nonsense", Assert.Single(after.Faults).Path);
    }

    [Fact]
    public void What_this_daemon_cannot_change_waits()
    {
        EffectiveConfig after = EffectiveConfig.Of(Read("", [], "drops.per_second=0"), Now).After(
            Read("", [], "log.burst=7"), key => key.StartsWith("drops.", StringComparison.Ordinal), Now);
        Assert.Equal(["drops.per_second"], after.Pending.Keys);
        Assert.Equal((0u, 7), (after.Config.Compiler.DropRate, after.Config.Log.Burst));
    }

    /// <summary>Who may use a listener that comes or goes is told as pending with it.</summary>
    [Fact]
    public void Whom_TLS_lets_in_waits_with_TLS_and_changes_without()
    {
        ConfigResult plain = Read("", []);
        ConfigResult first = Tls("ctl-1");
        ConfigResult other = Tls("ctl-2");
        EffectiveConfig comes = EffectiveConfig.Of(plain, Now).After(first, _ => false, Now);
        Assert.Contains("grpc.tls.controllers", comes.Pending.Keys);
        Assert.Null(comes.Config.Grpc.Tls);
        EffectiveConfig goes = EffectiveConfig.Of(first, Now).After(plain, _ => false, Now);
        Assert.Contains("grpc.tls.controllers", goes.Pending.Keys);
        Assert.Equal(first.Config!.Grpc.Tls, goes.Config.Grpc.Tls);
        EffectiveConfig changes = EffectiveConfig.Of(first, Now).After(other, _ => false, Now);
        Assert.Empty(changes.Pending);
        Assert.Equal(other.Config!.Grpc.Tls!.Controllers, changes.Config.Grpc.Tls!.Controllers);

        ConfigResult Tls(string controller) => plain with
        {
            Config = plain.Config! with
            {
                Grpc = plain.Config!.Grpc with
                {
                    Tls = new TlsConfig("/c", "/k", "/ca")
                    {
                        Controllers = [CertificateName.Parse(controller)!.Value],
                    },
                },
            },
            Settings = [.. plain.Settings.Select(one => one.Key == "grpc.tls.controllers"
                ? one with { Value = controller } : one)],
        };
    }

    [Fact]
    public void A_level_that_somebody_set_outlives_a_reload_as_long_as_he_said()
    {
        var clock = new FakeTimeProvider();
        using var level = new LevelSwitch(EventLevel.Info, clock, _ => { });
        level.Set(EventLevel.Debug, TimeSpan.FromMinutes(10));
        clock.Advance(TimeSpan.FromMinutes(9));
        level.Configure(EventLevel.Error);
        Assert.Equal((EventLevel.Debug, EventLevel.Error), (level.State.Current, level.State.Configured));
        clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(EventLevel.Error, level.State.Current);
        level.Configure(EventLevel.Warning);
        Assert.Equal(EventLevel.Warning, level.State.Current);
    }

    private static ConfigResult Read(string text, (string, string)[] environment, params string[] overrides) =>
        ConfigReader.Read(new ConfigInput
        {
            FileName = "f.json",
            Text = text,
            Environment = environment.ToDictionary(pair => pair.Item1, pair => pair.Item2),
            Overrides = overrides,
        });
}
