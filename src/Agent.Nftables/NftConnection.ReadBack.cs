using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public sealed partial class NftConnection
{
    /// <summary>Chains and sets of one table beyond which one reading of everything is cheaper.</summary>
    private const int SingleObjectsMax = 64;

    /// <summary>Elements that a dump reads in the time that it takes to ask for one.</summary>
    private const int DumpedPerSingle = 64;

    /// <summary>Elements of one set that are asked for singly, however small or large it is.</summary>
    private const int SingleElementsMin = 64;
    private const int SingleElementsMax = 1024;

    /// <summary>Reads what committed operations touched, and nothing else.</summary>
    /// <param name="expected">What the kernel should hold now.</param>
    /// <param name="ops">What was committed on the way there.</param>
    /// <returns>
    /// <paramref name="expected"/> itself if everything that was touched is as it should be; otherwise a copy in which
    /// the touched objects are as the kernel holds them; null if a reading of everything would be cheaper, or something
    /// fell into this one. The generation says whether it is of one instant: compare it before and after.
    /// </returns>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public Ruleset? ReadBack(Ruleset expected, IReadOnlyList<NftOp> ops)
    {
        ArgumentNullException.ThrowIfNull(expected);
        ArgumentNullException.ThrowIfNull(ops);
        var tables = new List<NftTable>();
        bool same = true;
        foreach (NftTable table in expected.Tables)
        {
            NftOp[] its = [.. ops.Where(op => op.Family == table.Family && op.Table == table.Name)];
            if (ReadBack(table, its) is not { } read)
            {
                return null;
            }

            same &= ReferenceEquals(read, table);
            tables.Add(read);
        }

        return same ? expected : new Ruleset(tables.ToValueArray());
    }

    private NftTable? ReadBack(NftTable table, NftOp[] ops)
    {
        string[] chains = [.. ops.Where(op => op is NftOp.AddChain or NftOp.FlushChain or NftOp.AddRule)
            .Select(op => op.ObjectName).Distinct(StringComparer.Ordinal)];
        ILookup<string, NftOp> sets = ops
            .Where(op => op is NftOp.AddSet or NftOp.AddElements or NftOp.DeleteElements)
            .ToLookup(op => op.ObjectName, StringComparer.Ordinal);
        if (ops.Any(op => op is NftOp.DeleteTable) || chains.Length + sets.Count > SingleObjectsMax)
        {
            return null;
        }

        KernelError? error = null;
        NftTable read = table;
        foreach (string name in chains.TakeWhile(_ => error is null))
        {
            NftChain? held = ReadChain(table, name, out error);
            read = error is null ? With(read, name, held) : read;
        }

        foreach (IGrouping<string, NftOp> edits in sets.TakeWhile(_ => error is null))
        {
            NftSet? wanted = table.Sets.FirstOrDefault(set => set.Name == edits.Key);
            if (wanted is null || !HoldsRows(table, wanted, [.. edits]))
            {
                NftSet? held = ReadSet(table, edits.Key, out error);
                read = error is null ? With(read, edits.Key, held) : read;
            }
        }

        if (error is null && ops.Any(op => op is NftOp.AddObject))
        {
            var objects = new List<NftObject>();
            error = ReadObjects(table.Family, table.Name, objects);
            var held = objects.ToHashSet(); // thousands: each interface has a counter for each reason
            read = table.Objects.All(held.Contains) ? read : read with { Objects = objects.ToValueArray() };
        }

        return error is null ? read : null;
    }

    /// <summary>The same table if the chain is the one that is there.</summary>
    private static NftTable With(NftTable table, string name, NftChain? held)
    {
        NftChain? known = table.Chains.FirstOrDefault(chain => chain.Name == name);
        return known == held ? table : table with
        {
            Chains = table.Chains.Where(chain => chain.Name != name).Concat(held is null ? [] : [held])
                .OrderBy(chain => chain.Name, StringComparer.Ordinal).ToValueArray(),
        };
    }

    private static NftTable With(NftTable table, string name, NftSet? held)
    {
        NftSet? known = table.Sets.FirstOrDefault(set => set.Name == name);
        return known == held ? table : table with
        {
            Sets = table.Sets.Where(set => set.Name != name).Concat(held is null ? [] : [held])
                .OrderBy(set => set.Name, StringComparer.Ordinal).ToValueArray(),
        };
    }

    /// <returns>Null if there is no such chain.</returns>
    private NftChain? ReadChain(NftTable table, string name, out KernelError? error)
    {
        NftChain? found = null;
        error = Request(
            NftMsg.GetChain, NlmF.None, table.Family,
            writer =>
            {
                writer.PutText(NftaChain.Table, table.Name);
                writer.PutText(NftaChain.Name, name);
            },
            message => found = ChainCodec.Read(message.Attrs(NfMessage.HeaderBytes), table.Family).Chain);
        error = error is { Errno: KernelError.Enoent } ? null : error;
        if (error is not null || found is null)
        {
            return null;
        }

        var rules = new List<NftRule>();
        error = Request(
            NftMsg.GetRule, NlmF.Dump, table.Family,
            writer =>
            {
                writer.PutText(NftaRule.Table, table.Name);
                writer.PutText(NftaRule.Chain, name);
            },
            message =>
            {
                (string owner, string chain, NftRule rule) = RuleCodec.Read(message.Attrs(NfMessage.HeaderBytes));
                if (owner == table.Name && chain == name)
                {
                    rules.Add(rule);
                }
            });
        return found with { Rules = rules.ToValueArray() };
    }

    /// <returns>Null if there is no such set.</returns>
    private NftSet? ReadSet(NftTable table, string name, out KernelError? error)
    {
        NftSet? found = null;
        error = Request(
            NftMsg.GetSet, NlmF.None, table.Family,
            writer =>
            {
                writer.PutText(NftaSet.Table, table.Name);
                writer.PutText(NftaSet.Name, name);
            },
            message => found = SetCodec.Read(message.Attrs(NfMessage.HeaderBytes)).Set);
        error = error is { Errno: KernelError.Enoent } ? null : error;
        return error is not null || found is null || found.Unexpected is not null
            ? found : ReadFilled(table.Family, table.Name, found, out error);
    }

    /// <summary>Whether a hash set of which few elements were edited holds what it should in their places.</summary>
    private bool HoldsRows(NftTable table, NftSet set, NftOp[] edits)
    {
        if (set.Interval || edits.Any(op => op is NftOp.AddSet))
        {
            return false;
        }

        int most = Math.Clamp(set.Elements.Count / DumpedPerSingle, SingleElementsMin, SingleElementsMax);
        var present = new NftElements.Builder(set.RowBytes);
        var absent = new List<NftElements>();
        foreach (NftOp edit in edits)
        {
            NftElements rows = edit is NftOp.AddElements add ? add.Elements : ((NftOp.DeleteElements)edit).Elements;
            if (present.Count + absent.Count + rows.Count > most)
            {
                return false;
            }

            for (int i = 0; i < rows.Count; i++)
            {
                int at = set.Elements.IndexOfKey(rows[i][..set.KeyBytes]);
                if (at >= 0)
                {
                    present.Add(set.Elements[at]);
                }
                else
                {
                    var one = new NftElements.Builder(set.RowBytes);
                    one.Add(rows[i]);
                    absent.Add(one.Build());
                }
            }
        }

        NftElements wanted = present.Build();
        return (wanted.Count == 0 || (GetElements(table, set, wanted, out NftElements found) is null
                && found.Equals(wanted)))
            && absent.TrueForAll(row => GetElements(table, set, row, out _) is { Errno: KernelError.Enoent });
    }

    /// <summary>Reads single elements by their keys.</summary>
    /// <returns>ENOENT if one of them is not there.</returns>
    private KernelError? GetElements(NftTable table, NftSet set, NftElements keys, out NftElements found)
    {
        var reader = new ElementReader(set);
        KernelError? error = Request(
            NftMsg.GetSetElem, NlmF.None, table.Family,
            writer => ElementWriter.WriteKeys(writer, table.Name, set, keys),
            message => reader.Read(message.Attrs(NfMessage.HeaderBytes)));
        found = reader.Build();
        return error ?? (reader.Unexpected is null ? null : new KernelError(KernelError.Ebusy, reader.Unexpected));
    }
}
