using System.Text;
using Agent.Cli;

namespace Agent.Tests.Cli;

/// <summary>sgctl, run in this process: what it printed, and its exit code.</summary>
internal sealed record CliRun(int ExitCode, string Out, string Error)
{
    public static async Task<CliRun> Of(
        string[] arguments, string input = "", int? width = null, params (string, string)[] environment)
    {
        var output = new StringWriter { NewLine = "\n" };
        var error = new StringWriter { NewLine = "\n" };
        int code = await Sgctl.RunAsync(arguments, new Surroundings
        {
            Out = output,
            Error = error,
            OpenInput = () => new MemoryStream(Encoding.UTF8.GetBytes(input)),
            OutWidth = width,
            Environment = name => environment.Where(pair => pair.Item1 == name)
                .Select(pair => pair.Item2).FirstOrDefault(),
        });
        return new CliRun(code, output.ToString(), error.ToString());
    }

    /// <summary>The same with a file that has the text; its name is kept out of what was printed.</summary>
    public static async Task<CliRun> OnFile(string verb, string text, string extension = ".yaml", params string[] more)
    {
        string path = Path.Combine(Directory.CreateTempSubdirectory("sgctl-").FullName, "policy" + extension);
        await File.WriteAllTextAsync(path, text);
        CliRun run = await Of([verb, path, .. more]);
        Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        string directory = Path.GetDirectoryName(path)! + "/";
        return run with
        {
            Out = run.Out.Replace(directory, "", StringComparison.Ordinal),
            Error = run.Error.Replace(directory, "", StringComparison.Ordinal),
        };
    }
}
