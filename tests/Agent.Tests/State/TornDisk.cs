using Agent.Daemon.State;

namespace Agent.Tests.State;

/// <summary>
/// A directory in memory that forgets what was not synced, as far as POSIX lets it: a power cut leaves any of
/// <see cref="AfterCut(string)"/>. Any call can be made to fail.
/// </summary>
/// <remarks>
/// A file's synced content is certain. Of what was written since, any first bytes may have arrived, or any last bytes
/// alone, and the rest is missing or zeros. Renames and deletions arrive in their order, up to any one, or were synced.
/// </remarks>
internal sealed class TornDisk : IStateDisk
{
    private readonly Dictionary<string, Inode> names = new(StringComparer.Ordinal);
    private readonly List<Dictionary<string, Inode>> unsynced = [];
    private Dictionary<string, Inode> synced = new(StringComparer.Ordinal);

    /// <summary>Told before each call: its name, and the bytes that it would write. May throw.</summary>
    public Action<string, int> Before { get; set; } = (_, _) => { };

    /// <summary>Told before a file is read. May throw.</summary>
    public Action BeforeRead { get; set; } = () => { };

    /// <summary>How many bytes of a failing write arrive all the same.</summary>
    public int Partial { get; set; }

    public static TornDisk With(string name, byte[] content)
    {
        var disk = new TornDisk();
        disk.names[name] = disk.synced[name] = new Inode { Synced = content, Now = content };
        return disk;
    }

    public string PathOf(string name) => $"/disk/{name}";

    public byte[]? Read(string name)
    {
        BeforeRead();
        return names.TryGetValue(name, out Inode? inode) ? [.. inode.Now] : null;
    }

    public IReadOnlyCollection<string> Names => names.Keys;

    /// <summary>Of all files.</summary>
    public long Bytes => names.Values.Sum(inode => inode.Now.LongLength);

    public IStateDiskFile Open(string name, bool anew)
    {
        Before(anew ? "create" : "open", 0);
        if (anew)
        {
            Change(() => names[name] = new Inode()); // an emptied file, seen from what was synced, is another one
        }

        return new OpenFile(this, names.GetValueOrDefault(name) ?? throw new FileNotFoundException(name));
    }

    public void Rename(string from, string to)
    {
        Before("rename", 0);
        Change(() =>
        {
            names[to] = names[from];
            names.Remove(from);
        });
    }

    public void Delete(string name)
    {
        Before("delete", 0);
        Change(() => names.Remove(name));
    }

    public void Sync()
    {
        Before("sync directory", 0);
        synced = new(names, StringComparer.Ordinal);
        unsynced.Clear();
    }

    public DateTimeOffset? WrittenAt(string name) => names.ContainsKey(name) ? DateTimeOffset.UnixEpoch : null;

    /// <summary>Every state of one file that a power cut now may leave; null: it is not there.</summary>
    public IEnumerable<byte[]?> AfterCut(string name) => unsynced.Prepend(synced)
        .Select(directory => directory.GetValueOrDefault(name)).Distinct()
        .SelectMany(inode => inode is null ? [null] : inode.AfterCut());

    /// <summary>A disk as a power cut now may leave it; which one, is for <paramref name="random"/> to say.</summary>
    public TornDisk AfterCut(Random random)
    {
        Dictionary<string, Inode> directory =
            random.Next(unsynced.Count + 1) is var arrived and > 0 ? unsynced[arrived - 1] : synced;
        var disk = new TornDisk();
        foreach ((string name, Inode inode) in directory)
        {
            byte[] content = inode.AfterCut(random);
            disk.names[name] = disk.synced[name] = new Inode { Synced = content, Now = content };
        }

        return disk;
    }

    private void Change(Action change)
    {
        change();
        unsynced.Add(new(names, StringComparer.Ordinal));
    }

    private sealed class Inode
    {
        public byte[] Synced { get; set; } = [];

        public byte[] Now { get; set; } = [];

        /// <summary>Each content since the last sync, with the ones before a write and a cut.</summary>
        public List<byte[]> Between { get; } = [];

        public IEnumerable<byte[]?> AfterCut()
        {
            byte[] before = Synced;
            yield return before;
            foreach (byte[] after in Between)
            {
                foreach (byte[] torn in Torn(before, after))
                {
                    yield return torn;
                }

                before = after;
            }
        }

        public byte[] AfterCut(Random random)
        {
            int writes = random.Next(Between.Count + 1);
            if (writes == 0)
            {
                return Synced;
            }

            byte[] before = writes == 1 ? Synced : Between[writes - 2];
            byte[] after = Between[writes - 1];
            int same = before.AsSpan().CommonPrefixLength(after);
            byte[][] torn = [.. Torn(before, after, same, random.Next(same, after.Length + 1))];
            return torn[random.Next(torn.Length)];
        }

        private static IEnumerable<byte[]> Torn(byte[] before, byte[] after)
        {
            int same = before.AsSpan().CommonPrefixLength(after);
            return Enumerable.Range(same, after.Length + 1 - same).SelectMany(at => Torn(before, after, same, at));
        }

        private static IEnumerable<byte[]> Torn(byte[] before, byte[] after, int same, int at)
        {
            byte[] rest = new byte[after.Length - at];
            yield return after[..at]; // the size follows the data
            yield return [.. after[..at], .. rest]; // or runs ahead of it
            yield return [.. after[..same], .. new byte[at - same], .. after[at..]]; // or the last sector was first
            if (before.Length > at)
            {
                yield return [.. after[..at], .. before[at..]]; // over what was there
            }
        }
    }

    private sealed class OpenFile(TornDisk disk, Inode inode) : IStateDiskFile
    {
        public long Length
        {
            get => inode.Now.Length;
            set
            {
                disk.Before("cut", 0);
                byte[] cut = inode.Now;
                Array.Resize(ref cut, (int)value);
                Take(cut);
            }
        }

        public void Write(long at, ReadOnlySpan<byte> bytes)
        {
            try
            {
                disk.Before("write", bytes.Length);
            }
            catch (IOException)
            {
                Put(at, bytes[..Math.Min(disk.Partial, bytes.Length)]);
                throw;
            }

            Put(at, bytes);
        }

        public void Sync()
        {
            disk.Before("sync", 0);
            inode.Synced = inode.Now;
            inode.Between.Clear();
        }

        public void Dispose()
        {
        }

        private void Put(long at, ReadOnlySpan<byte> bytes)
        {
            byte[] next = inode.Now;
            Array.Resize(ref next, Math.Max(next.Length, (int)at + bytes.Length));
            bytes.CopyTo(next.AsSpan((int)at));
            Take(next);
        }

        private void Take(byte[] next)
        {
            byte[] fresh = [.. next];
            inode.Between.Add(fresh);
            inode.Now = fresh;
        }
    }
}
