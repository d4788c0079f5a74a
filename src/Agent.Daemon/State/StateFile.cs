using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Agent.Daemon.State;

/// <summary>What a record holds.</summary>
internal enum StateRecordKind : byte
{
    Snapshot = 1,
    Delta = 2,

    /// <summary>Several, that were committed together.</summary>
    Deltas = 3,
}

/// <summary>What was accepted of the desired state at a time, as it came over the wire.</summary>
/// <param name="Kind">What <paramref name="Payload"/> is.</param>
/// <param name="Epoch">The policy epoch that it runs under.</param>
/// <param name="Payload">
/// A serialized agent.v1.Snapshot or agent.v1.Delta; or several of these, each behind its length (a varint).
/// </param>
internal sealed record StateRecord(StateRecordKind Kind, uint Epoch, byte[] Payload);

/// <summary>The state file could not be used; it was set aside.</summary>
internal sealed class StateDamagedException(string message) : Exception(message);

/// <summary>
/// The last accepted desired state on disk: a snapshot, then the deltas since. Survives a crash at any byte.
/// </summary>
/// <remarks>
/// <code>
/// file    "SGAGENT" version(1) record*
/// record  length u32 LE | kind u8 | epoch u32 LE | payload[length] | SHA-256 over all that precedes it in the record
/// </code>
/// A snapshot replaces the file (write aside, sync, rename, sync the directory). A delta is appended and synced before
/// it is acknowledged, so an incomplete last record was never acknowledged, and is cut off. Deltas that are
/// acknowledged together are one record: a power cut may leave any part of what was not synced, and a whole record
/// behind a torn one is damage. Version 1 knew no such records, and would read one as a torn end.
/// </remarks>
internal sealed class StateFile : IDisposable
{
    private const byte FormatVersion = 2;
    private const int HeadBytes = 9;
    private const int HashBytes = SHA256.HashSizeInBytes;

    private static readonly byte[] Magic = [.. "SGAGENT"u8];
    private static readonly int HeaderBytes = Magic.Length + 1;

    private readonly string path;
    private FileStream? journal;
    private byte version = FormatVersion;
    private long snapshotBytes;

    public StateFile(string directory)
    {
        Directory.CreateDirectory(directory);
        path = Path.Combine(directory, "state");
    }

    /// <summary>The deltas outweigh the snapshot, or the file is of an older format: write a new one.</summary>
    public bool WantsSnapshot => journal is null || version < FormatVersion
        || journal.Length > Math.Max(1 << 20, 3 * snapshotBytes);

    /// <summary>When the last step was written; null if there is no file.</summary>
    public DateTimeOffset? WrittenAt => File.Exists(path) ? new DateTimeOffset(File.GetLastWriteTimeUtc(path)) : null;

    /// <summary>Reads every record, and opens the file for appending.</summary>
    /// <returns>Empty if there is no file.</returns>
    /// <exception cref="StateDamagedException">The file was damaged or of another format; it now has another
    /// name.</exception>
    public IReadOnlyList<StateRecord> Load()
    {
        if (!File.Exists(path))
        {
            return [];
        }

        byte[] bytes = File.ReadAllBytes(path);
        var records = new List<StateRecord>();
        long end = HeaderBytes;
        string? damage = VersionOf(bytes) switch
        {
            0 => "it is not a state file",
            > FormatVersion => "it is of a newer format",
            _ => null,
        };
        while (damage is null && end < bytes.Length)
        {
            int size = Parse(bytes.AsSpan((int)end), out StateRecord? record);
            if (record is null)
            {
                // A power cut leaves an append that was never acknowledged: short, zeroed or torn, but the last one.
                bool last = records.Count > 0 && !HoldsRecord(bytes.AsSpan((int)end));
                damage = last ? null : "a record's checksum is wrong";
                break;
            }

            records.Add(record);
            end += size;
        }

        if (damage is null && (records.Count == 0 || records[0].Kind != StateRecordKind.Snapshot))
        {
            damage = "it holds no snapshot";
        }

        if (damage is not null)
        {
            throw new StateDamagedException($"{path}: {damage}; kept as {SetAside()}");
        }

        version = VersionOf(bytes);
        snapshotBytes = records[0].Payload.Length;
        try
        {
            OpenJournal(end);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It can be read, and so enforced; that it cannot be written is said to whoever sends the next step.
        }

        return records;
    }

    /// <summary>Moves a file that cannot be used out of the way, so that a person can look at it.</summary>
    public string SetAside()
    {
        journal?.Dispose();
        journal = null;
        string aside = path + ".damaged";
        File.Move(path, aside, overwrite: true);
        return aside;
    }

