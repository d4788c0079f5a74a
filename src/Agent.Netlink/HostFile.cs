using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using static Tmds.Linux.LibC;

namespace Agent.Netlink;

/// <summary>
/// The file operations that .NET lacks. They are here because this project is the one that calls libc.
/// </summary>
public static unsafe partial class HostFile
{
    private const int ReadOnlyDirectory = 0x10000 | 0x80000; // O_DIRECTORY | O_CLOEXEC, asm-generic/fcntl.h
    private const int Exclusive = 2 | 4; // LOCK_EX | LOCK_NB, asm-generic/fcntl.h

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

    /// <summary>Locks a directory for this process, without a file in it: flock(2) of the directory itself.</summary>
    /// <returns>The lock, which ends with it and with the process; null if another process has it.</returns>
    /// <exception cref="IOException">There is no such directory, or its file system has no locks.</exception>
    public static SafeHandle? TryLockDirectory(string path)
    {
        // SAFETY: a NUL-terminated path, pinned for the call; the handle owns the descriptor from here on.
        fixed (byte* name = Terminated(path))
        {
            int fd = open(name, ReadOnlyDirectory);
            if (fd >= 0 && FileLock(fd, Exclusive) == 0)
            {
                return new SafeFileHandle(fd, ownsHandle: true);
            }

            int errno = Marshal.GetLastPInvokeError();
            if (fd >= 0)
            {
                _ = close(fd);
            }

            return errno == KernelError.Eagain ? null
                : throw new IOException($"lock {path}: {new KernelError(errno).Name}");
        }
    }

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int FileLock(int descriptor, int operation);

    private static byte[] Terminated(string path) => [.. Encoding.UTF8.GetBytes(path), 0];
}
