using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

/// <summary>Who may change a table.</summary>
public enum TableHold
{
    /// <summary>Any root program.</summary>
    Shared,

    /// <summary>Any root program, until a socket claims it: it is persistent, and its owner's socket closed.</summary>
    Orphaned,

    /// <summary>Only this connection.</summary>
    Ours,

    /// <summary>Only another socket, as long as that is open.</summary>
    Foreign,
}

/// <param name="Family">The table's family.</param>
/// <param name="Name">The table's name.</param>
/// <param name="Hold">Who may change it.</param>
/// <param name="OwnerPort">The owner's netlink port, most often its process id; 0 without one.</param>
public sealed record TableOwner(NftFamily Family, string Name, TableHold Hold, uint OwnerPort);

/// <summary>What the kernel had at one generation.</summary>
public readonly record struct RulesetReading(Ruleset Ruleset, uint Generation)
{
    /// <summary>One for each table read.</summary>
    public ValueArray<TableOwner> Owners { get; init; } = [];
}

public sealed partial class NftConnection
{
    private const int ReadAttempts = 32;

    /// <summary>
    /// Reads the tables as they were at one generation: a commit that falls into the read starts it again, unless all
    /// of them are this connection's own.
    /// </summary>
    /// <remarks>
    /// Where others commit without pause, no reading is ever of one generation. One that commits fell into is believed
    /// if it is what is expected: what a commit tears is missing or too much.
    /// </remarks>
    /// <param name="tables">The tables. One that does not exist is absent from the result.</param>
    /// <param name="expected">What they should hold; null: nothing is known.</param>
    /// <returns>The ruleset in canonical order, and the generation before it was read.</returns>
    /// <exception cref="NetlinkException">The kernel refused, or (EINTR) commits kept falling into the
    /// read.</exception>
    public RulesetReading ReadRuleset(
        IReadOnlyList<(NftFamily Family, string Name)> tables, Ruleset? expected = null)
    {
        ArgumentNullException.ThrowIfNull(tables);
        KernelError? last = null;
        for (int attempt = 0; attempt < ReadAttempts; attempt++)
        {
            uint before = ReadGeneration();
            var owners = new List<TableOwner>();
            Ruleset? ruleset = TryRead(tables, owners, out last);
            bool ours = owners.Count > 0 && owners.TrueForAll(table => table.Hold == TableHold.Ours);
            if (ruleset is not null && ((last is null && (ours || ReadGeneration() == before)) || ruleset == expected))
            {
                return new RulesetReading(ruleset, before) { Owners = owners.ToValueArray() };
            }

            if (last is not null && last.Errno is not (KernelError.Eintr or KernelError.Enoent or KernelError.Ebusy))
            {
                break;
            }
        }

        throw new NetlinkException(
            "read ruleset", last ?? new KernelError(KernelError.Eintr, "commits kept falling in"));
    }

    /// <summary>Reads the tables that hook something and are not ours, as far as this build can read them.</summary>
    /// <param name="isOurs">Tables to leave out.</param>
    /// <returns>Not of one generation: others may write meanwhile, and another reading follows.</returns>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public IReadOnlyList<NftTable> ReadForeign(Func<NftFamily, string, bool> isOurs)
    {
        ArgumentNullException.ThrowIfNull(isOurs);
        var hooked = new SortedSet<(NftFamily Family, string Name)>();
        KernelError? error = null;
        foreach (NftFamily family in Enum.GetValues<NftFamily>())
        {
            error ??= Request(NftMsg.GetChain, NlmF.Dump, family, _ => { }, message =>
            {
                (string table, NftChain chain) = ChainCodec.Read(message.Attrs(NfMessage.HeaderBytes), family);
                if (chain.Hook is not null && !isOurs(family, table))
                {
                    hooked.Add((family, table));
                }
            });
        }

        var owners = new List<TableOwner>();
        var read = new List<NftTable>();
        foreach ((NftFamily, string) table in hooked)
        {
            // One that goes meanwhile is one less to report.
            if (error is null && TryRead([table], owners, out error) is { } one && error is null)
            {
                read.AddRange(one.Tables);
            }

            error = error is { Errno: KernelError.Enoent or KernelError.Eintr } ? null : error;
        }

        return error is null ? read : throw new NetlinkException("read the tables of others", error);
    }

