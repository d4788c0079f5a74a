using Agent.Contract;

namespace Agent.Cli.Completion;

/// <summary>Names that the running agent would take for a vNIC.</summary>
internal static class VnicNames
{
    /// <returns>Ids and names of interfaces; empty if the agent does not answer at once.</returns>
    public static string[] Known(string socketPath) =>
    [
        .. (Suggestions.StatusNow(socketPath)?.Vnics ?? []).Where(vnic => vnic.VnicId.Length > 0)
            .SelectMany(vnic => new[] { vnic.VnicId, vnic.InterfaceName }).Where(name => name.Length > 0),
    ];

    /// <summary>What a person does who wrote a name that there is not.</summary>
    public static string Hint(string wrong, IEnumerable<string> known) =>
        Spelling.Nearest(wrong, known) is { } name ? $"Did you mean {name}? sgctl vnics lists all."
            : "sgctl vnics lists them.";
}
