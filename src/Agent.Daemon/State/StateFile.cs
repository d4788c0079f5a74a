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

/// <summary>The state file could not be used; what became of it is said.</summary>
internal sealed class StateDamagedException(string message) : Exception(message);

/// <summary>The state file is of a later format: a newer version of the agent wrote it, and may be back.</summary>
internal sealed class StateTooNewException(string message) : Exception(message);

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
/// behind a torn one is damage. Version 1 knew no such records, and would read one as a torn end. A step whose writing
/// failed is cut off too; where even that fails, or a sync did, which leaves unknown what the disk holds, the next step
/// replaces the file. Until then a restart may find the refused step, as it may find one whose answer was lost.
/// Every format begins with the same seven letters and its version. Older ones are read, and replaced by the next step;
/// a later one is left where it is until a state is accepted, so that the version that wrote it finds it again.
/// </remarks>
internal sealed class StateFile(IStateDisk disk) : IDisposable
{
    private const byte FormatVersion = 2;
    private const int HeadBytes = 9;
    private const int HashBytes = SHA256.HashSizeInBytes;
    private const string Name = "state";
    private const string Aside = "state.new";
    private const string Damaged = "state.damaged";

    /// <summary>What the smallest step takes, and a file system gives at a time.</summary>
    private const int LeastBytes = 4096;

    private static readonly byte[] Magic = [.. "SGAGENT"u8];
    private static readonly int HeaderBytes = Magic.Length + 1;

    private IStateDiskFile? journal;
    private byte version = FormatVersion;
    private long end;
    private long snapshotBytes;
    private long neededBytes = LeastBytes;

    /// <summary>What was loaded is held from then on, and may be what a process wrote that died before it synced.
    /// </summary>
    private bool isCertain = true;

    public StateFile(string directory)
        : this(new StateDirectory(directory))
    {
    }

    /// <summary>The deltas outweigh the snapshot, cannot be appended, or the file is of an older format: write a new
    /// one.</summary>
    public bool WantsSnapshot => journal is null || version < FormatVersion
        || end > Math.Max(1 << 20, 3 * snapshotBytes);

    /// <summary>There is a file of a later format, which nobody here can read.</summary>
    public bool IsTooNew { get; private set; }

    /// <summary>When the last step was written; null if there is no file that could be read.</summary>
    public DateTimeOffset? WrittenAt => IsTooNew ? null : disk.WrittenAt(Name);

    /// <summary>Reads every record, and opens the file for appending.</summary>
    /// <returns>Empty if there is no file.</returns>
    /// <exception cref="StateDamagedException">The file was damaged or is none of ours; it has another name now, if
    /// that could be done.</exception>
    /// <exception cref="StateTooNewException">The file is of a later format, and stays as it is.</exception>
    public IReadOnlyList<StateRecord> Load()
    {
        if (disk.Read(Name) is not { } bytes)
        {
            return [];
        }

        byte found = VersionOf(bytes);
        if (found > FormatVersion)
        {
            IsTooNew = true;
            throw new StateTooNewException(
                $"{disk.PathOf(Name)} is of format {found}, newer than {FormatVersion}, the last one that this version "
                + "of the agent reads; it stays as it is for a newer version, until another state is accepted");
        }

        var records = new List<StateRecord>();
        long at = HeaderBytes;
        string? damage = found == 0 ? "it is not a state file" : null;
        while (damage is null && at < bytes.Length)
        {
            int size = Parse(bytes.AsSpan((int)at), out StateRecord? record);
            if (record is null)
            {
                // A power cut leaves an append that was never acknowledged: short, zeroed or torn, but the last one.
                bool last = records.Count > 0 && !HoldsRecord(bytes.AsSpan((int)at));
                damage = last ? null : "a record's checksum is wrong";
                break;
            }

            records.Add(record);
            at += size;
        }

        if (damage is null && (records.Count == 0 || records[0].Kind != StateRecordKind.Snapshot))
        {
            damage = "it holds no snapshot";
        }

        if (damage is not null)
        {
            throw new StateDamagedException($"{disk.PathOf(Name)}: {damage}; {SetAside()}");
        }

        version = found;
        snapshotBytes = records[0].Payload.Length;
        Resume(at);
        isCertain = false;
        return records;
    }

