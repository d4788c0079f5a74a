using System.Buffers.Binary;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>One address class: addresses of a family that the same tags cover.</summary>
/// <param name="Number">The mark that stands for it (see <see cref="Decision"/>).</param>
/// <param name="Family">Family of its addresses.</param>
/// <param name="Tags">"g:...", "l:...", "c:...", ascending.</param>
internal sealed record AddressClass(uint Number, IpFamily Family, IReadOnlyList<string> Tags);

/// <summary>The address classes of one VPC, and the maps and chains that find a packet's class in the kernel.</summary>
internal sealed class AddressClasses
{
    private readonly IReadOnlyDictionary<string, IReadOnlyCollection<IpPrefix>> tags;
    private NftSet[]? maps;

    private AddressClasses(
        string name,
        IReadOnlyList<AddressClass> classes,
        IReadOnlyDictionary<IpFamily, Cut> cuts,
        IReadOnlyDictionary<string, IReadOnlyCollection<IpPrefix>> tags)
    {
        Name = name;
        Classes = classes;
        Cuts = cuts;
        this.tags = tags;
    }

    /// <summary>Part of the names of the maps and chains: "v_" and a hash of the VPC's id.</summary>
    public string Name { get; }

    public static string NameOf(string vpcId) => "v_" + StableHash.Name(vpcId);

    public IReadOnlyList<AddressClass> Classes { get; }

    /// <summary>The cut address space of each family, with the class number of each signature.</summary>
    public IReadOnlyDictionary<IpFamily, Cut> Cuts { get; }

    public sealed record Cut(AddressSpace Space, IReadOnlyDictionary<Signature, uint> Numbers);

    /// <summary>Classifies by source or by destination address; jumped to, returns.</summary>
    public string ChainName(bool source) => $"cls_{Name}_{(source ? "src" : "dst")}";

    /// <summary>Cuts a VPC's address space by everything that its policies name.</summary>
    /// <param name="vpcId">Named in comments, hashed in names.</param>
    /// <param name="tags">Tag and the prefixes behind it, of both families.</param>
    /// <param name="before">Taken as it is if nothing has changed.</param>
    public static AddressClasses Of(
        string vpcId, IReadOnlyDictionary<string, IReadOnlyCollection<IpPrefix>> tags, AddressClasses? before = null)
    {
        if (before is not null && before.IsOf(tags))
        {
            return before;
        }

        string[] names = [.. tags.Keys.Order(StringComparer.Ordinal)];
        var cuts = new Dictionary<IpFamily, Cut>();
        var classes = new List<AddressClass>();
        foreach (IpFamily family in (IpFamily[])[IpFamily.V4, IpFamily.V6])
        {
            var prefixes = new List<(IpPrefix, int)>();
            for (int tag = 0; tag < names.Length; tag++)
            {
                foreach (IpPrefix prefix in tags[names[tag]])
                {
                    if (prefix.Family == family)
                    {
                        prefixes.Add((prefix, tag));
                    }
                }
            }

            AddressSpace space = AddressSpace.Of(prefixes);
            cuts.Add(family, new Cut(space, Number(space, family, names, classes)));
        }

        return new AddressClasses(NameOf(vpcId), classes, cuts, tags);
    }

    /// <summary>
    /// Tags of classes that were not there before, or are not there any more: policies that name them must look.
    /// </summary>
    public HashSet<string> TagsThatMoved(AddressClasses? before)
    {
        var moved = new HashSet<string>(StringComparer.Ordinal);
        if (ReferenceEquals(this, before))
        {
            return moved;
        }

        Dictionary<uint, AddressClass> old = before?.Classes.ToDictionary(item => item.Number) ?? [];
        foreach (AddressClass item in Classes)
        {
            if (!old.Remove(item.Number, out AddressClass? same) || !same.Tags.SequenceEqual(item.Tags))
            {
                moved.UnionWith(item.Tags);
                moved.UnionWith(same?.Tags ?? []);
            }
        }

        moved.UnionWith(old.Values.SelectMany(gone => gone.Tags));
        return moved;
    }

    private bool IsOf(IReadOnlyDictionary<string, IReadOnlyCollection<IpPrefix>> others) =>
        tags.Count == others.Count
        && others.All(pair => tags.TryGetValue(pair.Key, out IReadOnlyCollection<IpPrefix>? same)
            && (ReferenceEquals(same, pair.Value) || same.SequenceEqual(pair.Value)));

