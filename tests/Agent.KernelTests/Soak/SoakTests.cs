using System.Diagnostics;
using System.Globalization;
using Agent.TestNet;

namespace Agent.KernelTests.Soak;

/// <summary>`make soak`, short: the daemon passes, and one that leaks does not.</summary>
public sealed class SoakTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    /// <summary>What proofs remember grows for longer than half a minute, so this is no test of every run.</summary>
    [Fact]
    public async Task Under_everything_at_once_all_stays_flat_and_nothing_is_lost_or_let_through()
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("SG_TEST_SOAK") == "1", "SG_TEST_SOAK=1, or make soak");
        DirectoryInfo files = ScratchDirectory.Create("soak");
        try
        {
            string page = Path.Combine(files.FullName, "report.md");
            (int exit, string wrong) = await RunAsync(daemon: null, seconds: 32, "--out", page);
            Assert.Equal(("", 0), (wrong, exit));
            string report = await File.ReadAllTextAsync(page, TestContext.Current.CancellationToken);
            Assert.Contains("## All is flat", report, StringComparison.Ordinal);
            Assert.Contains("| daemon killed and started |", report, StringComparison.Ordinal);
            Assert.Contains("| change: takeover with a snapshot |", report, StringComparison.Ordinal);
            Assert.Equal(7, files.GetFiles("*.svg").Length);
        }
        finally
        {
            files.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_daemon_that_keeps_memory_and_descriptors_is_found()
    {
        (int exit, string wrong) = await RunAsync(
            BuiltProgram.Find("SG_ERRING_AGENTD", "Agent.ErringDaemon", "Agent.ErringDaemon"), seconds: 22,
            "--plant", "sg-leaking", "--steps", "6");
        Assert.Equal(1, exit);
        Assert.Contains("private memory is not flat: it grew by ", wrong, StringComparison.Ordinal);
        Assert.Contains("descriptors is not flat: it grew by ", wrong, StringComparison.Ordinal);
        Assert.DoesNotContain("although", wrong, StringComparison.Ordinal);
        Assert.DoesNotContain("for the same policy", wrong, StringComparison.Ordinal);
    }

    private async Task<(int Exit, string Wrong)> RunAsync(string? daemon, double seconds, params string[] arguments)
    {
        string hours = (seconds * Pace.Slowdown / 3600).ToString(CultureInfo.InvariantCulture);
        ProcessStartInfo start = BuiltProgram.StartOf(
            BuiltProgram.Find("SG_SOAK", "Agent.Soak", "sg-soak"), ["--hours", hours, .. arguments]);
        if (daemon is not null)
        {
            start.Environment["SG_AGENTD"] = daemon;
        }

        using Process soak = Process.Start(start) ?? throw new InvalidOperationException("the soak did not start");
        Task<string> said = soak.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> wrong = soak.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using CancellationTokenSource limit = new(Pace.Scaled(Patience));
        try
        {
            await soak.WaitForExitAsync(limit.Token);
        }
        finally
        {
            soak.Kill();
        }

        output.WriteLine(await said);
        output.WriteLine(await wrong);
        return (soak.ExitCode, await wrong);
    }
}