    /// <summary>Moves a file that cannot be used out of the way, so that a person can look at it.</summary>
    /// <returns>What became of it: "kept as PATH".</returns>
    public string SetAside()
    {
        Close();
        try
        {
            disk.Rename(Name, Damaged);
            return $"kept as {disk.PathOf(Damaged)}";
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            return $"it stays where it is until a state is saved: {e.Message}";
        }
    }

    /// <summary>Replaces the file.</summary>
    /// <exception cref="IOException">The step is not safely in the file; see the remarks.</exception>
    public void WriteSnapshot(uint epoch, byte[] payload)
    {
        byte[] bytes =
            [.. Magic, FormatVersion, .. Format(new StateRecord(StateRecordKind.Snapshot, epoch, payload))];
        neededBytes = bytes.Length;
        WholeFile.WriteAside(disk, Aside, bytes);
        disk.Rename(Aside, Name);
        Close();
        disk.Sync();
        Resume(bytes.Length);
        (version, isCertain, IsTooNew) = (FormatVersion, true, false);
        snapshotBytes = payload.Length;
    }

    /// <summary>Appends a step.</summary>
    /// <exception cref="IOException">The step is not safely in the file; see the remarks.</exception>
    public void AppendDelta(uint epoch, byte[] payload) =>
        Append(new StateRecord(StateRecordKind.Delta, epoch, payload));

    /// <summary>Appends steps that are acknowledged together.</summary>
    /// <exception cref="IOException">They are not safely in the file; see the remarks.</exception>
    public void AppendDeltas(uint epoch, byte[] payload) =>
        Append(new StateRecord(StateRecordKind.Deltas, epoch, payload));

    private void Append(StateRecord record)
    {
        IStateDiskFile file = journal ?? throw new InvalidOperationException("no snapshot yet");
        byte[] bytes = Format(record);
        neededBytes = bytes.Length;
        bool isWritten = false;
        try
        {
            file.Write(end, bytes);
            isWritten = true;
            file.Sync();
            end += bytes.Length;
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            if (!TryCut(file) || isWritten)
            {
                Close();
            }

            throw;
        }
    }

    /// <summary>
    /// Whether what was loaded is safely there (it is synced), and a step as large as the last one could be written
    /// now.
    /// </summary>
    /// <returns>Null: so it is; otherwise why not.</returns>
    public string? Objection()
    {
        try
        {
            MakeCertain();
            WholeFile.WriteAside(disk, Aside, new byte[Math.Max(neededBytes, LeastBytes)]);
            disk.Delete(Aside);
            return null;
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            return e.Message;
        }
    }

    public void Dispose() => Close();

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

    // It can be read, and so enforced: that it cannot be appended to concerns the next step, which replaces it.
    private void Resume(long at)
    {
        IStateDiskFile? file = null;
        try
        {
            file = disk.Open(Name, anew: false);
            if (file.Length != at) // otherwise the file's time stays the one of the last step
            {
                file.Length = at;
            }

            (journal, end) = (file, at);
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            file?.Dispose();
        }
    }

    private bool TryCut(IStateDiskFile file)
    {
        try
        {
            file.Length = end;
            return true;
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            return false;
        }
    }

    private void MakeCertain()
    {
        if (isCertain)
        {
            return;
        }

        using (IStateDiskFile file = disk.Open(Name, anew: false))
        {
            file.Sync();
        }

        disk.Sync();
        isCertain = true;
    }

    private void Close()
    {
        journal?.Dispose();
        journal = null;
    }
}
