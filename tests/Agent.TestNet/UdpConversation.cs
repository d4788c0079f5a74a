using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Agent.TestNet;

/// <summary>Two bound UDP sockets: requests and replies of one session, whenever they are wanted.</summary>
public sealed class UdpConversation : IDisposable
{
    private static long token;
    private readonly Socket client;
    private readonly Socket server;
    private readonly IPEndPoint clientAddress;
    private readonly IPEndPoint serverAddress;

    private UdpConversation(Socket client, Socket server)
    {
        this.client = client;
        this.server = server;
        clientAddress = (IPEndPoint)client.LocalEndPoint!;
        serverAddress = (IPEndPoint)server.LocalEndPoint!;
    }

    public IPEndPoint ClientAddress => clientAddress;

    public IPEndPoint ServerAddress => serverAddress;

    public static UdpConversation Open(
        NetworkEndpoint client, IPAddress clientAddress, NetworkEndpoint server, IPEndPoint serverAddress,
        int clientPort = 0)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentNullException.ThrowIfNull(server);
        ArgumentNullException.ThrowIfNull(serverAddress);
        Socket asked = server.OpenUdp(serverAddress.Address, serverAddress.Port);
        return new UdpConversation(
            clientPort != 0 ? client.OpenUdp(clientAddress, clientPort) : client.OpenUdp(clientAddress),
            asked);
    }

    public Task<bool> ClientSendsAsync(TimeSpan? wait = null) => PassesAsync(client, serverAddress, server, wait);

    public Task<bool> ServerSendsAsync(TimeSpan? wait = null) => PassesAsync(server, clientAddress, client, wait);

    public void Dispose()
    {
        client.Dispose();
        server.Dispose();
    }

    /// <summary>One datagram between any two sockets: true when it has been read.</summary>
    public static async Task<bool> PassesAsync(Socket from, IPEndPoint target, Socket to, TimeSpan? wait)
    {
        using CancellationTokenSource limit = new(wait ?? Probe.DropWait);
        byte[] message = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(message, Interlocked.Increment(ref token));
        byte[] read = new byte[64];
        try
        {
            await from.SendToAsync(message, target, limit.Token);
            while (true)
            {
                int count = await to.ReceiveAsync(read, limit.Token);
                if (read.AsSpan(0, count).SequenceEqual(message))
                {
                    return true;
                }
            }
        }
        catch (Exception lost) when (lost is OperationCanceledException or SocketException)
        {
            return false;
        }
    }
}
