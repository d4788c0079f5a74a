using System.Text;
using Agent.Daemon;
using Agent.Daemon.Config;

namespace Agent.Tests.Fuzz;

/// <summary>
/// A configuration: a file, behind a line of dashes one variable, flag or argument a line, as --check-config reads it.
/// </summary>
internal sealed class ConfigTarget : FuzzTarget
{
    private const string Rest = "\n-----\n";

    public override string Name => "config";

    public override int Inputs => 15_000;

    public override long LeastAllowance => 4 << 20;

    public override long AllowancePerByte => 2000;

    public override byte[] Mutate(byte[] input, byte[] other, Random random) => TextMutations.Of(input, other, random);

    public override string Read(byte[] input)
    {
        string[] parts = Encoding.UTF8.GetString(input).Split(Rest, 2);
        string[] lines = parts.Length < 2 ? [] : parts[1].Split('\n');
        var environment = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string[] pair in lines.Where(line => line.StartsWith("SG_", StringComparison.Ordinal))
            .Select(line => line.Split('=', 2)))
        {
            environment[pair[0]] = pair[^1];
        }

        string[] flags = [.. lines.Where(line => line.StartsWith("set ", StringComparison.Ordinal))
            .Select(line => line[4..])];
        string[] arguments = [.. lines.Where(line => line.StartsWith('-')).SelectMany(line => line.Split(' '))];
        var line = CommandLine.Parse(arguments);
        FuzzException.Unless(line.ExitCode is 0 or CommandLine.Usage, $"exit code {line.ExitCode}");
        ConfigResult read = ConfigReader.Read(new ConfigInput
        {
            Text = parts[0],
            Environment = environment,
            Overrides = [.. flags, .. line.Overrides],
        });
        FuzzException.Unless(read.Config is null == !read.Faults.IsEmpty, "neither settings nor a fault, or both");
        FuzzException.Unless(
            read.Faults.All(one => one.Message.Length > 0 && one.Remedy.Length > 0), "a fault that says nothing");
        if (read.Config is not null)
        {
            CheckAgain(read);
        }

        return $"{line.ExitCode} {line.Message is null} "
            + string.Join(' ', read.Faults.Select(one => Kind(one.Path + one.Message)).Distinct().Order());
    }

    // What status shows of a configuration is the same configuration, given as flags.
    private static void CheckAgain(ConfigResult read)
    {
        ConfigResult again = ConfigReader.Read("", read.Settings
            .Where(setting => setting.Source != SettingSource.Default)
            .Select(setting => $"{setting.Key}={setting.Value}"));
        FuzzException.Unless(
            again.Config is not null, $"its settings have faults: {string.Join("; ", again.Faults)}");
        foreach ((Setting one, Setting other) in read.Settings.Zip(again.Settings))
        {
            FuzzException.Unless(
                one.Key == other.Key && one.Value == other.Value, $"{one} given as a flag is {other}");
        }
    }
}
