using System.Collections;
using Agent.Daemon.Config;

namespace Agent.Daemon;

/// <summary>The daemon's few flags.</summary>
internal sealed record CommandLine
{
    public const int Usage = 2;
    public const int ConfigFaulty = 3;

    private const string DefaultConfig = "/etc/sg-agent/config.json";

    private const string Help =
        """
        sg-agentd {version}: enforces security groups on this host's virtual NICs.

        Usage: sg-agentd [--config FILE] [--set KEY=VALUE]... [--check-config [--json] | --remove-ruleset]

          --config FILE     configuration, JSON with comments (default /etc/sg-agent/config.json if it exists)
          --set KEY=VALUE   one setting that wins over all others, such as grpc.socket=/run/x.sock
          --check-config    report every fault of the configuration and exit
          --json            with --check-config: {valid, faults, settings} as one JSON document
          --remove-ruleset  end enforcement: delete this host's tables, put sysctls back, say so and exit. While a
                            daemon runs, nothing is deleted. The saved state stays: a start enforces it again
          --version         print the version and exit
          --help            print this and exit

        Environment: SG_AGENT_CONFIG names the configuration file where --config does not. Each setting is a variable,
        too, which wins over the file: grpc.socket is SG_AGENTD_GRPC_SOCKET. SIGHUP reads all of it again.

        Examples:
          sg-agentd --check-config
          sg-agentd --config /tmp/try.json --set log.level=debug
          SG_AGENTD_METRICS_LISTEN= sg-agentd --check-config --json | jq .faults

        Exit codes: 0 stopped as asked (of --check-config: no fault), 1 could not run, 2 usage, 3 faulty configuration.
        """;

    public string ConfigPath { get; private init; } = DefaultConfig;

    public IReadOnlyList<string> Overrides { get; private init; } = [];

    public bool CheckOnly { get; private init; }

    /// <summary>What a check finds is told in JSON.</summary>
    public bool IsJson { get; private init; }

    public bool RemovesRuleset { get; private init; }

    /// <summary>Something to print instead of running.</summary>
    public string? Message { get; private init; }

    public int ExitCode { get; private init; }

    private bool IsConfigNamed { get; init; }

    public static CommandLine Parse(string[] args)
    {
        string? environment = Environment.GetEnvironmentVariable("SG_AGENT_CONFIG");
        var line =
            new CommandLine { ConfigPath = environment ?? DefaultConfig, IsConfigNamed = environment is not null };
        var overrides = new List<string>();
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--help" or "-h": return line with { Message = Help };
                case "--version": return line with { Message = "{version}" };
                case "--check-config": line = line with { CheckOnly = true }; break;
                case "--json": line = line with { IsJson = true }; break;
                case "--remove-ruleset": line = line with { RemovesRuleset = true }; break;
                case "--config" when i + 1 < args.Length:
                    line = line with { ConfigPath = args[++i], IsConfigNamed = true };
                    break;
                case "--set" when i + 1 < args.Length: overrides.Add(args[++i]); break;
                default:
                    return line with
                    {
                        Message = $"sg-agentd: '{args[i]}' is not understood; see --help",
                        ExitCode = Usage,
                    };
            }
        }

        return line.IsJson && !line.CheckOnly
            ? line with { Message = "sg-agentd: --json goes with --check-config; see --help", ExitCode = Usage }
            : line with { Overrides = overrides };
    }

    /// <summary>Reads the file, the variables of this process, and the flags.</summary>
    public ConfigResult ReadConfig() => ReadConfig(Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
        .ToDictionary(one => (string)one.Key, one => (string?)one.Value ?? "", StringComparer.Ordinal));

    /// <param name="environment">Variables, also those that are not for us.</param>
    public ConfigResult ReadConfig(IReadOnlyDictionary<string, string> environment)
    {
        var input = new ConfigInput { FileName = ConfigPath, Environment = environment, Overrides = Overrides };
        if (!File.Exists(ConfigPath) && !IsConfigNamed)
        {
            return ConfigReader.Read(input);
        }

        try
        {
            return ConfigReader.Read(input with { Text = File.ReadAllText(ConfigPath) });
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var fault = new ConfigFault(ConfigPath, "", "Unreadable", e.Message, "Name a readable file.");
            return new ConfigResult(null, [fault, .. ConfigReader.Read(input).Faults]);
        }
    }
}
