using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

/// <summary>A named counter's reading.</summary>
/// <param name="Family">Of its table.</param>
/// <param name="Name">Its name.</param>
/// <param name="Handle">Tells it from one of the same name that was in the same table before.</param>
/// <param name="Count">Since it was made.</param>
public readonly record struct ObjectCount(NftFamily Family, string Name, ulong Handle, PacketCount Count);

/// <summary>Receives the count of an element.</summary>
/// <param name="key">Its key, each field padded to four bytes.</param>
/// <param name="count">Since it was made.</param>
public delegate void ElementCount(ReadOnlySpan<byte> key, PacketCount count);

/// <summary>The count of one element of a set.</summary>
/// <param name="Key">Its key, each field padded to four bytes.</param>
/// <param name="Count">Since it was made.</param>
public readonly record struct ElementReading(ValueArray<byte> Key, PacketCount Count);

/// <summary>Counter readings of one table.</summary>
/// <param name="Objects">Named counters, by name.</param>
/// <param name="Sets">Hash sets whose elements count, by name.</param>
public sealed record CounterReadings(
    IReadOnlyDictionary<string, PacketCount> Objects,
    IReadOnlyDictionary<string, IReadOnlyList<ElementReading>> Sets);

public sealed partial class NftConnection
{
    /// <summary>Hashes of the keys that a dump has shown: kept, as there are many and they are read often.</summary>
    private readonly HashSet<ulong> seen = [];

    /// <summary>Reads all named counters of a table, and those of hash sets' elements. They are not of one instant.
    /// </summary>
    /// <exception cref="NetlinkException">The kernel refused, or (EINTR) commits kept falling in.</exception>
    public CounterReadings ReadCounters(NftFamily family, string table)
    {
        var shapes = new List<NftSet>();
        Retried("read sets", () =>
        {
            shapes.Clear();
            return ReadSets(family, table, shapes);
        });
        var sets = new Dictionary<string, IReadOnlyList<ElementReading>>();
        foreach (NftSet set in shapes.Where(one => one.Counters && !one.Interval))
        {
            var read = new List<ElementReading>();
            ReadElementCounts(family, table, set.Name, read.Clear,
                (key, count) => read.Add(new ElementReading(ValueArray.Create(key), count)));
            sets.Add(set.Name, read);
        }

        return new CounterReadings(
            ReadObjectCounts(table).Where(one => one.Family == family).ToDictionary(one => one.Name, one => one.Count),
            sets);
    }

    /// <summary>Handles of the tables of a name. The kernel gives each once in the life of a namespace.</summary>
    /// <returns>By family; a table that does not exist is not in it.</returns>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public IReadOnlyDictionary<NftFamily, ulong> ReadTableHandles(string table)
    {
        ArgumentNullException.ThrowIfNull(table);
        var handles = new Dictionary<NftFamily, ulong>();
        Retried("read table handles", () =>
        {
            handles.Clear();
            return Request(NftMsg.GetTable, NlmF.Dump, family: 0, _ => { }, message =>
            {
                string name = "";
                ulong handle = 0;
                foreach (NlAttr attr in message.Attrs(NfMessage.HeaderBytes))
                {
                    switch (attr.Type)
                    {
                        case NftaTable.Name: name = attr.Text(); break;
                        case NftaTable.Handle: handle = attr.U64Be(); break;
                    }
                }

                if (name == table)
                {
                    handles[(NftFamily)message.Payload[0]] = handle;
                }
            });
        });
        return handles;
    }

    /// <summary>Reads all named counters of the tables of a name, in every family: one dump.</summary>
    /// <exception cref="NetlinkException">The kernel refused, or (EINTR) commits kept falling in.</exception>
    public IReadOnlyList<ObjectCount> ReadObjectCounts(string table)
    {
        ArgumentNullException.ThrowIfNull(table);
        var counts = new List<ObjectCount>();
        Retried("read named counters", () =>
        {
            counts.Clear();
            return Request(
                NftMsg.GetObj, NlmF.Dump, family: 0,
                writer =>
                {
                    writer.PutText(NftaObj.Table, table);
                    writer.PutU32Be(NftaObj.Type, NftObjectType.Counter);
                },
                message =>
                {
                    if (ObjectCodec.ReadCount(message.Attrs(NfMessage.HeaderBytes), table) is { } found)
                    {
                        counts.Add(new ObjectCount(
                            (NftFamily)message.Payload[0], found.Name, found.Handle, found.Count));
                    }
                });
        });
        return counts;
    }

    /// <summary>Reads the counters of a hash set's elements: one dump. They are not of one instant.</summary>
    /// <param name="family">Of the table.</param>
    /// <param name="table">Its name.</param>
    /// <param name="set">The set's name.</param>
    /// <param name="begin">Called before the first element, and again if the reading has to begin anew.</param>
    /// <param name="read">Receives each element.</param>
    /// <returns>False if there is no such set.</returns>
    /// <exception cref="NetlinkException">The kernel refused, or (EINTR) commits kept falling in.</exception>
    public bool ReadElementCounts(NftFamily family, string table, string set, Action begin, ElementCount read)
    {
        ArgumentNullException.ThrowIfNull(begin);
        ArgumentNullException.ThrowIfNull(read);
        KernelError? absent = Retried("read counting elements", () => Untorn(() =>
        {
            begin();
            seen.Clear();
            bool isTorn = false;
            KernelError? error = ReadElements(family, table, set, message => ElementCounts.Read(message, (key, count) =>
            {
                isTorn |= !seen.Add(HashOf(key));
                read(key, count);
            }));
            return (error, isTorn);
        }));
        return absent is null;
    }

    // Two of 32 bits, with another beginning. Were two keys of a table to share one, its counts would be unreadable
    // until the next start.
    private static ulong HashOf(ReadOnlySpan<byte> key)
    {
        HashCode low = default;
        low.AddBytes(key);
        HashCode high = default;
        high.Add(key.Length);
        high.AddBytes(key);
        return unchecked(((ulong)(uint)high.ToHashCode() << 32) | (uint)low.ToHashCode());
    }

    /// <returns>Null, or ENOENT.</returns>
    private static KernelError? Retried(string operation, Func<KernelError?> read)
    {
        KernelError? last = null;
        for (int attempt = 0; attempt < ReadAttempts; attempt++)
        {
            last = read();
            if (last is null or { Errno: KernelError.Enoent })
            {
                return last;
            }

            if (last.Errno is not (KernelError.Eintr or KernelError.Ebusy))
            {
                break;
            }
        }

        throw new NetlinkException(operation, last!);
    }
}
