using Agent.Daemon.Config;
using Agent.Policy;

namespace Agent.Tests.Daemon;

public class ConfigReaderTests
{
    /// <summary>Every key with a value that is not its default, and where it must arrive.</summary>
    private static readonly (string Key, string Json, string Flag, Func<DaemonConfig, object?> Read,
        object Expected)[] Keys =
    [
        ("state_directory", "\"/srv/state\"", "/srv/state", c => c.StateDirectory, "/srv/state"),
        ("grpc.socket", "\"/run/x.sock\"", "/run/x.sock", c => c.Grpc.Socket, "/run/x.sock"),
        ("grpc.socket_mode", "\"0600\"", "0600", c => c.Grpc.SocketMode,
            UnixFileMode.UserRead | UnixFileMode.UserWrite),
        ("grpc.socket_group", "\"net\"", "net", c => c.Grpc.SocketGroup, "net"),
        ("grpc.socket_controllers", "[\"root\", \"@0\", 7]", "root, @0, 7",
            c => string.Join('|', c.Grpc.SocketControllers.Select(one => $"{(one.IsGroup ? "@" : "")}{one.Id}")),
            "0|@0|7"),
        ("grpc.socket_observers", "[\"@root\"]", "@root", c => c.Grpc.SocketObservers.Length, 1),
        ("grpc.max_message_bytes", "1024", "1024", c => c.Grpc.MaxMessageBytes, 1024),
        ("grpc.max_snapshot_bytes", "1024", "1024", c => c.Grpc.MaxSnapshotBytes, 1024),
        ("grpc.max_unanswered", "10", "10", c => c.Grpc.MaxUnanswered, 10),
        ("grpc.max_unanswered_bytes", "1024", "1024", c => c.Grpc.MaxUnansweredBytes, 1024),
        ("grpc.snapshot_timeout_seconds", "7", "7", c => c.Grpc.SnapshotTimeout, TimeSpan.FromSeconds(7)),
        ("grpc.answer_timeout_seconds", "7", "7", c => c.Grpc.AnswerTimeout, TimeSpan.FromSeconds(7)),
        ("grpc.max_connections", "7", "7", c => c.Grpc.MaxConnections, 7),
        ("grpc.max_connections_per_client", "7", "7", c => c.Grpc.MaxConnectionsPerClient, 7),
        ("grpc.max_streams_per_connection", "7", "7", c => c.Grpc.MaxStreamsPerConnection, 7),
        ("grpc.max_updates", "7", "7", c => c.Grpc.MaxUpdates, 7),
        ("grpc.max_watches", "7", "7", c => c.Grpc.MaxWatches, 7),
        ("grpc.max_costly", "7", "7", c => c.Grpc.MaxCostly, 7),
        ("grpc.max_questions", "7", "7", c => c.Grpc.MaxQuestions, 7),
        ("grpc.calls_per_second", "7", "7", c => c.Grpc.CallsPerSecond, 7),
        ("grpc.calls_burst", "7", "7", c => c.Grpc.CallsBurst, 7),
        ("grpc.handshake_timeout_seconds", "7", "7", c => c.Grpc.HandshakeTimeout, TimeSpan.FromSeconds(7)),
        ("grpc.keepalive_seconds", "7", "7", c => c.Grpc.KeepAlive, TimeSpan.FromSeconds(7)),
        ("grpc.lease_seconds", "7", "7", c => c.Grpc.LeaseLife, TimeSpan.FromSeconds(7)),
        ("metrics.listen", "\"[::1]:9000\"", "[::1]:9000", c => c.Metrics.Listen, "[::1]:9000"),
        ("metrics.socket", "\"/run/m.sock\"", "/run/m.sock", c => c.Metrics.Socket, "/run/m.sock"),
        ("metrics.socket_mode", "\"0640\"", "0640", c => c.Metrics.SocketMode,
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead),
        ("metrics.socket_group", "\"mon\"", "mon", c => c.Metrics.SocketGroup, "mon"),
        ("metrics.rule_hits", "[\"sg-1\", \"eni-2\"]", "sg-1,eni-2",
            c => string.Join('|', c.Compiler.RuleHits), "sg-1|eni-2"),
        ("metrics.max_rule_hits", "7", "7", c => c.Compiler.MaxRuleHits, 7),
        ("table", "\"other\"", "other", c => c.Compiler.Table, "other"),
        ("managed_interfaces", "[\"veth*\", \"gw0\"]", "veth*, gw0",
            c => string.Join('|', c.Compiler.ManagedInterfaces), "veth*|gw0"),
        ("epoch_mask", "\"0x000ff000\"", "0x000ff000", c => c.Compiler.EpochMask, 0xff000u),
        ("semantics.egress_inner", "\"inner_first\"", "inner_first", c => c.Semantics.EgressInner,
            EgressInner.InnerFirst),
        ("semantics.metadata_addresses", "[\"192.0.2.1\", \"fd00::1\"]", "192.0.2.1,fd00::1",
            c => string.Join('|', c.Semantics.MetadataAddresses), "192.0.2.1|fd00::1"),
        ("semantics.trusted_marks", "[7, \"0x10\"]", "7,0x10", c => string.Join('|', c.Semantics.TrustedMarks), "7|16"),
        ("semantics.platform_blocked_tcp_ports", "[]", "", c => c.Semantics.PlatformBlockedTcpPorts.Length, 0),
        ("limits.groups_per_vnic", "3", "3", c => c.Limits.GroupsPerVnic, 3),
        ("limits.weighted_rules_per_vnic", "4", "4", c => c.Limits.WeightedRulesPerVnic, 4),
        ("limits.group_rules_per_basic_group", "5", "5", c => c.Limits.GroupRulesPerBasicGroup, 5),
        ("limits.members_per_basic_group", "6", "6", c => c.Limits.MembersPerBasicGroup, 6),
        ("limits.members_per_advanced_group", "7", "7", c => c.Limits.MembersPerAdvancedGroup, 7),
        ("mass_change.removal_percent", "7", "7", c => c.MassChange.RemovalPercent, 7),
        ("mass_change.floor", "7", "7", c => c.MassChange.Floor, 7),
        ("limits.rules_per_group_warning", "8", "8", c => c.Limits.RulesPerGroupWarning, 8),
        ("limits.prefix_list_entries", "9", "9", c => c.Limits.PrefixListEntries, 9),
        ("limits.port_list_entries", "10", "10", c => c.Limits.PortListEntries, 10),
        ("drops.group", "7", "7", c => c.Compiler.LogGroup, (ushort)7),
        ("drops.per_second", "0", "0", c => c.Compiler.DropRate, 0u),
        ("drops.burst", "1", "1", c => c.Compiler.DropBurst, 1u),
        ("drops.flows_per_second", "9", "9", c => c.Compiler.FlowRate, 9u),
        ("drops.flow_vnics", "[\"eni-1\", \"*\"]", "eni-1, *", c => string.Join('|', c.Compiler.FlowVnics), "eni-1|*"),
        ("drops.flow_rules", "[\"sg/r1\"]", "sg/r1", c => string.Join('|', c.Compiler.FlowRules), "sg/r1"),
        ("drops.kept", "0", "0", c => c.Drops.Kept, 0),
        ("drops.journal", "true", "true", c => c.Drops.Journal, true),
        ("drops.file", "\"/var/log/x.json\"", "/var/log/x.json", c => c.Drops.File, "/var/log/x.json"),
        ("drops.file_max_mb", "3", "3", c => c.Drops.FileMaxMegabytes, 3),
        ("drops.file_keep", "0", "0", c => c.Drops.FileKeep, 0),
        ("log.to", "\"journal\"", "journal", c => c.Log.To, LogTarget.Journal),
        ("log.level", "\"debug\"", "debug", c => c.Log.Level, EventLevel.Debug),
        ("log.burst", "0", "0", c => c.Log.Burst, 0),
        ("log.journal_socket", "\"/run/j\"", "/run/j", c => c.Log.JournalSocket, "/run/j"),
        ("tracing.otlp_endpoint", "\"http://c:4318\"", "http://c:4318", c => c.Tracing.OtlpEndpoint, "http://c:4318"),
        ("tracing.otlp_protocol", "\"grpc\"", "grpc", c => c.Tracing.OtlpProtocol, OtlpProtocol.Grpc),
        ("verify", "\"report\"", "report", c => c.Verify, VerifyMode.Report),
        ("verify_budget_ms", "7", "7", c => c.VerifyBudget, TimeSpan.FromMilliseconds(7)),
        ("verify_interval_seconds", "7", "7", c => c.VerifyInterval, TimeSpan.FromSeconds(7)),
        ("audit_interval_ms", "70", "70", c => c.AuditInterval, TimeSpan.FromMilliseconds(70)),
        ("on_change", "\"keep\"", "keep", c => c.OnChange, OnChange.Keep),
        ("protect_tables", "false", "false", c => c.ProtectTables, false),
    ];

