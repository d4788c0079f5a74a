using System.Globalization;
using System.Text;
using System.Text.Json;
using Agent.Compiler;
using Agent.Daemon.Access;
using Agent.Policy;

namespace Agent.Daemon.Config;

/// <summary>
/// Reads the configuration: a file of JSON with comments and trailing commas, variables, flags. Finds every fault, not
/// the first.
/// </summary>
internal static class ConfigReader
{
    private static readonly JsonDocumentOptions Options = new()
    {
        CommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
        AllowDuplicateProperties = false,
    };

    /// <summary>Reads a file's content and flags, without an environment.</summary>
    /// <param name="text">The file's content; empty is the defaults.</param>
    /// <param name="overrides">"dotted.key=value" pairs that win over the file, as given on the command line.</param>
    public static ConfigResult Read(string text, IEnumerable<string> overrides) =>
        Read(new ConfigInput { Text = text, Overrides = [.. overrides] });

    public static ConfigResult Read(ConfigInput input)
    {
        var sources = new ConfigSources(input);
        JsonElement root = default; // without a setting: the other sources are looked at all the same
        try
        {
            root = JsonDocument.Parse(
                string.IsNullOrWhiteSpace(input.Text) ? "{}" : input.Text, Options).RootElement;
            MustBeText(root);
            if (root.ValueKind != JsonValueKind.Object)
            {
                sources.FileFault("", "not an object", "Write { ... } around the settings.");
            }
        }
        catch (JsonException e)
        {
            sources.FileFault($"line {(e.LineNumber ?? 0) + 1}", e.Message, "Correct the JSON.");
        }
        catch (InvalidOperationException)
        {
            // Well-formed JSON may escape half of a pair, which is no text.
            root = default;
            sources.FileFault("", "half of a surrogate pair is no character", "Correct the \\u escape.");
        }

        DaemonConfig config = ReadRoot(new Section("", root, sources));
        sources.Finish();
        return new ConfigResult(sources.Faults.IsEmpty ? config : null, sources.Faults)
        {
            Settings = sources.Settings,
        };
    }

