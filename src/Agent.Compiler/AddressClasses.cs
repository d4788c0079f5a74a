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
    /// <summary>More addresses that change their class at once are found by cutting anew.</summary>
    private const int MovesMax = 1024;

    private readonly Derivation? derivation;
    private Dictionary<(IpFamily, string), uint>? numbers;
    private Dictionary<uint, AddressClass>? byNumber;
    private Dictionary<string, List<int>>? byTag;
    private NftSet[]? maps;
    private NftChain[]? chains;

    private AddressClasses(
        string name, IReadOnlyList<AddressClass> classes, IReadOnlyDictionary<IpFamily, AddressCut> cuts, TagTable tags,
        Derivation? derivation = null)
    {
        Name = name;
        Classes = classes;
        Cuts = cuts;
        Tags = tags;
        this.derivation = derivation;
    }

    /// <summary>How it differs from another one that has the same classes; which is not kept alive for it.</summary>
    private sealed record Derivation(
        object From, IReadOnlyDictionary<IpFamily, HashSet<(uint Old, uint New)>> Moves);

    /// <summary>Stands for this object.</summary>
    private object Identity { get; } = new();

    /// <summary>Part of the names of the maps and chains: "v_" and a hash of the VPC's id.</summary>
    public string Name { get; }

    public static string NameOf(string vpcId) => "v_" + StableHash.Name(vpcId);

    public IReadOnlyList<AddressClass> Classes { get; }

    public TagTable Tags { get; }

    /// <summary>The cut address space of each family.</summary>
    public IReadOnlyDictionary<IpFamily, AddressCut> Cuts { get; }

    /// <summary>Classifies by source or by destination address; jumped to, returns.</summary>
    public string ChainName(bool source) => $"cls_{Name}_{(source ? "src" : "dst")}";

    /// <summary>Cuts a VPC's address space by everything that its policies name.</summary>
    /// <param name="vpcId">Named in comments, hashed in names.</param>
    /// <param name="tags">Tags and the addresses behind them, of both families.</param>
    /// <param name="before">
    /// Taken as it is if nothing has changed, and but for what did if single addresses moved between its classes.
    /// </param>
    public static AddressClasses Of(string vpcId, TagTable tags, AddressClasses? before = null) =>
        (before is null || !tags.HasTagsOf(before.Tags) ? null : before.Moved(tags)) ?? Cut(vpcId, tags);

    private static AddressClasses Cut(string vpcId, TagTable tags)
    {
        string[] names = [.. tags.Tags.Order(StringComparer.Ordinal)];
        var cuts = new Dictionary<IpFamily, AddressCut>();
        var classes = new List<AddressClass>();
        TagAddresses[] addresses = [.. names.Select(name => tags[name])];
        foreach (IpFamily family in (IpFamily[])[IpFamily.V4, IpFamily.V6])
        {
            var prefixes = new List<(IpPrefix, int)>(addresses.Sum(some => some.Count));
            for (int tag = 0; tag < names.Length; tag++)
            {
                foreach (IpPrefix prefix in addresses[tag].All)
                {
                    if (prefix.Family == family)
                    {
                        prefixes.Add((prefix, tag));
                    }
                }
            }

            AddressSpace space = AddressSpace.Of(prefixes);
            cuts.Add(family, AddressCut.Of(family, space, Number(space, family, names, classes)));
        }

        return new AddressClasses(NameOf(vpcId), classes, cuts, tags);
    }

    /// <summary>The same classes with other tables, if all that has changed is which of them single addresses have.
    /// </summary>
    /// <returns>This object if nothing has changed; null: it has to be cut anew.</returns>
    /// <remarks>
    /// Numbers are given to classes, and depend on which there are. So a class that is new, or that no address has any
    /// more, is no case of this; nor is a prefix of many addresses.
    /// </remarks>
    private AddressClasses? Moved(TagTable now)
    {
        if (ReferenceEquals(now, Tags))
        {
            return this;
        }

        var changed = new Dictionary<string, TagAddresses>(StringComparer.Ordinal);
        var touched = new HashSet<IpPrefix>();
        foreach ((string tag, TagAddresses addresses) in now.Named)
        {
            TagAddresses before = Tags.Named[tag];
            if (ReferenceEquals(before, addresses))
            {
                continue;
            }

            if (before.Touched(addresses) is { } some)
            {
                changed.Add(tag, addresses);
                touched.UnionWith(some);
            }
            else if (!before.Equals(addresses))
            {
                return null;
            }
        }

        if (touched.Count > MovesMax || touched.Any(prefix => !prefix.IsHost))
        {
            return null;
        }

        var cuts = new Dictionary<IpFamily, AddressCut>();
        var moves = new Dictionary<IpFamily, HashSet<(uint, uint)>>();
        foreach ((IpFamily family, AddressCut cut) in Cuts)
        {
            moves.Add(family, []);
            if (Moved(cut, touched.Where(prefix => prefix.Family == family), changed, moves[family]) is not { } moved)
            {
                return null;
            }

            cuts.Add(family, moved);
        }

        return new AddressClasses(Name, Classes, cuts, now, new Derivation(Identity, moves))
        {
            numbers = numbers,
            byNumber = byNumber,
            byTag = byTag,
            chains = Cuts.All(pair => HostMap(pair.Key, pair.Value) == HostMap(pair.Key, cuts[pair.Key])
                && pair.Value.Hosts.Count > 0 == cuts[pair.Key].Hosts.Count > 0) ? chains : null,
        };
    }

    private AddressCut? Moved(
        AddressCut cut, IEnumerable<IpPrefix> hosts, Dictionary<string, TagAddresses> changed,
        HashSet<(uint Old, uint New)> moves)
    {
        var edits = new List<(UInt128 Address, uint? Old, uint? New)>();
        var left = new HashSet<uint>();
        uint none = Decision.Unclassified(cut.Family);
        foreach (IpPrefix host in hosts)
        {
            uint? old = cut.HostAt(host.First);
            uint? net = cut.NetAt(host.First);
            if (!Find(cut.Family, host, old, net, changed, out uint? now))
            {
                return null; // it would be the first of its class
            }

            if (old == now)
            {
                continue;
            }

            edits.Add((host.First, old, now));
            moves.Add((old ?? net ?? none, now ?? net ?? none));
            if (old is uint gone)
            {
                left.Add(gone);
            }
        }

        if (edits.Count == 0)
        {
            return cut;
        }

        AddressCut moved = cut.With(edits);
        return left.All(moved.Has) ? moved : null;
    }

    /// <summary>The class that a single address has now; null: it is none of the hosts any more.</summary>
    /// <returns>False: there is no such class yet.</returns>
    private bool Find(
        IpFamily family, IpPrefix host, uint? old, uint? net, Dictionary<string, TagAddresses> changed, out uint? now)
    {
        IReadOnlyList<string> around = net is uint range ? ClassOf(range).Tags : [];
        IEnumerable<string> candidates = (old is uint known ? ClassOf(known).Tags : around).Concat(changed.Keys);
        string[] naming = [.. candidates.Distinct(StringComparer.Ordinal).Where(tag =>
            (changed.GetValueOrDefault(tag) ?? Tags[tag]).Names(host))];
        now = null;
        if (naming.Length == 0)
        {
            return true;
        }

        string key = KeyOf(naming.Concat(around).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal));
        numbers ??= Classes.ToDictionary(item => (item.Family, KeyOf(item.Tags)), item => item.Number);
        if (!numbers.TryGetValue((family, key), out uint number))
        {
            return false;
        }

        now = number;
        return true;
    }

    private AddressClass ClassOf(uint number) =>
        (byNumber ??= Classes.ToDictionary(item => item.Number))[number];

    /// <summary>Classes that a tag covers, as indices of <see cref="Classes"/>, ascending.</summary>
    public IReadOnlyList<int> WithTag(string tag)
    {
        if (byTag is null)
        {
            byTag = new(StringComparer.Ordinal);
            for (int i = 0; i < Classes.Count; i++)
            {
                foreach (string one in Classes[i].Tags)
                {
                    if (!byTag.TryGetValue(one, out List<int>? its))
                    {
                        byTag.Add(one, its = []);
                    }

                    its.Add(i);
                }
            }
        }

        return byTag.TryGetValue(tag, out List<int>? found) ? found : [];
    }

    private static string KeyOf(IEnumerable<string> tags) => string.Join('|', tags);

    /// <summary>The distinct pairs of class numbers that addresses have before and after.</summary>
    /// <param name="before">Null: there was none.</param>
    /// <param name="family">Of the addresses.</param>
    /// <param name="isWhole">False: pairs of one and the same class may be left out.</param>
    public HashSet<(uint Old, uint New)> MovesFrom(AddressClasses? before, IpFamily family, bool isWhole)
    {
        bool isSame = ReferenceEquals(this, before);
        if (!isSame && (derivation is null || !ReferenceEquals(derivation.From, before?.Identity)))
        {
            return AddressMoves.Between(family, before?.Cuts[family], Cuts[family]);
        }

        HashSet<(uint Old, uint New)> moves = isSame ? [] : [.. derivation!.Moves[family]];
        if (!isWhole)
        {
            return moves;
        }

        moves.UnionWith(Classes.Where(item => item.Family == family).Select(item => (item.Number, item.Number)));
        moves.Add((Decision.Unclassified(family), Decision.Unclassified(family)));
        return moves;
    }

    /// <summary>
    /// Tags of classes that were not there before, or are not there any more: policies that name them must look.
    /// </summary>
    public HashSet<string> TagsThatMoved(AddressClasses? before)
    {
        var moved = new HashSet<string>(StringComparer.Ordinal);
        if (ReferenceEquals(Classes, before?.Classes))
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

    private static Dictionary<Signature, uint> Number(
        AddressSpace space, IpFamily family, string[] names, List<AddressClass> classes)
    {
        var signatures = new HashSet<Signature>(ReferenceEqualityComparer.Instance);
        foreach (Segment segment in space.Hosts)
        {
            signatures.Add(segment.Signature);
        }

        foreach (Segment segment in space.Nets)
        {
            signatures.Add(segment.Signature);
        }

        Dictionary<string, Signature> byKey = signatures.ToDictionary(
            signature => KeyOf(signature.Tags.Select(tag => names[tag])), StringComparer.Ordinal);
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
    }

    /// <summary>In the order of their names.</summary>
    public IReadOnlyList<NftSet> Maps() =>
        maps ??= [.. BuildMaps().OrderBy(map => map.Name, StringComparer.Ordinal)];

    private IEnumerable<NftSet> BuildMaps()
    {
        foreach ((IpFamily family, AddressCut cut) in Cuts)
        {
            NftType type = family == IpFamily.V4 ? NftType.Ipv4Addr : NftType.Ipv6Addr;
            if (cut.Hosts.Count > 0)
            {
                yield return new NftSet(
                    HostMap(family, cut), [type], Interval: false, NftSetKind.MarkMap, Capacity(cut), Counters: false,
                    cut.Hosts);
            }

            if (cut.Nets.Count > 0)
            {
                yield return new NftSet(
                    NetMap(family), [type], Interval: true, NftSetKind.MarkMap, Size: null, Counters: false, cut.Nets);
            }
        }
    }

    /// <summary>In the order of their names.</summary>
    public IReadOnlyList<NftChain> Chains() =>
        chains ??= [.. BuildChains().OrderBy(chain => chain.Name, StringComparer.Ordinal)];

    private IEnumerable<NftChain> BuildChains()
    {
        foreach (bool source in (bool[])[true, false])
        {
            var rules = new List<NftRule>();
            foreach ((IpFamily family, AddressCut cut) in Cuts)
            {
                rules.Add(Exprs.Rule(Exprs.Family(family), Exprs.MarkSet(Decision.Unclassified(family))));
                if (cut.Hosts.Count > 0)
                {
                    rules.Add(Lookup(family, HostMap(family, cut), source));
                }

                if (cut.Nets.Count > 0)
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
    private string HostMap(IpFamily family, AddressCut cut) => $"adr_{Name}_host{(int)family}_{Capacity(cut)}";

    private string NetMap(IpFamily family) => $"adr_{Name}_net{(int)family}";

    // A given size makes the kernel take its fixed hash, which is faster to load and to look up. Powers of two with
    // room to spare, so that growth rarely needs a new set.
    private static uint Capacity(AddressCut cut)
    {
        int count = cut.Hosts.Count;
        uint size = 1024;
        while (size < count + count / 8)
        {
            size *= 2;
        }

        return size;
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