    /// <summary>Replaces the file.</summary>
    /// <exception cref="IOException">Nothing changed.</exception>
    public void WriteSnapshot(uint epoch, byte[] payload)
    {
        string temporary = path + ".new";
        WriteWhole(
            temporary,
            [.. Magic, FormatVersion, .. Format(new StateRecord(StateRecordKind.Snapshot, epoch, payload))]);
        journal?.Dispose();
        journal = null;
        File.Move(temporary, path, overwrite: true);
        SyncDirectory();
        OpenJournal(new FileInfo(path).Length);
        version = FormatVersion;
        snapshotBytes = payload.Length;
    }

    // What a full disk leaves of it would keep the disk full.
    private static void WriteWhole(string file, byte[] bytes)
    {
        try
        {
            using var stream = new FileStream(file, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
            stream.Write(bytes);
            stream.Flush(flushToDisk: true);
        }
        catch (IOException)
        {
            File.Delete(file);
            throw;
        }
    }

    /// <summary>Appends a step.</summary>
    /// <exception cref="IOException">The step is not in the file.</exception>
    public void AppendDelta(uint epoch, byte[] payload) =>
        Append(new StateRecord(StateRecordKind.Delta, epoch, payload));

    /// <summary>Appends steps that are acknowledged together.</summary>
    /// <exception cref="IOException">None of them is in the file.</exception>
    public void AppendDeltas(uint epoch, byte[] payload) =>
        Append(new StateRecord(StateRecordKind.Deltas, epoch, payload));

    public void Dispose() => journal?.Dispose();

    private void Append(StateRecord record)
    {
        FileStream file = journal ?? throw new InvalidOperationException("no snapshot yet");
        long before = file.Length;
        try
        {
            file.Write(Format(record));
            file.Flush(flushToDisk: true);
        }
        catch (IOException)
        {
            file.SetLength(before);
            file.Position = before;
            throw;
        }
    }

    internal static byte[] Format(StateRecord record)
    {
        byte[] bytes = new byte[HeadBytes + record.Payload.Length + HashBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, (uint)record.Payload.Length);
        bytes[4] = (byte)record.Kind;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(5), record.Epoch);
        record.Payload.CopyTo(bytes, HeadBytes);
        SHA256.HashData(bytes.AsSpan(0, bytes.Length - HashBytes), bytes.AsSpan(bytes.Length - HashBytes));
        return bytes;
    }

    /// <returns>0 if it is no state file.</returns>
    private static byte VersionOf(ReadOnlySpan<byte> file) =>
        file.Length >= HeaderBytes && file.StartsWith(Magic) ? file[Magic.Length] : (byte)0;

    /// <returns>Bytes of the record, and the record; null if there is no whole record with the right hash.</returns>
    private static int Parse(ReadOnlySpan<byte> bytes, out StateRecord? record)
    {
        record = null;
        if (!LooksLikeRecord(bytes, out int size))
        {
            return 0;
        }

        Span<byte> hash = stackalloc byte[HashBytes];
        SHA256.HashData(bytes[..(size - HashBytes)], hash);
        if (hash.SequenceEqual(bytes[(size - HashBytes)..size]))
        {
            record = new StateRecord(
                (StateRecordKind)bytes[4], BinaryPrimitives.ReadUInt32LittleEndian(bytes[5..]),
                bytes[HeadBytes..(size - HashBytes)].ToArray());
        }

        return size;
    }

    private static bool LooksLikeRecord(ReadOnlySpan<byte> bytes, out int size)
    {
        size = 0;
        if (bytes.Length < HeadBytes + HashBytes
            || bytes[4] is < (byte)StateRecordKind.Snapshot or > (byte)StateRecordKind.Deltas)
        {
            return false;
        }

        uint length = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        if (length > bytes.Length - HeadBytes - HashBytes)
        {
            return false;
        }

        size = HeadBytes + (int)length + HashBytes;
        return true;
    }

    // A whole record behind a damaged one: the damaged one was acknowledged, for the next was written after it. What
    // merely looks like a record is hashed only if it ends where the file does or another may begin.
    private static bool HoldsRecord(ReadOnlySpan<byte> bytes)
    {
        for (int at = 1; at < bytes.Length; at++)
        {
            ReadOnlySpan<byte> rest = bytes[at..];
            if (LooksLikeRecord(rest, out int size)
                && (rest.Length - size < HeadBytes + HashBytes || LooksLikeRecord(rest[size..], out _))
                && Parse(rest, out StateRecord? record) > 0 && record is not null)
            {
                return true;
            }
        }

        return false;
    }

    private void OpenJournal(long end)
    {
        // No buffer of our own: a record is written in one call, or not at all.
        journal = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.Read, bufferSize: 0);
        if (journal.Length != end) // otherwise the file's time stays the one of the last step
        {
            journal.SetLength(end);
        }

        journal.Position = end;
    }

    private void SyncDirectory()
    {
        Netlink.HostFile.SyncDirectory(Path.GetDirectoryName(path)!);
    }
}
