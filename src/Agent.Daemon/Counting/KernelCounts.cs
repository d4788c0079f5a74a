using System.Text;
using Agent.Compiler;
using Agent.Netlink;
using Agent.Netlink.Route;
using Agent.Nftables;

namespace Agent.Daemon.Counting;

/// <summary>How often a rule was hit: the count of one element.</summary>
/// <param name="Family">The table's family.</param>
/// <param name="From">Whether the vNIC sent the packets.</param>
/// <param name="Device">The vNIC's interface.</param>
/// <param name="Mark">What the rule leaves in the packet mark.</param>
/// <param name="Count">Since it was made.</param>
internal readonly record struct RawHits(NftFamily Family, bool From, string Device, uint Mark, PacketCount Count);

/// <summary>One reading of everything that the kernel counts for vNICs.</summary>
/// <param name="Lives">By family: tells the tables from those that were there before; not 0.</param>
/// <param name="Objects">Named counters; their handles tell them apart within a life of their table.</param>
/// <param name="Hits">Of rules that are counted one by one.</param>
/// <param name="Links">Read before all others: what was dropped is then never less than what it is taken from.</param>
/// <param name="DeviceLife">Tells this run of the kernel from others; not 0.</param>
internal sealed record RawCounts(
    IReadOnlyDictionary<NftFamily, ulong> Lives, IReadOnlyList<ObjectCount> Objects, IReadOnlyList<RawHits> Hits,
    IReadOnlyList<LinkCount> Links, ulong DeviceLife);

/// <summary>Reads the counters of the network namespace that the daemon runs in.</summary>
/// <remarks>
/// One reading is one dump of all named counters, and one of the links' statistics, which are another protocol's.
/// Where rules are counted one by one, two more in each table that judges. Tables are named before and after: one that
/// is made anew meanwhile starts the reading again. Of rules, policies and members nothing is read.
/// </remarks>
internal sealed class KernelCounts : IDisposable
{
    private const int Attempts = 4;

    private readonly NftConnection connection = new();
    private readonly string table;
    private readonly bool hits;
    private readonly ulong instance = Instance();

    /// <param name="settings">The table's name, and whether rules are counted.</param>
    public KernelCounts(CompilerSettings settings)
    {
        table = settings.Table;
        hits = !settings.RuleHits.IsEmpty;
    }

    /// <exception cref="NetlinkException">The kernel refused, or tables kept being made anew.</exception>
    public RawCounts Read()
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            IReadOnlyList<LinkCount> links = LinkTraffic.Read();
            IReadOnlyDictionary<NftFamily, ulong> before = connection.ReadTableHandles(table);
            IReadOnlyList<ObjectCount> objects = connection.ReadObjectCounts(table);
            List<RawHits> read = hits ? Hits(before.Keys) : [];
            IReadOnlyDictionary<NftFamily, ulong> after = connection.ReadTableHandles(table);
            if (before.Count == after.Count && before.All(pair => after.GetValueOrDefault(pair.Key) == pair.Value))
            {
                return new RawCounts(
                    before.ToDictionary(pair => pair.Key, pair => Life(instance, pair.Value)), objects, read,
                    links, instance);
            }
        }

        throw new NetlinkException(
            "read counters", new KernelError(KernelError.Eintr, "tables kept being made anew"));
    }

    public void Dispose() => connection.Dispose();

    /// <summary>Puts a handle behind what it is valid in.</summary>
    public static ulong Life(ulong of, ulong handle)
    {
        Span<byte> both = stackalloc byte[2 * sizeof(ulong)];
        BitConverter.TryWriteBytes(both, of);
        BitConverter.TryWriteBytes(both[sizeof(ulong)..], handle);
        return Math.Max(1, StableHash.Of(both));
    }

    private List<RawHits> Hits(IEnumerable<NftFamily> families)
    {
        var all = new List<RawHits>();
        foreach (NftFamily family in families.Where(one => one is NftFamily.Inet or NftFamily.Bridge))
        {
            foreach (bool from in (bool[])[true, false])
            {
                int at = all.Count;
                connection.ReadElementCounts(
                    family, table, RuleHits.SetName(from), () => all.RemoveRange(at, all.Count - at), (key, count) =>
                    {
                        if (key.Length == RuleHits.KeyBytes) // or it is somebody else's set of that name
                        {
                            (string device, uint mark) = RuleHits.KeyOf(key);
                            all.Add(new RawHits(family, from, device, mark, count));
                        }
                    });
            }
        }

        return all;
    }

    // Handles begin again with each boot, and in each namespace.
    private static ulong Instance() => Math.Max(1, StableHash.Of(
        ReadText("/proc/sys/kernel/random/boot_id") + new FileInfo("/proc/self/ns/net").LinkTarget));

    private static string ReadText(string path)
    {
        try
        {
            return File.ReadAllText(path, Encoding.ASCII).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ""; // lives are then told apart by counters that fell
        }
    }
}
