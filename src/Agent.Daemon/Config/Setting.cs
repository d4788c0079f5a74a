namespace Agent.Daemon.Config;

/// <summary>Where a setting has its value from; a later one wins over an earlier one.</summary>
internal enum SettingSource
{
    Default,
    File,
    Environment,
    Flag,
}

/// <summary>One setting and its value.</summary>
/// <param name="Key">As in the file, with dots: <c>grpc.socket</c>.</param>
/// <param name="Value">As <c>--set</c> takes it; of a list, the items with commas between them.</param>
/// <param name="Source">Where it comes from.</param>
/// <param name="Origin">The file, the variable or the flag by name; empty: the default.</param>
internal sealed record Setting(string Key, string Value, SettingSource Source, string Origin)
{
    /// <summary>Before the name of each variable that is a setting.</summary>
    public const string VariablePrefix = "SG_AGENTD_";

    /// <summary><c>grpc.socket</c> is <c>SG_AGENTD_GRPC_SOCKET</c>.</summary>
    public static string VariableOf(string key) =>
        VariablePrefix + key.Replace('.', '_').ToUpperInvariant();
}

/// <summary>Something wrong with the configuration.</summary>
/// <param name="Origin">The file, the variable or the flag in which it is.</param>
/// <param name="Path">The setting, the variable, or the line of the file.</param>
/// <param name="Code">Kind of fault.</param>
/// <param name="Message">What is wrong, with the offending value.</param>
/// <param name="Remedy">What to do about it.</param>
internal sealed record ConfigFault(string Origin, string Path, string Code, string Message, string Remedy)
{
    public override string ToString() =>
        $"{Origin}: {(Path.Length > 0 && Path != Origin ? $"{Path}: " : "")}{Message} ({Code}). {Remedy}";
}
