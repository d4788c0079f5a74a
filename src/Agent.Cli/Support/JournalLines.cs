using System.Diagnostics;

namespace Agent.Cli.Support;

/// <summary>What the daemon said last, from the journal. Its files have no format that others may read.</summary>
internal static class JournalLines
{
    private static readonly string[] Places = ["/usr/bin/journalctl", "/bin/journalctl"];

    /// <exception cref="LeftOutException">There is no journal here.</exception>
    /// <exception cref="IOException">It could not be read.</exception>
    public static async Task<string> ReadAsync(CancellationToken cancel)
    {
        string program = Array.Find(Places, File.Exists)
            ?? throw new LeftOutException("there is no journalctl on this host");
        var start = new ProcessStartInfo(
            program, ["--unit=sg-agentd", "--lines=2000", "--no-pager", "--quiet", "--output=short-iso-precise"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        using Process process = Process.Start(start) ?? throw new IOException($"{program} did not start");
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync(cancel);
        Task<string> error = process.StandardError.ReadToEndAsync(cancel);
        try
        {
            string text = await output.ConfigureAwait(false);
            string wrong = await error.ConfigureAwait(false);
            await process.WaitForExitAsync(cancel).ConfigureAwait(false);
            return process.ExitCode == 0 ? text
                : throw new IOException($"journalctl ended with {process.ExitCode}: {wrong.Trim()}");
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }
    }
}
