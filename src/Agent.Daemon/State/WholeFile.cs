namespace Agent.Daemon.State;

/// <summary>Files that are replaced as a whole: a crash leaves the old one or the new one.</summary>
internal static class WholeFile
{
    /// <summary>
    /// Writes beside the file, syncs, renames, and syncs the directory. What a full disk leaves of it would keep the
    /// disk full, and goes.
    /// </summary>
    /// <exception cref="IOException">It is not certain that the new one is there after a crash.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written.</exception>
    public static void Replace(string path, ReadOnlySpan<byte> bytes)
    {
        string aside = path + ".new";
        try
        {
            using var stream = new FileStream(aside, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
            stream.Write(bytes);
            stream.Flush(flushToDisk: true);
        }
        catch (IOException)
        {
            File.Delete(aside);
            throw;
        }

        File.Move(aside, path, overwrite: true);
        Netlink.HostFile.SyncDirectory(Path.GetDirectoryName(path)!);
    }
}
