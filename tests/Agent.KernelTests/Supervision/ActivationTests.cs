using System.Globalization;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;
using Grpc.Net.Client;
using Rpc = Agent.V1.SecurityGroupAgent.SecurityGroupAgentClient;

namespace Agent.KernelTests.Supervision;

/// <summary>The socket is open before the daemon, and outlives it.</summary>
public sealed class ActivationTests
{
    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(60));

    [Fact]
    public async Task A_client_that_comes_while_the_daemon_restarts_waits_and_is_answered()
    {
        string group = File.ReadLines("/etc/group").Select(line => line.Split(':'))
            .First(parts => parts[2] is not "0")[0];
        await using ServiceLab service = await ServiceLab.StartAsync(
            activated: true, configure: config => config["grpc"]!["socket_group"] = group);
        DaemonLab lab = service.Lab;
        await service.Manager.WaitAsync("READY", line => line == "READY=1");
        await DaemonLab.UntilAsync("the event", () => lab.Daemon.Log.Contains(
            $"listens on {service.SocketPath}", StringComparison.Ordinal));
        // Closed by its unit, opened by the configuration.
        Assert.Equal($"{group} 660 socket\n", SystemCommand.Run("stat", "-c", "%G %a %F", service.SocketPath));
        Assert.NotEmpty((await StatusAsync(service)).KernelFeatures);

        await lab.Daemon.StopAsync();
        Assert.True(File.Exists(service.SocketPath));
        Task<AgentStatus> early = StatusAsync(service);
        Task<AgentStatus> other = StatusAsync(service);
        await Task.Delay(500, TestContext.Current.CancellationToken);
        Assert.False(early.IsCompleted);
        await lab.Daemon.LaunchAsync();
        Assert.NotEmpty((await early).KernelFeatures);
        Assert.NotEmpty((await other).KernelFeatures);

        // Killed, it leaves the socket as well.
        await lab.Daemon.KillAsync();
        early = StatusAsync(service);
        await lab.Daemon.LaunchAsync();
        Assert.NotEmpty((await early).KernelFeatures);
        Assert.Equal($"{group} 660 socket\n", SystemCommand.Run("stat", "-c", "%G %a %F", service.SocketPath));
    }

    [Fact]
    public async Task Who_a_client_is_is_known_over_a_socket_that_was_handed_over()
    {
        await using ServiceLab service = await ServiceLab.StartAsync(
            activated: true, configure: config =>
            {
                config["grpc"]!["socket_mode"] = "0666";
                config["grpc"]!["socket_observers"] = new System.Text.Json.Nodes.JsonArray(65533);
            });
        await service.Manager.WaitAsync("READY", line => line == "READY=1");
        string tool = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");
        CommandOutcome observer = As(65533, tool, "--socket", service.SocketPath, "status", "--config", "--json");
        Assert.True(observer.ExitCode == 0, observer.Error + observer.Output);
        CommandOutcome stranger = As(65532, tool, "--socket", service.SocketPath, "status");
        Assert.NotEqual(0, stranger.ExitCode);
        Assert.Contains("65532", stranger.Error, StringComparison.Ordinal);
        Assert.NotEmpty((await StatusAsync(service)).KernelFeatures);
    }

    private static CommandOutcome As(int user, params string[] command)
    {
        SystemCommand.Run("chmod", "o+rx", Path.GetDirectoryName(command[2])!);
        return SystemCommand.TryRun("setpriv", null,
        [
            $"--reuid={user.ToString(CultureInfo.InvariantCulture)}", $"--regid={user}", "--clear-groups", "--",
            "env", "HOME=/nonexistent", "DOTNET_ROOT=/usr/share/dotnet", .. command,
        ]);
    }

    // A connection of its own: it is made now.
    private static async Task<AgentStatus> StatusAsync(ServiceLab service)
    {
        using GrpcChannel channel = DaemonProcess.OpenChannel(service.SocketPath);
        return await new Rpc(channel).GetStatusAsync(
            new GetStatusRequest(), new CallOptions(deadline: DateTime.UtcNow + Patience));
    }
}
