using System.Runtime.InteropServices;

namespace Agent.Daemon.State;

/// <summary>One daemon per state directory: two would write over each other's state, and undo each other's ruleset.
/// </summary>
internal sealed class DaemonLock : IDisposable
{
    private readonly SafeHandle? held;

    private DaemonLock(SafeHandle? held) => this.held = held;

    /// <summary>Takes the lock for as long as the object, or the process, lives.</summary>
    /// <param name="directory">The state directory; made if it can be.</param>
    /// <returns>
    /// Null: another process has it. Where there can be no lock, because the disk is broken or the directory cannot be
    /// made, nobody is kept out: enforcement comes first.
    /// </returns>
    public static DaemonLock? Take(string directory)
    {
        try
        {
            Directory.CreateDirectory(directory);
            return Netlink.HostFile.TryLockDirectory(directory) is { } handle ? new DaemonLock(handle) : null;
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            return new DaemonLock(null);
        }
    }

    public void Dispose() => held?.Dispose();
}
