using System.Net.Sockets;

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

        throw new IOException($"{path} is served by another process; stop it, or choose another socket");
    }

    /// <summary>Sets owner group and mode.</summary>
    /// <param name="path">The socket; empty: none.</param>
    /// <param name="group">Its group; empty: as it is.</param>
    /// <param name="mode">Its permission bits.</param>
    /// <returns>Null: done. Otherwise why not; it is open to its owner alone then, and to no wrong group.</returns>
    public static string? Open(string path, string group, UnixFileMode mode)
    {
        if (path.Length == 0)
        {
            return null;
        }

        try
        {
            if (group.Length > 0)
            {
                Netlink.HostFile.SetGroup(path, group);
            }

            File.SetUnixFileMode(path, mode);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return CloseToOthers(path, e.Message);
        }
    }

    private static string CloseToOthers(string path, string reason)
    {
        try
        {
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            return reason;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"{reason}; its mode is what it was, because {e.Message}";
        }
    }
}
