namespace Agent.Daemon.State;

/// <summary>
/// What a state file asks of a directory. Names are without it. All of it throws what <see cref="DiskFault"/> knows.
/// </summary>
internal interface IStateDisk
{
    /// <summary>For messages.</summary>
    string PathOf(string name);

    /// <returns>Null: there is no such file.</returns>
    byte[]? Read(string name);

    /// <summary>For writing.</summary>
    /// <param name="name">The file.</param>
    /// <param name="anew">Made if it is not there, and emptied if it is.</param>
    IStateDiskFile Open(string name, bool anew);

    /// <summary>Takes the place of what has the name.</summary>
    void Rename(string from, string to);

    void Delete(string name);

    /// <summary>Makes renames last.</summary>
    void Sync();

    /// <returns>Null: there is no such file.</returns>
    DateTimeOffset? WrittenAt(string name);
}

/// <summary>An open file of it.</summary>
internal interface IStateDiskFile : IDisposable
{
    /// <summary>In bytes; setting it cuts the file off.</summary>
    long Length { get; set; }

    void Write(long at, ReadOnlySpan<byte> bytes);

    /// <summary>Makes what was written last.</summary>
    void Sync();
}

/// <summary>What a disk may say that is full, broken, read-only or somebody else's.</summary>
internal static class DiskFault
{
    public static bool Is(Exception e) => e is IOException or UnauthorizedAccessException;
}

/// <summary>A directory of this host; made when it is first needed.</summary>
internal sealed class StateDirectory(string directory) : IStateDisk
{
    public string PathOf(string name) => Path.Combine(directory, name);

    // Not File.Exists: that says no, too, where the disk does not answer.
    public byte[]? Read(string name)
    {
        try
        {
            return File.ReadAllBytes(PathOf(name));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    public IStateDiskFile Open(string name, bool anew)
    {
        if (anew)
        {
            Directory.CreateDirectory(directory);
        }

        return new HostFile(File.OpenHandle(
            PathOf(name), anew ? FileMode.Create : FileMode.Open, FileAccess.Write, FileShare.Read));
    }

    public void Rename(string from, string to) => File.Move(PathOf(from), PathOf(to), overwrite: true);

    public void Delete(string name) => File.Delete(PathOf(name));

    public void Sync() => Netlink.HostFile.SyncDirectory(directory);

    public DateTimeOffset? WrittenAt(string name) =>
        File.Exists(PathOf(name)) ? new DateTimeOffset(File.GetLastWriteTimeUtc(PathOf(name))) : null;

    private sealed class HostFile(Microsoft.Win32.SafeHandles.SafeFileHandle handle) : IStateDiskFile
    {
        public long Length
        {
            get => RandomAccess.GetLength(handle);
            set => RandomAccess.SetLength(handle, value);
        }

        public void Write(long at, ReadOnlySpan<byte> bytes) => RandomAccess.Write(handle, bytes, at);

        public void Sync() => RandomAccess.FlushToDisk(handle);

        public void Dispose() => handle.Dispose();
    }
}
