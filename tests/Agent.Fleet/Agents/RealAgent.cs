using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.Fleet.Agents;

/// <summary>sg-agentd in a network namespace, with the real kernel.</summary>
internal sealed class RealAgent : IFleetAgent, IAsyncDisposable
{
    private readonly NetNamespace host;
    private readonly DaemonProcess daemon;

    private RealAgent(NetNamespace host, DaemonProcess daemon)
    {
        this.host = host;
        this.daemon = daemon;
    }

    public string Socket => daemon.SocketPath;

    public static async Task<RealAgent> StartAsync()
    {
        NetNamespace host = NetNamespace.Create("fleet");
        try
        {
            return new RealAgent(host, await DaemonProcess.StartAsync(
                host, new DaemonOptions { ReadyTimeout = Pace.Scaled(TimeSpan.FromSeconds(120)) }));
        }
        catch
        {
            host.Dispose();
            throw;
        }
    }

    public async Task EnforcedAsync(ulong revision, CancellationToken cancel)
    {
        using AsyncServerStreamingCall<AgentStatus> call = new SecurityGroupAgent.SecurityGroupAgentClient(
            daemon.Channel).WatchStatus(new GetStatusRequest(), cancellationToken: cancel);
        await foreach (AgentStatus status in call.ResponseStream.ReadAllAsync(cancel))
        {
            if (status.AppliedRevision >= revision)
            {
                return;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await daemon.DisposeAsync();
        host.Dispose();
    }
}