    /// <exception cref="InvalidOperationException">A name or a value is no text.</exception>
    private static void MustBeText(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String: _ = element.GetString(); break;
            case JsonValueKind.Array:
                foreach (JsonElement item in element.EnumerateArray())
                {
                    MustBeText(item);
                }

                break;
            case JsonValueKind.Object:
                foreach (JsonProperty property in element.EnumerateObject())
                {
                    _ = property.Name;
                    MustBeText(property.Value);
                }

                break;
        }
    }

    private static DaemonConfig ReadRoot(Section root)
    {
        var defaults = new DaemonConfig();
        int adoptionSeconds = root.Number("adoption_window_seconds", 0, least: 0);
        Section conntrack = root.Child("conntrack");
        Section sessions = root.Child("sessions");
        Section metrics = root.Child("metrics");
        Section drops = root.Child("drops");
        (ushort zoneFirst, ushort zoneLast) = ReadZones(conntrack, defaults.Compiler);
        var config = new DaemonConfig
        {
            StateDirectory = root.Path("state_directory", defaults.StateDirectory),
            Grpc = ReadGrpc(root.Child("grpc"), defaults.Grpc),
            Metrics = ReadMetrics(metrics, defaults.Metrics),
            Drops = ReadDrops(drops, defaults.Drops),
            Log = ReadLog(root.Child("log"), defaults.Log),
            Tracing = ReadTracing(root.Child("tracing"), defaults.Tracing),
            Compiler = ReadRates(drops, defaults.Compiler) with
            {
                Table = root.Name("table", defaults.Compiler.Table),
                ManagedInterfaces = root.Patterns("managed_interfaces", defaults.Compiler.ManagedInterfaces),
                EpochMask = root.Mask("epoch_mask", defaults.Compiler.EpochMask),
                AdoptsSessions = adoptionSeconds > 0,
                ZoneFirst = zoneFirst,
                ZoneLast = zoneLast,
                MaxSessionsPerVnic = sessions.NumberOrZero(
                    "max_per_vnic", defaults.Compiler.MaxSessionsPerVnic, PolicyLimits.MaxSessionsPerVnic),
                RuleHits = metrics.Texts("rule_hits", defaults.Compiler.RuleHits),
                MaxRuleHits = metrics.NumberOrZero("max_rule_hits", defaults.Compiler.MaxRuleHits, max: 1_000_000),
            },
            Semantics = ReadSemantics(root.Child("semantics")) with
            {
                HostServices = root.List("host_services", PolicySettings.Default.HostServices,
                    "a service such as udp/53, tcp/8775@169.254.169.254 or icmp", HostService.Parse),
                DhcpServers = root.List("dhcp_servers", PolicySettings.Default.DhcpServers, "an address",
                    text => IpPrefix.TryParse(text, out IpPrefix address, out _) && address.IsHost ? address : null),
            },
            Limits = ReadLimits(root.Child("limits")),
            MassChange = ReadMassChange(root.Child("mass_change"), defaults.MassChange),
            OnChange = root.Choice("on_change", OnChange.Revalidate),
            AdoptionWindow = TimeSpan.FromSeconds(adoptionSeconds),
            AuditInterval = TimeSpan.FromMilliseconds(
                root.Number("audit_interval_ms", (int)defaults.AuditInterval.TotalMilliseconds, least: 10)),
            VerifyInterval = TimeSpan.FromSeconds(
                root.Number("verify_interval_seconds", (int)defaults.VerifyInterval.TotalSeconds)),
            Verify = root.Choice("verify", defaults.Verify),
            VerifyBudget = TimeSpan.FromMilliseconds(
                root.Number("verify_budget_ms", (int)defaults.VerifyBudget.TotalMilliseconds)),
            EnforceBridges = root.Flag("enforce_bridges", defaults.EnforceBridges),
            ProtectTables = root.Flag("protect_tables", defaults.ProtectTables),
            ManageSysctls = conntrack.Flag("manage_sysctls", defaults.ManageSysctls),
            Accounting = conntrack.Flag("accounting", defaults.Accounting),
            ComparedSessions = sessions.Number("compared", defaults.ComparedSessions, least: 100),
        };
        drops.Finish();
        conntrack.Finish();
        sessions.Finish();
        metrics.Finish();
        root.Finish();
        return config;
    }

    private static DropsConfig ReadDrops(Section section, DropsConfig defaults) => new()
    {
        Kept = section.NumberOrZero("kept", defaults.Kept, 100_000),
        Journal = section.Flag("journal", defaults.Journal),
        File = section.PathOrNone("file", defaults.File),
        FileMaxMegabytes = section.Number("file_max_mb", defaults.FileMaxMegabytes),
        FileKeep = section.NumberOrZero("file_keep", defaults.FileKeep, 1000),
    };

    private static LogConfig ReadLog(Section section, LogConfig defaults)
    {
        var config = new LogConfig
        {
            To = section.Choice("to", defaults.To),
            Level = section.Choice("level", defaults.Level),
            Burst = section.NumberOrZero("burst", defaults.Burst, 1_000_000),
            JournalSocket = section.Path("journal_socket", defaults.JournalSocket),
        };
        CheckSocket(section, config.JournalSocket, "journal_socket");
        section.Finish();
        return config;
    }

    private static MassChangeConfig ReadMassChange(Section section, MassChangeConfig defaults)
    {
        var config = new MassChangeConfig
        {
            RemovalPercent = section.NumberOrZero("removal_percent", defaults.RemovalPercent, max: 100),
            Floor = section.Number("floor", defaults.Floor),
        };
        section.Finish();
        return config;
    }

    private static TracingConfig ReadTracing(Section section, TracingConfig defaults)
    {
        var config = new TracingConfig
        {
            OtlpEndpoint = section.Text("otlp_endpoint", defaults.OtlpEndpoint),
            OtlpProtocol = section.Choice("otlp_protocol", defaults.OtlpProtocol),
        };
        if (config.OtlpEndpoint.Length > 0 && !(Uri.TryCreate(config.OtlpEndpoint, UriKind.Absolute, out Uri? uri)
            && uri.Scheme is "http" or "https"))
        {
            section.Fault("otlp_endpoint", $"'{config.OtlpEndpoint}' is not an http or https URL",
                "Write http://127.0.0.1:4318; empty turns it off.");
        }

        section.Finish();
        return config;
    }

    private static CompilerSettings ReadRates(Section section, CompilerSettings defaults) => defaults with
    {
        LogGroup = (ushort)section.NumberOrZero("group", defaults.LogGroup, ushort.MaxValue),
        DropRate = (uint)section.NumberOrZero("per_second", (int)defaults.DropRate, MaxRate),
        DropBurst = (uint)section.Number("burst", (int)defaults.DropBurst),
        FlowRate = (uint)section.NumberOrZero("flows_per_second", (int)defaults.FlowRate, MaxRate),
        FlowVnics = section.Texts("flow_vnics", defaults.FlowVnics),
        FlowRules = section.Texts("flow_rules", defaults.FlowRules),
    };

    /// <summary>Records a second: more from one vNIC is no sample.</summary>
    private const int MaxRate = 100_000;

    private static (ushort First, ushort Last) ReadZones(Section section, CompilerSettings defaults)
    {
        int first = section.Number("zone_first", defaults.ZoneFirst);
        int last = section.Number("zone_last", defaults.ZoneLast);
        if (last > ushort.MaxValue || first > last)
        {
            section.Fault(
                "zone_last", $"{first} to {last} are not conntrack zones", "Use 1 to 65535, zone_first the smaller.");
            return (defaults.ZoneFirst, defaults.ZoneLast);
        }

        return ((ushort)first, (ushort)last);
    }

    private const string AnAccount = "a user of this host, or @ and a group";

    private const string AName = "a DNS name, a URI, an e-mail address or an IP address";

    private static GrpcConfig ReadGrpc(Section section, GrpcConfig defaults)
    {
        var config = new GrpcConfig
        {
            Socket = section.Text("socket", defaults.Socket),
            SocketMode = section.Mode("socket_mode", defaults.SocketMode),
            SocketGroup = section.Text("socket_group", defaults.SocketGroup),
            Listen = section.EndPoint("listen", defaults.Listen),
            Tls = ReadTls(section),
            SocketControllers = section.List(
                "socket_controllers", defaults.SocketControllers, AnAccount, Account.Parse),
            SocketObservers = section.List("socket_observers", defaults.SocketObservers, AnAccount, Account.Parse),
            MaxMessageBytes = section.Number("max_message_bytes", defaults.MaxMessageBytes),
            MaxSnapshotBytes = section.Number("max_snapshot_bytes", defaults.MaxSnapshotBytes),
            SnapshotTimeout = Seconds("snapshot_timeout_seconds", defaults.SnapshotTimeout),
            MaxUnanswered = section.Number("max_unanswered", defaults.MaxUnanswered),
            MaxUnansweredBytes = section.Number("max_unanswered_bytes", defaults.MaxUnansweredBytes),
            AnswerTimeout = Seconds("answer_timeout_seconds", defaults.AnswerTimeout),
            MaxConnections = section.Number("max_connections", defaults.MaxConnections),
            MaxConnectionsPerClient =
                section.Number("max_connections_per_client", defaults.MaxConnectionsPerClient),
            MaxStreamsPerConnection =
                section.Number("max_streams_per_connection", defaults.MaxStreamsPerConnection),
            MaxUpdates = section.Number("max_updates", defaults.MaxUpdates),
            MaxWatches = section.Number("max_watches", defaults.MaxWatches),
            MaxCostly = section.Number("max_costly", defaults.MaxCostly),
            MaxQuestions = section.Number("max_questions", defaults.MaxQuestions),
            CallsPerSecond = section.Number("calls_per_second", defaults.CallsPerSecond),
            CallsBurst = section.Number("calls_burst", defaults.CallsBurst),
            HandshakeTimeout = Seconds("handshake_timeout_seconds", defaults.HandshakeTimeout),
            KeepAlive = Seconds("keepalive_seconds", defaults.KeepAlive),
            LeaseLife = Seconds("lease_seconds", defaults.LeaseLife),
        };
        if (config.Socket.Length == 0 && config.Listen.Length == 0)
        {
            section.Fault("socket", "neither a socket nor an address to listen on", "Set grpc.socket or grpc.listen.");
        }

        CheckSocket(section, config.Socket);
        if (config.Listen.Length > 0 && config.Tls is null)
        {
            section.Fault("tls", "TCP without mutual TLS", "Set grpc.tls.certificate, .key and .client_ca.");
        }

        section.Finish();
        return config;

        TimeSpan Seconds(string key, TimeSpan fallback) =>
            TimeSpan.FromSeconds(section.Number(key, (int)fallback.TotalSeconds));
    }

    private static TlsConfig? ReadTls(Section grpc)
    {
        bool isThere = grpc.Has("tls");
        Section section = grpc.Child("tls");
        if (!isThere)
        {
            section.Absent("certificate", "key", "client_ca", "controllers", "observers");
            return null;
        }

        var tls = new TlsConfig(
            section.ExistingFile("certificate"), section.ExistingFile("key"), section.ExistingFile("client_ca"))
        {
            Controllers = section.List("controllers", [], AName, CertificateName.Parse),
            Observers = section.List("observers", [], AName, CertificateName.Parse),
        };
        section.Finish();
        return tls;
    }

    private static MetricsConfig ReadMetrics(Section section, MetricsConfig defaults)
    {
        var config = new MetricsConfig
        {
            Listen = section.EndPoint("listen", defaults.Listen),
            Socket = section.Text("socket", defaults.Socket),
            SocketMode = section.Mode("socket_mode", defaults.SocketMode),
            SocketGroup = section.Text("socket_group", defaults.SocketGroup),
            Tls = ReadMetricsTls(section),
        };
        CheckSocket(section, config.Socket);
        return config;
    }

    private static MetricsTlsConfig? ReadMetricsTls(Section metrics)
    {
        bool isThere = metrics.Has("tls");
        Section section = metrics.Child("tls");
        if (!isThere || !section.Has("client_ca"))
        {
            section.Absent("client_ca");
        }

        if (!isThere)
        {
            section.Absent("certificate", "key");
            return null;
        }

        string certificate = section.ExistingFile("certificate");
        string key = section.ExistingFile("key");
        var tls = new MetricsTlsConfig(
            certificate, key, section.Has("client_ca") ? section.ExistingFile("client_ca") : null);
        section.Finish();
        return tls;
    }

    private static void CheckSocket(Section section, string path, string key = "socket")
    {
        if (Encoding.UTF8.GetByteCount(path) > 107)
        {
            section.Fault(
                key, "longer than the 107 bytes that a Unix socket path may have", "Choose a shorter path.");
        }
    }

    private static PolicySettings ReadSemantics(Section section)
    {
        PolicySettings defaults = PolicySettings.Default;
        var settings = new PolicySettings
        {
            EgressInner = section.Choice("egress_inner", defaults.EgressInner),
            MetadataAddresses = section.List("metadata_addresses", defaults.MetadataAddresses, "an address",
                text => IpPrefix.TryParse(text, out IpPrefix address, out _) && address.IsHost ? address : null),
            TrustedMarks = section.List("trusted_marks", defaults.TrustedMarks, "a packet mark, not 0",
                text => Section.TryNumber(text, out uint mark) && mark != 0 ? mark : null),
            PlatformBlockedTcpPorts = section.List(
                "platform_blocked_tcp_ports", defaults.PlatformBlockedTcpPorts, "a port",
                text => ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port)
                    && port > 0 ? port : null),
        };
        section.Finish();
        return settings;
    }

    private static PolicyLimits ReadLimits(Section section)
    {
        PolicyLimits limits = PolicyLimits.Default;
        limits = limits with
        {
            GroupsPerVnic = section.Number("groups_per_vnic", limits.GroupsPerVnic),
            WeightedRulesPerVnic = section.Number("weighted_rules_per_vnic", limits.WeightedRulesPerVnic),
            RulesPerGroupWarning = section.Number("rules_per_group_warning", limits.RulesPerGroupWarning),
            GroupRulesPerBasicGroup = section.Number("group_rules_per_basic_group", limits.GroupRulesPerBasicGroup),
            MembersPerBasicGroup = section.Number("members_per_basic_group", limits.MembersPerBasicGroup),
            MembersPerAdvancedGroup = section.Number("members_per_advanced_group", limits.MembersPerAdvancedGroup),
            PrefixListEntries = section.Number("prefix_list_entries", limits.PrefixListEntries),
            PortListEntries = section.Number("port_list_entries", limits.PortListEntries),
        };
        section.Finish();
        return limits;
    }
}
