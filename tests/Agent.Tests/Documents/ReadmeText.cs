namespace Agent.Tests.Documents;

/// <summary>README.md, as the source of other texts.</summary>
internal static class ReadmeText
{
    private static readonly string Text =
        File.ReadAllText(Path.Combine(TestNet.BuiltProgram.RepositoryRoot(), "README.md"));

    /// <summary>What stands under a heading.</summary>
    public static string Section(string heading) =>
        Text.Split($"\n## {heading}\n")[1].Split("\n## ")[0].Trim('\n');

    /// <summary>First rows of the section's first table whose first cell is code; cells as they are written.</summary>
    public static IEnumerable<string[]> Rows(string heading) => Section(heading).Split('\n')
        .SkipWhile(line => !line.StartsWith('|')).TakeWhile(line => line.StartsWith('|'))
        .Where(line => line.StartsWith("| `", StringComparison.Ordinal))
        .Select(line => line.Split('|')[1..^1].Select(cell => cell.Trim()).ToArray());
}
