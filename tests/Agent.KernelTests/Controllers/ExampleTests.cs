using System.Diagnostics;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Google.Protobuf;

namespace Agent.KernelTests.Controllers;

/// <summary>The controller that README shows, as it stands there, against the real agent.</summary>
public sealed class ExampleTests
{
    [Fact]
    public async Task The_controller_of_thirty_lines_keeps_an_agent_at_its_file()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        string file = Path.Combine(lab.Daemon.Directory, "policy.json");
        Snapshot state = DaemonLab.OneWayIn();
        Write(state);
        using Process controller = Start(file, lab.Daemon.SocketPath);
        Task<string> said = controller.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        try
        {
            await AppliedAsync(rules: true);
            Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
            await lab.Daemon.KillAsync();
            state.Groups[1].Rules.Clear();
            Write(state);
            await lab.Daemon.LaunchAsync();
            await AppliedAsync(rules: false);
            Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
            state.Vnics[0].Mac = "none";
            Write(state);
            await Task.Delay(1000, TestContext.Current.CancellationToken);
        }
        finally
        {
            controller.Kill();
        }

        string output = await said;
        Assert.Contains("synced at revision", output, StringComparison.Ordinal);
        Assert.Contains("waiting", output, StringComparison.Ordinal);
        Assert.Contains("vnics[eni-e1].mac", output, StringComparison.Ordinal);
        Assert.NotEqual("none", (await lab.StateAsync()).Vnics[0].Mac);

        void Write(Snapshot policy)
        {
            File.WriteAllText(file + ".new", JsonFormatter.Default.Format(policy));
            File.Move(file + ".new", file, overwrite: true);
        }

        Task AppliedAsync(bool rules) => DaemonLab.UntilAsync(rules ? "rules" : "no rules", async () =>
            await lab.StateAsync() is { Groups.Count: 3 } held && held.Groups[1].Rules.Count > 0 == rules
            && (await lab.StatusAsync()).AppliedRevision == held.Revision);
    }

    private static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(BuiltProgram.Find("SG_CONTROLLER", "Agent.Examples", "sg-controller"))
        {
            RedirectStandardOutput = true,
        };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(
            Path.Combine(Path.GetDirectoryName(typeof(object).Assembly.Location)!, "../../.."));
        return Process.Start(start) ?? throw new InvalidOperationException("the controller did not start");
    }
}
