using System.Collections.Immutable;
using System.Text;
using Agent.Compiler;
using Agent.Netlink;
using Agent.Netlink.Route;
using Agent.Nftables;

namespace Agent.Daemon.Counting;

/// <summary>The count of one element of a set.</summary>
internal readonly record struct RawElement(
    NftFamily Family, string Set, string Device, uint Mark, PacketCount Count);

/// <summary>One reading of everything that the kernel counts for vNICs.</summary>
/// <param name="Lives">By family: tells the tables from those that were there before; not 0.</param>
/// <param name="Elements">Of the sets of <see cref="CountedSets"/>.</param>
/// <param name="Objects">Named counters; their handles tell them apart within a life of their table.</param>
/// <param name="Links">Read before all others: what was dropped is then never less than what it is taken from.</param>
/// <param name="DeviceLife">Tells this run of the kernel from others; not 0.</param>
internal sealed record RawCounts(
    IReadOnlyDictionary<NftFamily, ulong> Lives, IReadOnlyList<RawElement> Elements,
    IReadOnlyList<ObjectCount> Objects, IReadOnlyList<LinkCount> Links, ulong DeviceLife);

/// <summary>Sets whose elements count, by the names that the compiler gives.</summary>
internal static class CountedSets
{
    /// <summary>Drops by interface: the set, the side, the reason.</summary>
    public static readonly ImmutableSortedDictionary<string, (bool From, string Reason)> Drops =
        DropReason.From.Select(reason => (Datapath.CountSet(Datapath.DropFrom(reason)), (true, reason)))
            .Concat(DropReason.To.Select(reason => (Datapath.CountSet(Datapath.DropTo(reason)), (false, reason))))
            .ToImmutableSortedDictionary(pair => pair.Item1, pair => pair.Item2, StringComparer.Ordinal);

    public static bool Counts(string set) => Drops.ContainsKey(set) || IsHits(set, out _);

    /// <summary>Whether a set counts hits of rules, and of which side.</summary>
    public static bool IsHits(string set, out bool from)
    {
        from = set == RuleHits.SetName(from: true);
        return from || set == RuleHits.SetName(from: false);
    }
}

/// <summary>Reads the counters of the network namespace that the daemon runs in.</summary>
/// <remarks>
/// One reading is one dump of link statistics, one of all named counters, and one of each counting set that there is
/// (sixteen, two more where rules are counted, in each table that judges). Of rules, policies and members nothing is
/// read. A table that is made anew meanwhile starts it again.
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
            var elements = new List<RawElement>();
            foreach (NftFamily family in before.Keys.Where(one => one is NftFamily.Inet or NftFamily.Bridge))
            {
                foreach (string set in CountedSets.Drops.Keys)
                {
                    Add(elements, family, set);
                }

                foreach (bool from in hits ? (bool[])[true, false] : [])
                {
                    Add(elements, family, RuleHits.SetName(from));
                }
            }

            IReadOnlyList<ObjectCount> objects = connection.ReadObjectCounts(table);
            IReadOnlyDictionary<NftFamily, ulong> after = connection.ReadTableHandles(table);
            if (before.Count == after.Count && before.All(pair => after.GetValueOrDefault(pair.Key) == pair.Value))
            {
                return new RawCounts(
                    before.ToDictionary(pair => pair.Key, pair => Life(instance, pair.Value)), elements, objects,
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

    private void Add(List<RawElement> elements, NftFamily family, string set)
    {
        int at = elements.Count;
        connection.ReadElementCounts(
            family, table, set, () => elements.RemoveRange(at, elements.Count - at), (key, count) =>
            {
                if (key.Length >= NftElements.InterfaceBytes) // or it is somebody else's set of that name
                {
                    (string device, uint mark) = RuleHits.KeyOf(key);
                    elements.Add(new RawElement(family, set, device, mark, count));
                }
            });
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
