using System.Text;
using System.Text.RegularExpressions;
using Agent.Cli;
using Agent.Daemon;
using Agent.Daemon.Access;
using Agent.Daemon.Config;
using Agent.Daemon.Counting;
using Agent.Daemon.Drops;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Logging;
using Agent.Daemon.Ownership;
using Agent.Daemon.Service;
using Agent.Daemon.Sessions;
using Agent.Daemon.Top;
using Agent.Nftables;
using Microsoft.Extensions.Logging.Abstractions;
using Prometheus;

namespace Agent.Tests;

/// <summary>The tables of README.md name what there is: no more, no less.</summary>
public sealed partial class ReadmeTests
{
    private static readonly string Readme = File.ReadAllText(Path.Combine(Root(), "README.md"));

    [Fact]
    public void The_controller_is_the_example() => Assert.Equal(
        File.ReadAllText(Path.Combine(Root(), "tests/Agent.Examples/Program.cs")),
        Readme.Split("```csharp\n")[1].Split("```")[0]);

    [Fact]
    public void Every_setting_is_in_the_table_with_its_default()
    {
        (string Key, string Default)[] rows = [.. Rows("Configuration").Select(row => (row[0], row[1]))];
        Assert.Equal(
            KnownSettings().Order(StringComparer.Ordinal),
            rows.Select(row => row.Key).Order(StringComparer.Ordinal));
        ConfigResult read = ConfigReader.Read(
            "", rows.Where(row => row.Default.Length > 0).Select(row => $"{row.Key}={row.Default}"));
        Assert.True(read.Config is not null, string.Join('\n', read.Faults));
        Assert.Equal(new DaemonConfig().ToString(), read.Config.ToString());
    }

    [Fact]
    public async Task Every_metric_is_in_the_table()
    {
        var metrics = new AgentMetrics(Metrics.NewCustomRegistry(), "0", "0");
        ConntrackMetrics.Add(metrics.Registry);
        var book = new CounterBook(
            () => new RawCounts(new Dictionary<NftFamily, ulong>(), [], [], [], 1), () => AgentState.Initial,
            file: null, TimeProvider.System, NullLogger.Instance);
        VnicMetrics.Add(metrics.Registry, book);
        new TopWatch(() => null, (_, _, _) => true, book, 1, TimeProvider.System).AddTo(metrics.Registry);
        HostMetrics.Add(metrics.Registry, () => AgentState.Initial);
        SessionMetrics.Add(metrics.Registry, () => AgentState.Initial, (_, _, _) => true, TimeProvider.System);
        _ = new DropMetrics(metrics.Registry);
        using var events = new EventLog(new LogConfig(), new ConsoleSink(TextWriter.Null, false), TimeProvider.System);
        LogMetrics.Add(metrics.Registry, events);
        _ = new AccessMetrics(metrics.Registry);
        _ = new OwnershipMetrics(metrics.Registry);
        _ = new SyncMetrics(metrics.Registry);
        using var page = new MemoryStream();
        await metrics.Registry.CollectAndExportAsTextAsync(page, TestContext.Current.CancellationToken);
        IEnumerable<string> names =
            Help().Matches(Encoding.UTF8.GetString(page.ToArray()))
                .Select(match => match.Groups[1].Value);
        Assert.Equal(
            names.Order(StringComparer.Ordinal),
            Rows("Metrics").Select(row => row[0]).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Every_verb_is_in_the_table()
    {
        var around = new Surroundings { Out = TextWriter.Null, Error = TextWriter.Null, OpenInput = () => Stream.Null };
        Assert.Equal(
            Sgctl.Build(around).Subcommands.Select(verb => verb.Name).Order(StringComparer.Ordinal),
            Rows("sgctl").Select(row => row[0].Split(' ')[0]).Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task The_policy_has_no_fault()
    {
        string policy = Readme.Split("```yaml\n")[1].Split("```")[0];
        Cli.CliRun run = await Cli.CliRun.Of(["check", "-"], policy);
        Assert.Equal("<stdin>: no fault: 1 group, 2 rules, 0 listed members, 0 lists, 1 vNIC\n", run.Out);
    }

    /// <summary>First rows of the section's first table whose first cell is code; backticks removed.</summary>
    private static IEnumerable<string[]> Rows(string section)
    {
        string text = Readme.Split($"\n## {section}\n")[1].Split("\n## ")[0];
        return text.Split('\n')
            .SkipWhile(line => !line.StartsWith('|')).TakeWhile(line => line.StartsWith('|'))
            .Where(line => line.StartsWith("| `", StringComparison.Ordinal))
            .Select(line => line.Split('|')[1..^1]
                .Select(cell => cell.Trim().Replace("`", "", StringComparison.Ordinal))
                .ToArray());
    }

    // An unknown key in each section makes the reader say which keys it knows there.
    private static IEnumerable<string> KnownSettings()
    {
        string[] sections =
        [
            "grpc", "grpc.tls", "metrics", "metrics.tls", "semantics", "limits", "conntrack", "sessions", "drops",
            "log", "tracing", "mass_change",
        ];
        const string Text = """
            {"?":0,"grpc":{"?":0,"tls":{"?":0}},"metrics":{"?":0,"tls":{"?":0}},"semantics":{"?":0},"limits":{"?":0},
            "conntrack":{"?":0},"sessions":{"?":0},"drops":{"?":0},"log":{"?":0},"tracing":{"?":0},
            "mass_change":{"?":0}}
            """;
        foreach (ConfigFault fault in ConfigReader.Read(Text, []).Faults.Where(fault => fault.Path.EndsWith('?')))
        {
            string prefix = fault.Path[..^1];
            foreach (string key in fault.Remedy["Known here: ".Length..^1].Split(", ").Select(name => prefix + name))
            {
                if (!sections.Contains(key))
                {
                    yield return key;
                }
            }
        }
    }

    private static string Root()
    {
        DirectoryInfo at = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(at.FullName, "Agent.sln")))
        {
            at = at.Parent ?? throw new DirectoryNotFoundException("no Agent.sln above the tests");
        }

        return at.FullName;
    }

    [GeneratedRegex(@"^# HELP (\S+)", RegexOptions.Multiline)]
    private static partial Regex Help();
}
