using System.Diagnostics;

namespace Agent.TestNet;

/// <summary>Finds the programs under test.</summary>
public static class BuiltProgram
{
    private static readonly string[] Configurations = ["debug", "release"];

    /// <summary>The environment's word, otherwise the newest build in this tree's artifacts.</summary>
    public static string Find(string variable, string project, string program)
    {
        if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } named)
        {
            return Path.GetFullPath(named);
        }

        string root = RepositoryRoot();
        string? newest = Configurations
            .Select(c => Path.Combine(root, "artifacts", "bin", project, c, program))
            .Where(File.Exists)
            .MaxBy(File.GetLastWriteTimeUtc);
        return newest ?? throw new FileNotFoundException(
            $"{program} is not built: run 'make build', or name it in {variable}", program);
    }

    /// <summary>How a program of this tree is started: with our runtime, its output for us.</summary>
    public static ProcessStartInfo StartOf(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(
            Path.Combine(Path.GetDirectoryName(typeof(object).Assembly.Location)!, "../../.."));
        return start;
    }

    /// <summary>The folder of Agent.sln, above this program.</summary>
    public static string RepositoryRoot()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "Agent.sln")))
            {
                return at.FullName;
            }
        }

        throw new DirectoryNotFoundException($"no Agent.sln above {AppContext.BaseDirectory}");
    }
}