    /// <summary>Who may change the tables of a name, in every family. Reads nothing of what is in them.</summary>
    /// <returns>One for each table, by family; empty if there is none.</returns>
    /// <exception cref="NetlinkException">The kernel refused, or (EINTR) commits kept falling in.</exception>
    public IReadOnlyList<TableOwner> ReadOwners(string table)
    {
        ArgumentNullException.ThrowIfNull(table);
        var owners = new List<TableOwner>();
        Retried("read tables", () =>
        {
            owners.Clear();
            return Request(NftMsg.GetTable, NlmF.Dump, family: 0, _ => { }, message =>
            {
                string name = "";
                foreach (NlAttr attr in message.Attrs(NfMessage.HeaderBytes))
                {
                    name = attr.Type == NftaTable.Name ? attr.Text() : name;
                }

                if (name == table)
                {
                    uint flags = FlagsOf(message, out uint port);
                    owners.Add(Owner((NftFamily)message.Payload[0], name, flags, port));
                }
            });
        });
        return [.. owners.OrderBy(one => one.Family)];
    }

    /// <returns>
    /// Null if the kernel refused. With EINTR, commits fell into the dumps of what is returned.
    /// </returns>
    private Ruleset? TryRead(
        IReadOnlyList<(NftFamily Family, string Name)> tables, List<TableOwner> owners, out KernelError? error)
    {
        error = null;
        KernelError? torn = null;
        var read = new List<NftTable>();
        foreach ((NftFamily family, string name) in tables)
        {
            bool dormant = false;
            KernelError? absent = Request(
                NftMsg.GetTable, NlmF.None, family, writer => writer.PutText(NftaTable.Name, name), message =>
                {
                    uint flags = FlagsOf(message, out uint port);
                    owners.Add(Owner(family, name, flags, port));
                    dormant = (flags & NftTableF.Dormant) != 0;
                });
            if (absent is { Errno: KernelError.Enoent })
            {
                continue;
            }

            if ((error = absent) is not null || ReadTable(family, name, ref torn, out error) is not { } table)
            {
                return null;
            }

            read.Add(table with { Dormant = dormant });
        }

        read.Sort((a, b) => a.Family != b.Family
            ? a.Family.CompareTo(b.Family)
            : string.CompareOrdinal(a.Name, b.Name));
        error = torn;
        return new Ruleset(read.ToValueArray());
    }

    private static uint FlagsOf(NlMessage message, out uint port)
    {
        uint flags = 0;
        port = 0;
        foreach (NlAttr attr in message.Attrs(NfMessage.HeaderBytes))
        {
            switch (attr.Type)
            {
                case NftaTable.Flags: flags = attr.U32Be(); break;
                case NftaTable.Owner: port = attr.U32Be(); break;
            }
        }

        return flags;
    }

    private TableOwner Owner(NftFamily family, string name, uint flags, uint port)
    {
        TableHold hold = (flags & NftTableF.Owner) != 0 ? (port == socket.PortId ? TableHold.Ours : TableHold.Foreign)
            : (flags & NftTableF.Persist) != 0 ? TableHold.Orphaned
            : TableHold.Shared;
        return new TableOwner(family, name, hold, port);
    }

    // Torn: EINTR, if commits fell into a dump.
    private NftTable? ReadTable(NftFamily family, string table, ref KernelError? torn, out KernelError? error)
    {
        var chains = new List<NftChain>();
        var rules = new Dictionary<string, List<NftRule>>();
        var shapes = new List<NftSet>();
        var objects = new List<NftObject>();
        error = Whole(ReadChains(family, table, chains), ref torn)
            ?? Whole(ReadRules(family, table, rules), ref torn)
            ?? Whole(ReadSets(family, table, shapes), ref torn)
            ?? Whole(ReadObjects(family, table, objects), ref torn);
        if (error is not null)
        {
            return null;
        }

        var sets = new List<NftSet>();
        foreach (NftSet set in shapes)
        {
            sets.Add(set.Unexpected is null ? ReadFilled(family, table, set, out error) : set);
            error = Whole(error, ref torn);
            if (error is not null)
            {
                return null;
            }
        }

        IEnumerable<NftChain> filled = chains.Select(chain =>
            rules.TryGetValue(chain.Name, out List<NftRule>? list)
                ? chain with { Rules = list.ToValueArray() } : chain);
        return new NftTable(
            family,
            table,
            filled.OrderBy(one => one.Name, StringComparer.Ordinal).ToValueArray(),
            sets.OrderBy(one => one.Name, StringComparer.Ordinal).ToValueArray(),
            objects.OrderBy(one => one.Name, StringComparer.Ordinal).ThenBy(ObjectCodec.TypeOf).ToValueArray());
    }

