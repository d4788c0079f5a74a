namespace Agent.Daemon.Config;

/// <summary>Everything that a configuration is read from.</summary>
internal sealed record ConfigInput
{
    /// <summary>What faults call the file.</summary>
    public string FileName { get; init; } = "the configuration file";

    /// <summary>JSON with comments; empty: no file.</summary>
    public string Text { get; init; } = "";

    /// <summary>Variables of the process, also those that are not for us.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>"dotted.key=value" pairs of the command line.</summary>
    public IReadOnlyList<string> Overrides { get; init; } = [];
}
