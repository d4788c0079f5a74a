using System.Runtime.InteropServices;
using System.Text;
using static Tmds.Linux.LibC;

namespace Agent.Netlink;

/// <summary>
/// The two file operations that .NET lacks. They are here because this project is the one that calls libc.
/// </summary>
public static unsafe class HostFile
{
    private const int ReadOnlyDirectory = 0x10000 | 0x80000; // O_DIRECTORY | O_CLOEXEC, asm-generic/fcntl.h

    /// <summary>Makes a rename in a directory last: fsync(2) of the directory itself.</summary>
    /// <exception cref="IOException">The directory could not be synced.</exception>
    public static void SyncDirectory(string path)
    {
        // SAFETY: a NUL-terminated path, pinned for the call.
        fixed (byte* name = Terminated(path))
        {
            int fd = open(name, ReadOnlyDirectory);
            int result = fd < 0 ? -1 : fsync(fd);
            int errno = Marshal.GetLastPInvokeError();
            if (fd >= 0)
            {
                _ = close(fd);
            }

            if (result != 0)
            {
                throw new IOException($"sync {path}: {new KernelError(errno).Name}");
            }
        }
    }

    /// <summary>Gives a file to a group of /etc/group; the owner stays.</summary>
    /// <exception cref="IOException">There is no such group, or it may not be given.</exception>
    public static void SetGroup(string path, string group)
    {
        uint id = HostAccounts.GroupId(group) ?? throw new IOException($"no group '{group}' on this host");

        // SAFETY: a NUL-terminated path, pinned for the call. Owner -1 leaves the owner.
        fixed (byte* name = Terminated(path))
        {
            if (chown(name, uint.MaxValue, id) != 0)
            {
                throw new IOException($"give {path} to {group}: {new KernelError(Marshal.GetLastPInvokeError()).Name}");
            }
        }
    }

    private static byte[] Terminated(string path) => [.. Encoding.UTF8.GetBytes(path), 0];
}