    /// <returns>Null too where a commit fell into a dump, which is noted.</returns>
    private static KernelError? Whole(KernelError? error, ref KernelError? torn)
    {
        bool isTorn = error is { Errno: KernelError.Eintr };
        torn = isTorn ? error : torn;
        return isTorn ? null : error;
    }

    private NftSet ReadFilled(NftFamily family, string table, NftSet set, out KernelError? error)
    {
        NftElements elements = set.Elements;
        string? unexpected = null;
        error = Untorn(() =>
        {
            var reader = new ElementReader(set);
            KernelError? failed = ReadElements(family, table, set.Name, reader.Read);
            elements = reader.Build();
            unexpected = reader.Unexpected;
            return (failed, reader.IsTorn);
        });
        return set with { Elements = elements, Unexpected = unexpected };
    }

    /// <summary>Reads the elements of a set again while the kernel moves them.</summary>
    /// <remarks>
    /// A set without a size is a hash table that grows and shrinks some time after a commit (net/netfilter
    /// nft_set_hash.c, lib/rhashtable.c). Each part of a dump begins at the front and passes over as many elements as
    /// were sent before: where their order has changed since, some come twice and as many not at all. No generation
    /// and no flag says so. As at least as many come as there are, a dump without a repetition is whole.
    /// </remarks>
    /// <param name="read">Reads all of them, and says whether one came twice.</param>
    /// <returns>Null, the kernel's error, or EINTR where they never rested.</returns>
    private static KernelError? Untorn(Func<(KernelError? Error, bool IsTorn)> read)
    {
        for (int attempt = 0; attempt < ReadAttempts; attempt++)
        {
            (KernelError? error, bool isTorn) = read();
            if (error is not null || !isTorn)
            {
                return error;
            }
        }

        return new KernelError(KernelError.Eintr, "elements kept being moved");
    }

    /// <summary>The kernel lists the chains of all tables of a family; the others are skipped here.</summary>
    private KernelError? ReadChains(NftFamily family, string table, List<NftChain> chains) =>
        Request(NftMsg.GetChain, NlmF.Dump, family, _ => { }, message =>
        {
            (string owner, NftChain chain) = ChainCodec.Read(message.Attrs(NfMessage.HeaderBytes), family);
            if (owner == table)
            {
                chains.Add(chain);
            }
        });

    private KernelError? ReadRules(NftFamily family, string table, Dictionary<string, List<NftRule>> rules) =>
        Request(NftMsg.GetRule, NlmF.Dump, family, writer => writer.PutText(NftaRule.Table, table), message =>
        {
            (string owner, string chain, NftRule rule) = RuleCodec.Read(message.Attrs(NfMessage.HeaderBytes));
            if (owner != table)
            {
                return;
            }

            if (!rules.TryGetValue(chain, out List<NftRule>? list))
            {
                rules.Add(chain, list = []);
            }

            list.Add(rule);
        });

    private KernelError? ReadSets(NftFamily family, string table, List<NftSet> sets) =>
        Request(NftMsg.GetSet, NlmF.Dump, family, writer => writer.PutText(NftaSet.Table, table), message =>
        {
            (string owner, NftSet set) = SetCodec.Read(message.Attrs(NfMessage.HeaderBytes));
            if (owner == table)
            {
                sets.Add(set);
            }
        });

    private delegate void ElementsReader(NlAttrs message);

    private KernelError? ReadElements(NftFamily family, string table, string set, ElementsReader read) => Request(
        NftMsg.GetSetElem, NlmF.Dump, family,
        writer =>
        {
            writer.PutText(NftaSetElemList.Table, table);
            writer.PutText(NftaSetElemList.Set, set);
        },
        message => read(message.Attrs(NfMessage.HeaderBytes)));

    private KernelError? ReadObjects(NftFamily family, string table, List<NftObject> objects) =>
        Request(NftMsg.GetObj, NlmF.Dump, family, writer => writer.PutText(NftaObj.Table, table), message =>
        {
            (string owner, NftObject value) = ObjectCodec.Read(message.Attrs(NfMessage.HeaderBytes));
            if (owner == table)
            {
                objects.Add(value);
            }
        });
}
