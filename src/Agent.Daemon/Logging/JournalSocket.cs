using System.Net.Sockets;

namespace Agent.Daemon.Logging;

/// <summary>The one writer to journald's socket, for events and drop records.</summary>
/// <remarks>
/// A journal that does not read may hold up the caller once, for <see cref="Patience"/>; then nobody waits until
/// <see cref="Rest"/> has passed.
/// </remarks>
/// <param name="path">/run/systemd/journal/socket, or another in a test.</param>
/// <param name="clock">Time.</param>
internal sealed class JournalSocket(string path, TimeProvider clock) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(1);

    private readonly Lock gate = new();
    private Socket? socket;
    private long? stuckAt;

    /// <returns>False: nobody took it.</returns>
    public bool Send(ReadOnlySpan<byte> datagram)
    {
        lock (gate)
        {
            // A second time because a journal that was started anew has another socket under the same name.
            return SendOnce(datagram) || (socket is null && SendOnce(datagram));
        }
    }

    public void Dispose()
    {
        lock (gate)
        {
            socket?.Dispose();
            socket = null;
        }
    }

    private bool SendOnce(ReadOnlySpan<byte> datagram)
    {
        try
        {
            socket ??= Connect();
        }
        catch (SocketException)
        {
            return false;
        }

        socket.Send(datagram, SocketFlags.None, out SocketError error);
        if (error == SocketError.WouldBlock && IsPatient && socket.Poll(Patience, SelectMode.SelectWrite))
        {
            socket.Send(datagram, SocketFlags.None, out error);
        }

        switch (error)
        {
            case SocketError.Success:
                stuckAt = null;
                return true;
            case SocketError.WouldBlock:
                stuckAt = IsPatient ? clock.GetTimestamp() : stuckAt;
                return false;
            default:
                socket.Dispose();
                socket = null;
                return false;
        }
    }

    private bool IsPatient => stuckAt is not long since || clock.GetElapsedTime(since) > Rest;

    private Socket Connect()
    {
        var made = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { Blocking = false };
        try
        {
            made.Connect(new UnixDomainSocketEndPoint(path));
            return made;
        }
        catch (SocketException)
        {
            made.Dispose();
            throw;
        }
    }
}
