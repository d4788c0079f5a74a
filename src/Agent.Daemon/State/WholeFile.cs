namespace Agent.Daemon.State;

/// <summary>Files that are replaced as a whole: a crash leaves the old one or the new one.</summary>
internal static class WholeFile
{
    /// <inheritdoc cref="Replace(IStateDisk, string, byte[])"/>
    public static void Replace(string path, byte[] bytes) =>
        Replace(new StateDirectory(Path.GetDirectoryName(path)!), Path.GetFileName(path), bytes);

    /// <summary>Writes beside the file, syncs, renames, and syncs the directory.</summary>
    /// <exception cref="IOException">It is not certain that the new one is there after a crash.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written.</exception>
    public static void Replace(IStateDisk disk, string name, byte[] bytes)
    {
        string aside = name + ".new";
        WriteAside(disk, aside, bytes);
        disk.Rename(aside, name);
        disk.Sync();
    }

    /// <summary>Writes and syncs. What a full disk leaves of it would keep the disk full, and goes.</summary>
    /// <exception cref="IOException">It is not there.</exception>
    /// <exception cref="UnauthorizedAccessException">Likewise.</exception>
    public static void WriteAside(IStateDisk disk, string aside, byte[] bytes)
    {
        try
        {
            using IStateDiskFile file = disk.Open(aside, anew: true);
            file.Write(0, bytes);
            file.Sync();
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            TryDelete(disk, aside);
            throw;
        }
    }

    private static void TryDelete(IStateDisk disk, string name)
    {
        try
        {
            disk.Delete(name);
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            // Why it could not be written is the better message.
        }
    }
}
