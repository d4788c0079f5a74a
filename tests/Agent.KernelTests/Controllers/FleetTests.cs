using System.Diagnostics;
using Agent.TestNet;

namespace Agent.KernelTests.Controllers;

/// <summary>`make fleet`, small: everything that it measures comes to an end, and nobody complains.</summary>
public sealed class FleetTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromMinutes(4));

    [Fact]
    public async Task A_small_fleet_gets_changes_churn_a_failover_and_a_resync()
    {
        DirectoryInfo files = ScratchDirectory.Create("fleet");
        try
        {
            string page = Path.Combine(files.FullName, "report.md");
            using Process fleet = Start(
                "measure", "--agents", "5", "--real", "2", "--rounds", "3", "--churn", "200", "--churn-seconds", "2",
                "--out", page);
            Task<string> said = fleet.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            Task<string> wrong = fleet.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            using CancellationTokenSource limit = new(Patience);
            try
            {
                await fleet.WaitForExitAsync(limit.Token);
            }
            finally
            {
                fleet.Kill();
            }

            output.WriteLine(await said);
            Assert.Equal(("", 0), (await wrong, fleet.ExitCode));
            Assert.DoesNotContain("controller-1:", await said, StringComparison.Ordinal);
            Assert.DoesNotContain("refused", await said, StringComparison.Ordinal);
            string report = await File.ReadAllTextAsync(page, TestContext.Current.CancellationToken);
            Assert.Equal(3, report.Split("| 5 simulated |").Length - 1);
            Assert.Equal(3, report.Split("| 2 real |").Length - 1);
            Assert.Equal(4, files.GetFiles("*.svg").Length);
        }
        finally
        {
            files.Delete(recursive: true);
        }
    }

    private static Process Start(params string[] arguments) =>
        Process.Start(BuiltProgram.StartOf(BuiltProgram.Find("SG_FLEET", "Agent.Fleet", "sg-fleet"), arguments))
            ?? throw new InvalidOperationException("the fleet did not start");
}