    private static Dictionary<Signature, uint> Number(
        AddressSpace space, IpFamily family, string[] names, List<AddressClass> classes)
    {
        var signatures = new HashSet<Signature>(ReferenceEqualityComparer.Instance);
        foreach (Segment segment in space.Hosts.Concat(space.Nets))
        {
            signatures.Add(segment.Signature);
        }

        Dictionary<string, Signature> byKey = signatures.ToDictionary(KeyOf, StringComparer.Ordinal);
        Dictionary<string, uint> numbers = StableHash.Number(byKey.Keys, Decision.FirstNumber, Decision.ClassBits);
        var result = new Dictionary<Signature, uint>(ReferenceEqualityComparer.Instance);
        foreach ((string key, uint number) in numbers.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            Signature signature = byKey[key];
            uint mark = Decision.Unclassified(family) | number;
            result.Add(signature, mark);
            classes.Add(new AddressClass(mark, family, [.. signature.Tags.Select(tag => names[tag])]));
        }

        return result;

        string KeyOf(Signature signature) => string.Join('|', signature.Tags.Select(tag => names[tag]));
    }

    public IReadOnlyList<NftSet> Maps() => maps ??= [.. BuildMaps()];

    private IEnumerable<NftSet> BuildMaps()
    {
        foreach ((IpFamily family, Cut cut) in Cuts)
        {
            NftType type = family == IpFamily.V4 ? NftType.Ipv4Addr : NftType.Ipv6Addr;
            if (cut.Space.Hosts.Count > 0)
            {
                yield return new NftSet(
                    HostMap(family, cut), [type], Interval: false, NftSetKind.MarkMap, Capacity(cut), Counters: false,
                    Rows(cut, cut.Space.Hosts, family, interval: false));
            }

            if (cut.Space.Nets.Count > 0)
            {
                yield return new NftSet(
                    NetMap(family), [type], Interval: true, NftSetKind.MarkMap,
                    Size: null, Counters: false, Rows(cut, cut.Space.Nets, family, interval: true));
            }
        }
    }

    public IEnumerable<NftChain> Chains()
    {
        foreach (bool source in (bool[])[true, false])
        {
            var rules = new List<NftRule>();
            foreach ((IpFamily family, Cut cut) in Cuts)
            {
                rules.Add(Exprs.Rule(Exprs.Family(family), Exprs.MarkSet(Decision.Unclassified(family))));
                if (cut.Space.Hosts.Count > 0)
                {
                    rules.Add(Lookup(family, HostMap(family, cut), source));
                }

                if (cut.Space.Nets.Count > 0)
                {
                    rules.Add(Lookup(family, NetMap(family), source));
                }
            }

            yield return new NftChain(ChainName(source), Hook: null, rules.ToValueArray());
        }
    }

    // What is found ends the search: a rule that is not looked at costs nothing.
    private static NftRule Lookup(IpFamily family, string map, bool source) => Exprs.Rule(
        Exprs.Family(family), Exprs.MarkFrom(map, Exprs.LoadAddress(family, source)), Exprs.Return());

    // The kernel cannot enlarge a set: a larger one is a new one, under a new name.
    private string HostMap(IpFamily family, Cut cut) => $"adr_{Name}_host{(int)family}_{Capacity(cut)}";

    private string NetMap(IpFamily family) => $"adr_{Name}_net{(int)family}";

    // A given size makes the kernel take its fixed hash, which is faster to load and to look up. Powers of two with
    // room to spare, so that growth rarely needs a new set.
    private static uint Capacity(Cut cut)
    {
        int count = cut.Space.Hosts.Count;
        uint size = 1024;
        while (size < count + count / 8)
        {
            size *= 2;
        }

        return size;
    }

    private static NftElements Rows(Cut cut, IReadOnlyList<Segment> segments, IpFamily family, bool interval)
    {
        int addressBytes = family == IpFamily.V4 ? 4 : 16;
        int keyBytes = interval ? 2 * addressBytes : addressBytes;
        var rows = new NftElements.Builder(keyBytes + 4);
        Span<byte> row = stackalloc byte[keyBytes + 4];
        foreach (Segment segment in segments)
        {
            PutAddress(row, family, segment.First);
            if (interval)
            {
                PutAddress(row[addressBytes..], family, segment.Last);
            }

            BitConverter.TryWriteBytes(row[keyBytes..], cut.Numbers[segment.Signature]);
            rows.Add(row);
        }

        return rows.Build();
    }

    internal static void PutAddress(Span<byte> target, IpFamily family, UInt128 address)
    {
        if (family == IpFamily.V4)
        {
            BinaryPrimitives.WriteUInt32BigEndian(target, (uint)address);
        }
        else
        {
            BinaryPrimitives.WriteUInt128BigEndian(target, address);
        }
    }
}
