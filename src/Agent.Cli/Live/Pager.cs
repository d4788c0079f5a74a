using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace Agent.Cli.Live;

/// <summary>The program that a person reads long text with.</summary>
internal static class Pager
{
    public const string OwnVariable = "SGCTL_PAGER";
    public const string Variable = "PAGER";

    private const string Default = "less";

    /// <summary>As git has it: quit if it fits, keep colours, leave the text on the screen.</summary>
    private const string LessOptions = "FRX";

    /// <summary>A shell's answer where it cannot run a command: not allowed, not found.</summary>
    private const int NotRun = 126;
    private const int NotFound = 127;

    /// <returns>A shell command; null: none is wanted.</returns>
    public static string? CommandOf(Func<string, string?> environment) =>
        (environment(OwnVariable) ?? environment(Variable) ?? Default) is { } command
        && command.Trim() is not ("" or "cat") ? command : null;

    /// <summary>Returns when the person has seen enough.</summary>
    /// <param name="command">For a shell.</param>
    /// <param name="text">What is read.</param>
    /// <returns>False: it could not be run, and nobody has seen anything.</returns>
    public static bool Show(string command, string text)
    {
        // Ctrl-C and Ctrl-\ at the pager are the pager's.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using var quit = PosixSignalRegistration.Create(PosixSignal.SIGQUIT, context => context.Cancel = true);
        var start = new ProcessStartInfo("sh", ["-c", command])
        {
            RedirectStandardInput = true,
            StandardInputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false),
        };
        start.Environment.TryAdd("LESS", LessOptions);
        start.Environment.TryAdd("LV", "-c");
        try
        {
            using Process pager = Process.Start(start)!;
            try
            {
                pager.StandardInput.Write(text);
                pager.StandardInput.Close();
            }
            catch (IOException)
            {
                // It was ended before the end of the text.
            }

            pager.WaitForExit();
            return pager.ExitCode is not (NotRun or NotFound);
        }
        catch (Win32Exception)
        {
            return false;
        }
    }
}
