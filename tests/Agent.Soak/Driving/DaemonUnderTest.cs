using Agent.TestNet;
using Agent.V1;
using Grpc.Net.Client;

namespace Agent.Soak.Driving;

/// <summary>The daemon, and whether it is being restarted.</summary>
internal sealed class DaemonUnderTest(DaemonProcess process) : IAsyncDisposable
{
    private int disturbances;

    public DaemonProcess Process => process;

    /// <summary>Grows with each start.</summary>
    public int Life => Volatile.Read(ref disturbances) / 2;

    /// <summary>
    /// The same before and after something, and even: the daemon was there all the time, so that nothing excuses an
    /// answer that did not come.
    /// </summary>
    public int Disturbances => Volatile.Read(ref disturbances);

    public bool WasThereSince(int before) => before % 2 == 0 && before == Disturbances;

    public GrpcChannel OpenChannel() => DaemonProcess.OpenChannel(process.SocketPath);

    public SecurityGroupAgent.SecurityGroupAgentClient Client => new(process.Channel);

    public async Task RestartAsync(bool kill)
    {
        Interlocked.Increment(ref disturbances);
        _ = kill ? await process.KillAsync() : await process.StopAsync();
        await process.LaunchAsync();
        Interlocked.Increment(ref disturbances);
    }

    public ValueTask DisposeAsync() => process.DisposeAsync();
}
