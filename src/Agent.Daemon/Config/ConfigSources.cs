using System.Collections.Immutable;
using Agent.Contract;

namespace Agent.Daemon.Config;

/// <summary>
/// What a configuration is put together from: flags win over the environment, that wins over the file. Collects where
/// each setting came from, and every fault.
/// </summary>
internal sealed class ConfigSources
{
    private readonly string fileName;
    private readonly Dictionary<string, string> flags = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, string> variables = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Setting> settings = new(StringComparer.Ordinal);
    private readonly List<ConfigFault> faults = [];

    public ConfigSources(ConfigInput input)
    {
        fileName = input.FileName;
        foreach ((string name, string value) in input.Environment)
        {
            if (name.StartsWith(Setting.VariablePrefix, StringComparison.Ordinal))
            {
                variables.Add(name, value);
            }
        }

        foreach (string pair in input.Overrides)
        {
            int equals = pair.IndexOf('=', StringComparison.Ordinal);
            if (equals > 0)
            {
                flags[pair[..equals]] = pair[(equals + 1)..];
            }
            else
            {
                faults.Add(new ConfigFault(
                    "--set", pair, "InvalidConfig", "not KEY=VALUE", "Write --set grpc.socket=/path."));
            }
        }
    }

    public ImmutableArray<ConfigFault> Faults => [.. faults];

    /// <summary>Every setting that was asked for, by key.</summary>
    public ImmutableArray<Setting> Settings => [.. settings.Values];

    /// <summary>Takes what a flag or a variable says; each is asked for once, and what remains is unknown.</summary>
    public string? Take(string key)
    {
        bool inVariable = variables.Remove(Setting.VariableOf(key), out string? variable);
        if (flags.Remove(key, out string? flag))
        {
            return Note(key, flag, SettingSource.Flag, $"--set {key}");
        }

        return inVariable
            ? Note(key, variable!, SettingSource.Environment, $"environment {Setting.VariableOf(key)}") : null;
    }

    /// <summary>A flag or a variable says something of a section.</summary>
    public bool Mentions(string section) =>
        flags.Keys.Any(flag => flag == section || flag.StartsWith(section + ".", StringComparison.Ordinal))
        || variables.Keys.Any(name => name.StartsWith(Setting.VariableOf(section) + "_", StringComparison.Ordinal));

    public string FromFile(string key, string value) => Note(key, value, SettingSource.File, fileName);

    public string Default(string key, string value) => Note(key, value, SettingSource.Default, "");

    /// <summary>A fault of a setting; it is where the setting came from.</summary>
    public void Fault(string key, string message, string remedy) => faults.Add(new ConfigFault(
        settings.TryGetValue(key, out Setting? known) && known.Origin.Length > 0 ? known.Origin : fileName,
        key, "InvalidConfig", message, remedy));

    /// <summary>A fault of the file as a whole.</summary>
    public void FileFault(string path, string message, string remedy, string code = "InvalidConfig") =>
        faults.Add(new ConfigFault(fileName, path, code, message, remedy));

    /// <summary>What nobody asked for is no setting.</summary>
    public void Finish()
    {
        foreach (string key in flags.Keys.Order(StringComparer.Ordinal))
        {
            faults.Add(new ConfigFault(
                "--set", key, "UnknownSetting", "no such setting", Suggestion(key, settings.Keys)));
        }

        foreach (string name in variables.Keys)
        {
            faults.Add(new ConfigFault(
                $"environment {name}", name, "UnknownSetting", "no setting has this variable",
                Suggestion(name, settings.Keys.Select(Setting.VariableOf))));
        }
    }

    private static string Suggestion(string name, IEnumerable<string> known) =>
        Spelling.Nearest(name, known) is string near ? $"Did you mean {near}?"
            : "See man sg-agentd or README.md for those that there are.";

    private string Note(string key, string value, SettingSource source, string origin)
    {
        settings[key] = new Setting(key, value, source, origin);
        return value;
    }
}
