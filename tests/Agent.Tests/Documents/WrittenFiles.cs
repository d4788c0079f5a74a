using Agent.TestNet;

namespace Agent.Tests.Documents;

/// <summary>Files that are written from the code: compared, or written anew by <c>make man</c>.</summary>
internal static class WrittenFiles
{
    private static readonly bool Writes = Environment.GetEnvironmentVariable("SG_WRITE_DOCUMENTS") is { Length: > 0 };

    /// <param name="folder">Of the repository; it holds these files and no others.</param>
    /// <param name="files">Content by name.</param>
    public static void Check(string folder, IReadOnlyDictionary<string, string> files)
    {
        string path = Path.Combine(BuiltProgram.RepositoryRoot(), folder);
        if (Writes)
        {
            Directory.CreateDirectory(path);
            foreach (string stale in Directory.EnumerateFiles(path).Where(file => !files.ContainsKey(Name(file))))
            {
                File.Delete(stale);
            }

            foreach ((string name, string content) in files)
            {
                File.WriteAllText(Path.Combine(path, name), content);
            }
        }

        string[] differ =
        [
            .. Directory.EnumerateFiles(path).Select(Name).Except(files.Keys).Select(name => $"{name}: of nothing"),
            .. files.Where(file => !File.Exists(Path.Combine(path, file.Key))
                || File.ReadAllText(Path.Combine(path, file.Key)) != file.Value).Select(file => file.Key),
        ];
        Assert.True(differ.Length == 0,
            $"{folder} is not what the code says; make man writes it anew: {string.Join(", ", differ)}");
    }

    private static string Name(string file) => Path.GetFileName(file);
}
