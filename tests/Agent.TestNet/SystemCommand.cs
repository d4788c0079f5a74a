using System.Diagnostics;

namespace Agent.TestNet;

/// <summary>
/// A system program (<c>ip</c>, <c>nft</c>) run to its end; its failure is an exception with what it said.
/// </summary>
public static class SystemCommand
{
    public static string Run(string program, params string[] arguments) => RunWithInput(program, null, arguments);

    public static string RunWithInput(string program, string? input, params string[] arguments)
    {
        CommandOutcome outcome = TryRun(program, input, arguments);
        if (outcome.ExitCode != 0)
        {
            string script = input is null ? "" : $"\nscript:\n{input}";
            throw new InvalidOperationException(
                $"{program} {string.Join(' ', arguments)}: exit {outcome.ExitCode}: {outcome.Error}{script}");
        }

        return outcome.Output;
    }

    public static CommandOutcome TryRun(string program, string? input, params string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"{program} did not start");
        Task<string> error = process.StandardError.ReadToEndAsync();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        if (input is not null)
        {
            process.StandardInput.Write(input);
        }

        process.StandardInput.Close();
        process.WaitForExit();
        return new CommandOutcome(
            process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult().Trim());
    }
}

public sealed record CommandOutcome(int ExitCode, string Output, string Error);
