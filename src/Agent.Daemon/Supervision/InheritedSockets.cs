using System.Collections.Immutable;
using System.Globalization;
using System.Net.Sockets;

namespace Agent.Daemon.Supervision;

/// <summary>A listening Unix socket that was open before the daemon.</summary>
/// <param name="Descriptor">Its number.</param>
/// <param name="Name">FileDescriptorName= of its unit.</param>
/// <param name="Path">Its file; empty: it has none.</param>
internal sealed record InheritedSocket(int Descriptor, string Name, string Path);

/// <summary>
/// Sockets that the service manager listens on and hands over (sd_listen_fds(3)): they outlive the daemon, so that
/// whoever connects while it restarts waits.
/// </summary>
internal static class InheritedSockets
{
    /// <summary>sd-daemon.h, SD_LISTEN_FDS_START.</summary>
    private const int First = 3;

    /// <summary>Reads $LISTEN_PID, $LISTEN_FDS and $LISTEN_FDNAMES.</summary>
    /// <param name="environment">Variables.</param>
    /// <param name="processId">Ours: what is meant for another process is not for us.</param>
    /// <returns>Those that are Unix stream sockets, and what the others are.</returns>
    public static (ImmutableArray<InheritedSocket> Sockets, ImmutableArray<string> Others) Of(
        Func<string, string?> environment, int processId)
    {
        if (environment("LISTEN_PID") != processId.ToString(CultureInfo.InvariantCulture)
            || !ushort.TryParse(
                environment("LISTEN_FDS"), NumberStyles.None, CultureInfo.InvariantCulture, out ushort count))
        {
            return ([], []);
        }

        string[] names = environment("LISTEN_FDNAMES")?.Split(':') ?? [];
        var sockets = ImmutableArray.CreateBuilder<InheritedSocket>();
        var others = ImmutableArray.CreateBuilder<string>();
        for (int i = 0; i < count; i++)
        {
            string name = i < names.Length ? names[i] : "";
            if (PathOf(First + i) is string path)
            {
                sockets.Add(new InheritedSocket(First + i, name, path));
            }
            else
            {
                others.Add($"descriptor {First + i} '{name}' is no Unix stream socket");
            }
        }

        return (sockets.ToImmutable(), others.ToImmutable());
    }

    private static string? PathOf(int descriptor)
    {
        try
        {
            // Not owned: it is the server's to close.
            using var socket = new Socket(new SafeSocketHandle(descriptor, ownsHandle: false));
            return socket is { AddressFamily: AddressFamily.Unix, SocketType: SocketType.Stream }
                ? socket.LocalEndPoint?.ToString() ?? "" : null;
        }
        catch (SocketException)
        {
            return null;
        }
    }
}
