using System.Text;

namespace Agent.Benchmarks.Changes;

/// <summary>What changes, start and size cost.</summary>
internal static class ChangeBenchmarks
{
    /// <param name="only">What is measured ("daemon", "members" or "growth"); null: everything.</param>
    /// <param name="output">The report's file, for charts beside it; null: none are drawn.</param>
    /// <returns>The tables, Markdown.</returns>
    public static async Task<string> RunAsync(string? only, string? output)
    {
        var text = new StringBuilder();
        if (only is null || "daemon".Contains(only, StringComparison.Ordinal))
        {
            text.Append(await LiveTable.RunAsync());
        }

        if (only is null || "members".Contains(only, StringComparison.Ordinal))
        {
            text.Append(MembersTable.Run());
        }

        if (only is null || "growth".Contains(only, StringComparison.Ordinal))
        {
            string? folder = output is null ? null : Path.GetDirectoryName(Path.GetFullPath(output));
            if (folder is not null)
            {
                Directory.CreateDirectory(folder);
            }

            text.Append(GrowthTable.Run(folder));
        }

        return text.ToString();
    }
}
