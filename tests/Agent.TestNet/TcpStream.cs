using System.Buffers.Binary;
using System.Net.Sockets;

namespace Agent.TestNet;

/// <summary>An established TCP connection whose two ends are in our hands.</summary>
/// <remarks>Closing resets it, so that no FIN lingers in anybody's table.</remarks>
public sealed class TcpStream : IDisposable
{
    private const int PartBytes = 1 << 16;
    private const int TcpLevel = 6;
    private const int TcpInfo = 11;
    private const int TotalRetransmitsOffset = 100;
    private static long token;

    private readonly SemaphoreSlim toServer = new(1);
    private readonly SemaphoreSlim toClient = new(1);

    internal TcpStream(Socket client, Socket server)
    {
        Client = client;
        Server = server;
    }

    public Socket Client { get; }

    public Socket Server { get; }

    /// <summary>Segments that either end had to send again, since the connection began.</summary>
    public long Retransmits => RetransmitsOf(Client) + RetransmitsOf(Server);

    /// <summary>The client writes; true when the server has read it.</summary>
    public Task<bool> ClientSendsAsync(TimeSpan? wait = null) => PassesAsync(Client, Server, toServer, wait);

    /// <summary>The server writes; true when the client has read it.</summary>
    public Task<bool> ServerSendsAsync(TimeSpan? wait = null) => PassesAsync(Server, Client, toClient, wait);

    /// <summary>The client writes so many bytes, and the server reads them.</summary>
    /// <exception cref="OperationCanceledException">They have not arrived in time.</exception>
    public async Task CarryAsync(int bytes, TimeSpan? wait = null)
    {
        using CancellationTokenSource limit = new(wait ?? Probe.PassWait);
        Task sending = SendAsync(Client, bytes, limit.Token);
        byte[] part = new byte[PartBytes];
        for (int read = 0; read < bytes;)
        {
            int now = await Server.ReceiveAsync(
                part.AsMemory(0, Math.Min(part.Length, bytes - read)), SocketFlags.None, limit.Token);
            read += now > 0 ? now : throw new EndOfStreamException();
        }

        await sending;

        static async Task SendAsync(Socket socket, int bytes, CancellationToken limit)
        {
            byte[] part = new byte[PartBytes];
            for (int sent = 0; sent < bytes;)
            {
                sent += await socket.SendAsync(
                    part.AsMemory(0, Math.Min(part.Length, bytes - sent)), SocketFlags.None, limit);
            }
        }
    }

    public void Dispose()
    {
        Client.LingerState = new LingerOption(true, 0);
        Server.LingerState = new LingerOption(true, 0);
        Client.Dispose();
        Server.Dispose();
        toServer.Dispose();
        toClient.Dispose();
    }

    private static async Task<bool> PassesAsync(Socket from, Socket to, SemaphoreSlim turn, TimeSpan? wait)
    {
        using CancellationTokenSource limit = new(wait ?? Probe.DropWait);
        await turn.WaitAsync();
        try
        {
            byte[] message = new byte[8];
            BinaryPrimitives.WriteInt64BigEndian(message, Interlocked.Increment(ref token));
            await from.SendAsync(message, limit.Token);
            byte[] read = new byte[8];
            do
            {
                // Messages that were stopped earlier may arrive first, by retransmission.
                await ReadExactlyAsync(to, read, limit.Token);
            }
            while (!read.AsSpan().SequenceEqual(message));
            return true;
        }
        catch (Exception lost) when (lost is OperationCanceledException or SocketException or EndOfStreamException)
        {
            return false;
        }
        finally
        {
            turn.Release();
        }
    }

    private static async Task ReadExactlyAsync(Socket socket, byte[] buffer, CancellationToken limit)
    {
        // Whole messages only: giving up in the middle of one would shift all later ones.
        while (socket.Available < buffer.Length)
        {
            int ready = await socket.ReceiveAsync(buffer.AsMemory(0, 1), SocketFlags.Peek, limit);
            if (ready == 0)
            {
                throw new EndOfStreamException();
            }

            if (socket.Available < buffer.Length)
            {
                await Task.Delay(1, limit);
            }
        }

        socket.Receive(buffer);
    }

    private static unsafe long RetransmitsOf(Socket socket)
    {
        byte* info = stackalloc byte[256];
        uint length = 256;
        LinuxCalls.Require(
            LinuxCalls.GetOption((int)socket.Handle, TcpLevel, TcpInfo, info, &length), "getsockopt TCP_INFO");
        return *(uint*)(info + TotalRetransmitsOffset);
    }
}
