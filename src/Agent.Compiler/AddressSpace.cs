using System.Runtime.InteropServices;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>A set of tags, interned: addresses with equal signatures belong to one class.</summary>
/// <param name="Tags">Tag indices, ascending.</param>
internal sealed record Signature(int[] Tags)
{
    public bool Equals(Signature? other) => other is not null && Tags.AsSpan().SequenceEqual(other.Tags);

    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.AddBytes(MemoryMarshal.AsBytes(Tags.AsSpan()));
        return hash.ToHashCode();
    }
}

/// <summary>An inclusive range of addresses and the tags that cover all of it.</summary>
internal readonly record struct Segment(UInt128 First, UInt128 Last, Signature Signature);

/// <summary>
/// The addresses of one family, cut so that inside a segment nothing that any policy names can tell two addresses
/// apart (verification.md 2, "atoms"). Prefixes of a tag may overlap, and repeat.
/// </summary>
/// <remarks>
/// Single addresses are kept apart from wider prefixes: a host that lies inside a prefix has both tag sets, and the
/// prefix is not cut by it. That keeps the interval map small when a group has 65,536 addresses.
/// </remarks>
internal sealed class AddressSpace
{
    private AddressSpace(List<Segment> hosts, List<Segment> nets)
    {
        Hosts = hosts;
        Nets = nets;
    }

    /// <summary>Single addresses, ascending; each signature includes the tags of the prefixes around it.</summary>
    public IReadOnlyList<Segment> Hosts { get; }

    /// <summary>Disjoint ranges made of wider prefixes, ascending, neighbours with equal tags merged.</summary>
    public IReadOnlyList<Segment> Nets { get; }

    /// <summary>Cuts the space.</summary>
    /// <param name="prefixes">Prefixes of one family, each with its tag's index. Any order.</param>
    public static AddressSpace Of(IReadOnlyList<(IpPrefix Prefix, int Tag)> prefixes)
    {
        var interner = new Interner();
        List<Segment> nets = Cut(prefixes, interner, withHosts: false);
        return new AddressSpace(JoinHosts(prefixes, nets, interner), nets);
    }

    /// <summary>Cuts a small space in one go, single addresses included.</summary>
    public static IReadOnlyList<Segment> Cut(IReadOnlyList<(IpPrefix Prefix, int Tag)> prefixes) =>
        Cut(prefixes, new Interner(), withHosts: true);

    private static List<Segment> Cut(
        IReadOnlyList<(IpPrefix Prefix, int Tag)> prefixes, Interner interner, bool withHosts)
    {
        // An edge after the last address of the family has no number; such ends are simply never reached.
        var edges = new List<(UInt128 At, int Tag, int Step)>();
        foreach ((IpPrefix prefix, int tag) in prefixes)
        {
            if (prefix.IsHost && !withHosts)
            {
                continue;
            }

            edges.Add((prefix.First, tag, 1));
            if (prefix.Last != IpPrefix.Ceiling(prefix.Family))
            {
                edges.Add((prefix.Last + 1, tag, -1));
            }
        }

        edges.Sort((a, b) => a.At.CompareTo(b.At));
        var segments = new List<Segment>();
        var active = new SortedDictionary<int, int>();
        UInt128 ceiling = prefixes.Count == 0 ? 0 : IpPrefix.Ceiling(prefixes[0].Prefix.Family);
        for (int i = 0; i < edges.Count;)
        {
            UInt128 at = edges[i].At;
            for (; i < edges.Count && edges[i].At == at; i++)
            {
                Count(active, edges[i].Tag, edges[i].Step);
            }

            UInt128 last = i < edges.Count ? edges[i].At - 1 : ceiling;
            if (active.Count > 0)
            {
                Append(segments, new Segment(at, last, interner.Of([.. active.Keys])));
            }
        }

        return segments;
    }

    private static List<Segment> JoinHosts(
        IReadOnlyList<(IpPrefix Prefix, int Tag)> prefixes, List<Segment> nets, Interner interner)
    {
        var hosts = new List<(UInt128 At, int Tag)>();
        foreach ((IpPrefix prefix, int tag) in prefixes)
        {
            if (prefix.IsHost)
            {
                hosts.Add((prefix.First, tag));
            }
        }

        hosts.Sort();
        var segments = new List<Segment>(hosts.Count);
        var tags = new List<int>();
        int net = 0;
        for (int i = 0; i < hosts.Count;)
        {
            UInt128 at = hosts[i].At;
            tags.Clear();
            for (; i < hosts.Count && hosts[i].At == at; i++)
            {
                tags.Add(hosts[i].Tag);
            }

            while (net < nets.Count && nets[net].Last < at)
            {
                net++;
            }

            if (net < nets.Count && nets[net].First <= at)
            {
                tags.AddRange(nets[net].Signature.Tags);
            }

            segments.Add(new Segment(at, at, interner.Of(tags)));
        }

        return segments;
    }

    private static void Count(SortedDictionary<int, int> active, int tag, int step)
    {
        int count = active.GetValueOrDefault(tag) + step;
        if (count == 0)
        {
            active.Remove(tag);
        }
        else
        {
            active[tag] = count;
        }
    }

    private static void Append(List<Segment> segments, Segment next)
    {
        if (segments.Count > 0)
        {
            Segment previous = segments[^1];
            if (previous.Last + 1 == next.First && ReferenceEquals(previous.Signature, next.Signature))
            {
                segments[^1] = previous with { Last = next.Last };
                return;
            }
        }

        segments.Add(next);
    }

    /// <summary>One object per distinct tag set, so that equality is identity inside a space.</summary>
    private sealed class Interner
    {
        private readonly Dictionary<Signature, Signature> known = [];
        private readonly Dictionary<int, Signature> single = [];

        public Signature Of(List<int> tags)
        {
            // Nearly every host is in one group: no array, no hash of one.
            if (tags.Count == 1)
            {
                ref Signature? one = ref CollectionsMarshal.GetValueRefOrAddDefault(single, tags[0], out _);
                return one ??= Intern(new Signature([tags[0]]));
            }

            return Intern(new Signature([.. tags.Distinct().Order()]));
        }

        private Signature Intern(Signature signature)
        {
            if (!known.TryGetValue(signature, out Signature? found))
            {
                known[signature] = found = signature;
            }

            return found;
        }
    }
}
