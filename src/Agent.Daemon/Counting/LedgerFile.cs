using System.Security.Cryptography;
using System.Text;
using Agent.Daemon.State;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Counting;

/// <summary>The ledger on disk, beside the state file. Replaced as a whole: write aside, sync, rename.</summary>
/// <remarks>
/// <code>
/// "SGCOUNT" version(1) | entries u32, each: key, family u8, device, mark u32, life u64, base 2 u64, last 2 u64
///                      | states u32, each: key, since s64 ms, last hit s64 ms or -1, total 2 u64 (computed ones)
///                      | SHA-256 over all that precedes it
/// key: vNIC, direction u8, kind u8, name; texts are UTF-8 behind a 7-bit coded length; integers little-endian
/// </code>
/// A file that cannot be read is as none: the totals begin again at what the kernel holds.
/// </remarks>
internal sealed class LedgerFile(string directory)
{
    private static readonly byte[] Magic = [.. "SGCOUNT"u8, 1];

    private readonly string path = Path.Combine(directory, "counters");

    /// <summary>Reads the ledger; an empty one if there is no file.</summary>
    /// <param name="damage">What is wrong with the file; null if nothing is.</param>
    public CounterLedger Load(out string? damage)
    {
        damage = null;
        CounterLedger ledger = new();
        try
        {
            ledger = File.Exists(path) ? Read(File.ReadAllBytes(path), out damage) : ledger;
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            damage = e.Message;
        }

        damage = damage is null ? null : $"{path}: {damage}: counters begin again at what the kernel holds";
        return ledger;
    }

    /// <exception cref="IOException">The file is as it was.</exception>
    public void Save(CounterLedger ledger)
    {
        WholeFile.Replace(path, Write(ledger));
        ledger.Saved();
    }

    /// <returns>An empty one if something is wrong with the bytes.</returns>
    internal static CounterLedger Read(byte[] bytes, out string? damage)
    {
        damage = null;
        int body = bytes.Length - SHA256.HashSizeInBytes;
        if (body < Magic.Length || !bytes.AsSpan().StartsWith(Magic)
            || !SHA256.HashData(bytes.AsSpan(0, body)).AsSpan().SequenceEqual(bytes.AsSpan(body)))
        {
            damage = "it is damaged, or of another format";
            return new CounterLedger();
        }

        try
        {
            var ledger = new CounterLedger();
            using var reader = new BinaryReader(new MemoryStream(bytes, Magic.Length, body - Magic.Length));
            Read(reader, ledger);
            ledger.Saved();
            return ledger;
        }
        catch (Exception e) when (e is IOException or FormatException or ArgumentException or OverflowException)
        {
            damage = $"it makes no sense: {e.Message}"; // with a checksum that is right: of another build
            return new CounterLedger();
        }
    }

    internal static byte[] Write(CounterLedger ledger)
    {
        using var whole = new MemoryStream();
        whole.Write(Magic);
        using (var writer = new BinaryWriter(whole, Encoding.UTF8, leaveOpen: true))
        {
            Write(writer, ledger);
        }

        whole.Write(SHA256.HashData(whole.GetBuffer().AsSpan(0, (int)whole.Length)));
        return whole.ToArray();
    }

    // What is zero and has no story is not worth a line.
    private static void Write(BinaryWriter writer, CounterLedger ledger)
    {
        (CountKey Key, CountPlace Place, CounterEntry Entry)[] entries =
            [.. ledger.Entries.Where(one => one.Entry.Total != default)];
        writer.Write(entries.Length);
        foreach ((CountKey key, CountPlace place, CounterEntry entry) in entries)
        {
            WriteKey(writer, key);
            writer.Write((byte)place.Family);
            writer.Write(place.Device);
            writer.Write(place.Mark);
            writer.Write(entry.Life);
            WriteCount(writer, entry.Base);
            WriteCount(writer, entry.Last);
        }

        KeyValuePair<CountKey, CountState>[] states =
            [.. ledger.States.Where(pair => pair.Key.Kind is CountKind.Rule or CountKind.Accept)];
        writer.Write(states.Length);
        foreach ((CountKey key, CountState state) in states)
        {
            WriteKey(writer, key);
            writer.Write(state.Since.ToUnixTimeMilliseconds());
            writer.Write(state.LastHit?.ToUnixTimeMilliseconds() ?? -1);
            WriteCount(writer, state.Total);
        }
    }

    private static void Read(BinaryReader reader, CounterLedger ledger)
    {
        for (int i = reader.ReadInt32(); i > 0; i--)
        {
            CountKey key = ReadKey(reader);
            var place = new CountPlace((NftFamily)reader.ReadByte(), reader.ReadString(), reader.ReadUInt32());
            ledger.Restore(key, place, new CounterEntry
            {
                Life = reader.ReadUInt64(),
                Base = ReadCount(reader),
                Last = ReadCount(reader),
            });
        }

        for (int i = reader.ReadInt32(); i > 0; i--)
        {
            CountKey key = ReadKey(reader);
            DateTimeOffset since = DateTimeOffset.FromUnixTimeMilliseconds(reader.ReadInt64());
            long lastHit = reader.ReadInt64();
            PacketCount total = ReadCount(reader);
            ledger.Restore(key, since, lastHit < 0 ? null : DateTimeOffset.FromUnixTimeMilliseconds(lastHit),
                key.Kind == CountKind.Accept ? total : null);
        }
    }

    private static void WriteKey(BinaryWriter writer, CountKey key)
    {
        writer.Write(key.VnicId);
        writer.Write((byte)key.Direction);
        writer.Write((byte)key.Kind);
        writer.Write(key.Name);
    }

    private static CountKey ReadKey(BinaryReader reader) =>
        new(reader.ReadString(), (Direction)reader.ReadByte(), (CountKind)reader.ReadByte(), reader.ReadString());

    private static void WriteCount(BinaryWriter writer, PacketCount count)
    {
        writer.Write(count.Packets);
        writer.Write(count.Bytes);
    }

    private static PacketCount ReadCount(BinaryReader reader) => new(reader.ReadUInt64(), reader.ReadUInt64());
}
