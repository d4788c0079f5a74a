using System.Net.Sockets;
using Agent.Daemon.Config;

namespace Agent.Daemon;

/// <summary>The socket file: made for us alone, then opened to its group.</summary>
internal static class UnixSocket
{
    /// <summary>
    /// Makes the directory, and removes what a crashed process left. A socket that answers is somebody's.
    /// </summary>
    public static void Prepare(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        if (!File.Exists(path))
        {
            return;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException)
        {
            File.Delete(path);
            return;
        }

        throw new IOException($"{path} is served by another process; stop it, or set grpc.socket");
    }

    /// <summary>Sets owner group and mode.</summary>
    public static void Open(GrpcConfig config)
    {
        if (config.Socket.Length == 0)
        {
            return;
        }

        if (config.SocketGroup.Length > 0)
        {
            Netlink.HostFile.SetGroup(config.Socket, config.SocketGroup);
        }

        File.SetUnixFileMode(config.Socket, config.SocketMode);
    }
}