    public static TheoryData<string> KeyNames => [.. Keys.Select(key => key.Key)];

    [Theory]
    [MemberData(nameof(KeyNames))]
    public void A_key_arrives_from_the_file_and_from_the_command_line(string name)
    {
        (string key, string json, string flag, Func<DaemonConfig, object?> read, object expected) = Keys.Single(
            one => one.Key == name);
        Assert.NotEqual(expected, read(new DaemonConfig()));
        Assert.Equal(expected, read(Accepted(Json(key, json))));
        Assert.Equal(expected, read(Accepted("", $"{key}={flag}")));

        // The command line wins.
        string[] inFile = ["\"other\"", "1", "true", "[]", "\"0600\""];
        Assert.Contains(inFile, other => ConfigReader.Read(Json(key, other), [$"{key}={flag}"]).Config is { } config
            && Equals(expected, read(config)));
    }

    [Fact]
    public void Tcp_needs_all_three_files()
    {
        string folder = Directory.CreateTempSubdirectory("sg-config").FullName;
        string file = Path.Combine(folder, "a.pem");
        File.WriteAllText(file, "");
        DaemonConfig config = Accepted($$"""
            { "grpc": { "listen": "127.0.0.1:9443", "socket": "",
                        "tls": { "certificate": "{{file}}", "key": "{{file}}", "client_ca": "{{file}}" } } }
            """);
        Assert.Equal(("127.0.0.1:9443", ""), (config.Grpc.Listen, config.Grpc.Socket));
        Assert.Equal(new TlsConfig(file, file, file), config.Grpc.Tls);
        config = Accepted(
            "", "grpc.listen=127.0.0.1:9443", $"grpc.tls.certificate={file}", $"grpc.tls.key={file}",
            $"grpc.tls.client_ca={file}");
        Assert.Equal(file, config.Grpc.Tls!.ClientCa);
        config = Accepted($$"""
            { "grpc": { "tls": { "certificate": "{{file}}", "key": "{{file}}", "client_ca": "{{file}}",
                                 "controllers": ["ctl.example", "spiffe://a/b"], "observers": ["*.example"] } } }
            """);
        Assert.Equal("ctl.example|spiffe://a/b", string.Join('|', config.Grpc.Tls!.Controllers));
        Assert.Equal("*.example", string.Join('|', config.Grpc.Tls.Observers));
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void Nothing_is_the_defaults()
    {
        var defaults = new DaemonConfig();
        foreach (string text in (string[])["", "  \n", "{}", "{ /* nothing */ }"])
        {
            DaemonConfig read = Accepted(text);
            Assert.Equal(defaults.StateDirectory, read.StateDirectory);
            Assert.Equal(defaults.Grpc, read.Grpc);
            Assert.Equal(defaults.Metrics, read.Metrics);
            Assert.Equal(defaults.Compiler, read.Compiler);
            Assert.Equal(defaults.Limits, read.Limits);
            Assert.Equal((defaults.OnChange, defaults.ProtectTables), (read.OnChange, read.ProtectTables));
            Assert.Equal(defaults.Semantics.MetadataAddresses, read.Semantics.MetadataAddresses);
            Assert.Equal(defaults.Semantics.PlatformBlockedTcpPorts, read.Semantics.PlatformBlockedTcpPorts);
        }
    }

    [Fact]
    public void Comments_and_trailing_commas_are_fine() => Assert.Equal("/a", Accepted("""
        {
            // where the state lives
            "state_directory": "/a",
        }
        """).StateDirectory);

    [Theory]
    [InlineData("{ \"state_directory\": \"rel\" }", "state_directory")]
    [InlineData("{ \"state_directory\": {} }", "state_directory")]
    [InlineData("{ \"grpc\": { \"socket\": \"\" } }", "grpc.socket")]
    [InlineData("{ \"grpc\": { \"socket_mode\": \"rw\" } }", "grpc.socket_mode")]
    [InlineData("{ \"grpc\": { \"socket_mode\": \"0888\" } }", "grpc.socket_mode")]
    [InlineData("{ \"grpc\": { \"listen\": \"localhost:1\" } }", "grpc.listen")]
    [InlineData("{ \"grpc\": { \"listen\": \"127.0.0.1:9443\" } }", "grpc.tls")]
    [InlineData("{ \"grpc\": { \"tls\": { \"certificate\": \"/nowhere\" } } }", "grpc.tls.certificate")]
    [InlineData("{ \"grpc\": { \"tls\": { \"certificate\": \"/nowhere\" } } }", "grpc.tls.key")]
    [InlineData("{ \"grpc\": { \"tls\": { \"certificate\": \"/nowhere\" } } }", "grpc.tls.client_ca")]
    [InlineData("{ \"grpc\": { \"tls\": { \"pem\": 1 } } }", "grpc.tls.pem")]
    [InlineData("{ \"grpc\": { \"tls\": { \"observers\": [\"a b\"] } } }", "grpc.tls.observers")]
    [InlineData("{ \"grpc\": { \"tls\": { \"controllers\": [\"*\"] } } }", "grpc.tls.controllers")]
    [InlineData("{ \"grpc\": { \"tls\": { \"controllers\": [\"a.*.b\"] } } }", "grpc.tls.controllers")]
    [InlineData("{ \"grpc\": { \"socket_observers\": [\"@nobody-of-this-name\"] } }", "grpc.socket_observers")]
    [InlineData("{ \"grpc\": { \"socket_controllers\": [\"\"] } }", "grpc.socket_controllers")]
    [InlineData("{ \"grpc\": { \"max_updates\": 0 } }", "grpc.max_updates")]
    [InlineData("{ \"grpc\": { \"port\": 1 } }", "grpc.port")]
    [InlineData("{ \"grpc\": [] }", "grpc")]
    [InlineData("{ \"metrics\": { \"listen\": \"127.0.0.1\" } }", "metrics.listen")]
    [InlineData("{ \"metrics\": { \"listen\": \"127.0.0.1:0\" } }", "metrics.listen")]
    [InlineData("{ \"metrics\": { \"port\": 1 } }", "metrics.port")]
    [InlineData("{ \"table\": \"9a\" }", "table")]
    [InlineData("{ \"table\": \"a b\" }", "table")]
    [InlineData("{ \"table\": \"\" }", "table")]
    [InlineData("{ \"managed_interfaces\": \"tap*\" }", "managed_interfaces")]
    [InlineData("{ \"managed_interfaces\": [\"*\"] }", "managed_interfaces")]
    [InlineData("{ \"managed_interfaces\": [\"a*b\"] }", "managed_interfaces")]
    [InlineData("{ \"managed_interfaces\": [\"a/b\"] }", "managed_interfaces")]
    [InlineData("{ \"managed_interfaces\": [\"a234567890123456\"] }", "managed_interfaces")]
    [InlineData("{ \"epoch_mask\": 7 }", "epoch_mask")]
    [InlineData("{ \"epoch_mask\": \"0xf0f0\" }", "epoch_mask")]
    [InlineData("{ \"epoch_mask\": -1 }", "epoch_mask")]
    [InlineData("{ \"semantics\": { \"egress_inner\": \"InnerFirst\" } }", "semantics.egress_inner")]
    [InlineData("{ \"semantics\": { \"egress_inner\": 1 } }", "semantics.egress_inner")]
    [InlineData("{ \"semantics\": { \"metadata_addresses\": [\"10.0.0.0/8\"] } }", "semantics.metadata_addresses")]
    [InlineData("{ \"semantics\": { \"trusted_marks\": [0] } }", "semantics.trusted_marks")]
    [InlineData("{ \"semantics\": { \"trusted_marks\": [\" 7\"] } }", "semantics.trusted_marks")]
    [InlineData("{ \"semantics\": { \"platform_blocked_tcp_ports\": [0] } }", "semantics.platform_blocked_tcp_ports")]
    [InlineData(
        "{ \"semantics\": { \"platform_blocked_tcp_ports\": [65536] } }", "semantics.platform_blocked_tcp_ports")]
    [InlineData("{ \"semantics\": { \"x\": 1 } }", "semantics.x")]
    [InlineData("{ \"limits\": { \"groups_per_vnic\": 0 } }", "limits.groups_per_vnic")]
    [InlineData("{ \"limits\": { \"groups_per_vnic\": 1.5 } }", "limits.groups_per_vnic")]
    [InlineData("{ \"limits\": { \"members_per_basic_group\": \"many\" } }", "limits.members_per_basic_group")]
    [InlineData("{ \"limits\": { \"x\": 1 } }", "limits.x")]
    [InlineData("{ \"on_change\": \"Keep\" }", "on_change")]
    [InlineData("{ \"audit_interval_ms\": 9 }", "audit_interval_ms")]
    [InlineData("{ \"protect_tables\": \"yes\" }", "protect_tables")]
    [InlineData("{ \"protect_tables\": null }", "protect_tables")]
    [InlineData("{ \"nonsense\": 1 }", "nonsense")]
    [InlineData("[]", "")]
    [InlineData("{ \"table\": ", "line 1")]
    [InlineData("{\n\"table\": \"a\",\n\"table\": \"b\" }", "line")]
    public void A_fault_is_told_with_its_key(string text, string path)
    {
        ConfigResult result = ConfigReader.Read(text, []);
        Assert.Null(result.Config);
        Assert.Contains(
            result.Faults, fault =>
                fault.Path == path || (path == "line" && fault.Path.StartsWith(path, StringComparison.Ordinal)));
        Assert.All(
            result.Faults, fault => Assert.True(fault.Message.Length > 0 && fault.Remedy.Length > 0, $"{fault}"));
    }

    [Fact]
    public void A_socket_path_has_the_length_of_the_kernels_field()
    {
        Assert.NotNull(ConfigReader.Read("", [$"grpc.socket=/{new string('x', 106)}"]).Config);
        Assert.Null(ConfigReader.Read("", [$"grpc.socket=/{new string('x', 107)}"]).Config);
        Assert.Null(ConfigReader.Read("", [$"grpc.socket=/{new string('ä', 60)}"]).Config);
    }

    [Theory]
    [InlineData("table", "InvalidConfig")]
    [InlineData("=x", "InvalidConfig")]
    [InlineData("tabel=x", "UnknownSetting")]
    [InlineData("grpc=x", "UnknownSetting")]
    public void A_faulty_override_is_told(string pair, string code) =>
        Assert.Equal(code, Assert.Single(ConfigReader.Read("", [pair]).Faults).Code);

    [Fact]
    public void All_faults_are_told_at_once()
    {
        ConfigResult result = ConfigReader.Read(
            "{ \"state_directory\": \"x\", \"table\": \"\", \"grpc\": { \"socket_mode\": \"9\", \"y\": 1 }, \"z\": 1 }",
            ["q=1", "metrics.listen=no"]);
        Assert.Equal(
            ["grpc.socket_mode", "grpc.y", "metrics.listen", "q", "state_directory", "table", "z"],
            result.Faults.Select(fault => fault.Path).Order(StringComparer.Ordinal));
    }

    private static DaemonConfig Accepted(string text, params string[] overrides)
    {
        ConfigResult result = ConfigReader.Read(text, overrides);
        Assert.True(result.Config is not null, string.Join('\n', result.Faults));
        return result.Config;
    }

    private static string Json(string key, string value)
    {
        string[] parts = key.Split('.');
        return parts.Length == 1 ? $"{{ \"{key}\": {value} }}" : $"{{ \"{parts[0]}\": {{ \"{parts[1]}\": {value} }} }}";
    }
}
