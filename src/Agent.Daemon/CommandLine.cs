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

        Usage: sg-agentd [--config FILE] [--set KEY=VALUE]... [--check-config | --remove-ruleset]

          --config FILE     configuration, JSON with comments (default /etc/sg-agent/config.json if it exists)
          --set KEY=VALUE   one setting that wins over the file, such as grpc.socket=/run/x.sock
          --check-config    report every fault of the configuration and exit
          --remove-ruleset  end enforcement: delete this host's tables, put sysctls back, say so and exit. While a
                            daemon runs, nothing is deleted. The saved state stays: a start enforces it again
          --version         print the version and exit
          --help            print this and exit

        Exit codes: 0 stopped as asked, 1 could not run, 2 usage, 3 faulty configuration.
        Environment: SG_AGENT_CONFIG names the configuration file where --config does not.
        """;

    public string ConfigPath { get; private init; } = DefaultConfig;

    public IReadOnlyList<string> Overrides { get; private init; } = [];

    public bool CheckOnly { get; private init; }

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

        return line with { Overrides = overrides };
    }

    public ConfigResult ReadConfig()
    {
        if (!File.Exists(ConfigPath) && !IsConfigNamed)
        {
            return ConfigReader.Read("", Overrides);
        }

        try
        {
            return ConfigReader.Read(File.ReadAllText(ConfigPath), Overrides);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new ConfigResult(
                null, [new Agent.Policy.PolicyFault("file", "Unreadable", e.Message, "Name a readable file.")]);
        }
    }
}
