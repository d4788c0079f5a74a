using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Agent.TestNet;

/// <summary>
/// A listener on one port of every address, both families; keeps what it accepts until somebody asks.
/// </summary>
public sealed class TcpService : IDisposable
{
    private readonly Socket listener;
    private readonly ConcurrentDictionary<int, TaskCompletionSource<Socket>> byRemotePort = new();

    internal TcpService(NetNamespace place, int port)
    {
        Port = port;
        listener = place.OpenSocket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
        listener.DualMode = true;
        listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        listener.Bind(new IPEndPoint(IPAddress.IPv6Any, port));
        listener.Listen(512);
        _ = AcceptAllAsync();
    }

    public int Port { get; }

    /// <summary>The connection that came, or will come, from this source port (our translations keep ports).</summary>
    public async Task<Socket> AcceptedFromAsync(int remotePort, TimeSpan wait)
    {
        Socket accepted = await Slot(remotePort).Task.WaitAsync(wait);
        byRemotePort.TryRemove(remotePort, out _);
        return accepted;
    }

    public void Dispose()
    {
        listener.Dispose();
        foreach (TaskCompletionSource<Socket> slot in byRemotePort.Values)
        {
            if (slot.Task.IsCompletedSuccessfully)
            {
                slot.Task.Result.Dispose();
            }
        }
    }

    private TaskCompletionSource<Socket> Slot(int remotePort) => byRemotePort.GetOrAdd(
        remotePort, _ => new TaskCompletionSource<Socket>(TaskCreationOptions.RunContinuationsAsynchronously));

    private async Task AcceptAllAsync()
    {
        try
        {
            while (true)
            {
                Socket accepted = await listener.AcceptAsync();
                accepted.NoDelay = true;
                int port = ((IPEndPoint)accepted.RemoteEndPoint!).Port;
                if (!Slot(port).TrySetResult(accepted))
                {
                    // The port came round again: the older connection belonged to a probe that is over.
                    byRemotePort[port].Task.Result.Dispose();
                    byRemotePort.TryRemove(port, out _);
                    Slot(port).SetResult(accepted);
                }
            }
        }
        catch (Exception closed) when (closed is ObjectDisposedException or SocketException)
        {
            // The listener was closed, which is how it ends.
        }
    }
}
