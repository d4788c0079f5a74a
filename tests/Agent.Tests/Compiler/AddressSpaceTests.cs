using Agent.Compiler;
using Agent.Policy;

namespace Agent.Tests.Compiler;

/// <summary>The interval algebra, against an address by address answer.</summary>
public class AddressSpaceTests
{
    /// <summary>Bits that the prefixes of these tests may differ in: small enough to ask every address.</summary>
    private const int Bits = 5;

    public static TheoryData<IpFamily, bool> Windows => new()
    {
        { IpFamily.V4, false }, { IpFamily.V4, true }, { IpFamily.V6, false }, { IpFamily.V6, true },
    };

    [Theory]
    [MemberData(nameof(Windows))]
    public void Every_address_has_the_tags_that_cover_it(IpFamily family, bool atTop)
    {
        var random = new Random(11);
        for (int i = 0; i < 1500; i++)
        {
            (IpPrefix Prefix, int Tag)[] prefixes = Prefixes(family, atTop, random);
            AddressSpace space = AddressSpace.Of(prefixes);
            IReadOnlyList<Segment> cut = AddressSpace.Cut(prefixes);
            foreach (UInt128 address in Window(family, atTop))
            {
                int[] expected = [
                    .. prefixes.Where(one => one.Prefix.Contains(family, address)).Select(one => one.Tag).Distinct()
                    .Order()];
                Segment? host = Find(space.Hosts, address);
                bool isHost = prefixes.Any(one => one.Prefix.IsHost && one.Prefix.First == address);
                Assert.Equal(isHost, host is not null);
                Assert.Equal(expected, (host ?? Find(space.Nets, address))?.Signature.Tags ?? []);
                Assert.Equal(expected, Find(cut, address)?.Signature.Tags ?? []);
            }

            AssertCanonical(space.Nets);
            AssertCanonical(cut);
            AssertAscending(space.Hosts);
        }
    }

    [Theory]
    [MemberData(nameof(Windows))]
    public void Order_and_repetition_do_not_matter(IpFamily family, bool atTop)
    {
        var random = new Random(12);
        for (int i = 0; i < 500; i++)
        {
            (IpPrefix Prefix, int Tag)[] prefixes = Prefixes(family, atTop, random);
            (IpPrefix Prefix, int Tag)[] other = [.. prefixes, .. prefixes.Take(random.Next(3))];
            random.Shuffle(other);
            (AddressSpace a, AddressSpace b) = (AddressSpace.Of(prefixes), AddressSpace.Of(other));
            Assert.Equal(a.Nets, b.Nets);
            Assert.Equal(a.Hosts, b.Hosts);
        }
    }

    [Fact]
    public void Hosts_do_not_cut_the_prefix_around_them()
    {
        AddressSpace space = AddressSpace.Of(
            [(IpPrefix.Parse("10.0.0.0/8"), 0), (IpPrefix.Parse("10.1.0.0/16"), 1), (IpPrefix.Parse("10.1.2.3"), 2)]);
        Assert.Equal(3, space.Nets.Count);
        Assert.Equal([0, 1, 2], Assert.Single(space.Hosts).Signature.Tags);
    }

    [Fact]
    public void Nothing_is_nothing()
    {
        AddressSpace space = AddressSpace.Of([]);
        Assert.Empty(space.Hosts);
        Assert.Empty(space.Nets);
        Assert.Empty(AddressSpace.Cut([]));
    }

    /// <summary>Disjoint, ascending, and no two neighbours that could be one.</summary>
    private static void AssertCanonical(IReadOnlyList<Segment> segments)
    {
        AssertAscending(segments);
        for (int i = 1; i < segments.Count; i++)
        {
            Assert.False(
                segments[i - 1].Last + 1 == segments[i].First && segments[i - 1]
                    .Signature.Equals(segments[i].Signature),
                $"{segments[i - 1]} and {segments[i]} are one");
        }
    }

    private static void AssertAscending(IReadOnlyList<Segment> segments)
    {
        for (int i = 0; i < segments.Count; i++)
        {
            Assert.True(segments[i].First <= segments[i].Last);
            Assert.True(
                i == 0 || segments[i - 1].Last < segments[i].First,
                $"{segments[Math.Max(0, i - 1)]} before {segments[i]}");
        }
    }

    private static Segment? Find(IReadOnlyList<Segment> segments, UInt128 address)
    {
        Segment[] found = [.. segments.Where(segment => segment.First <= address && address <= segment.Last)];
        return found.Length == 0 ? null : Assert.Single(found);
    }

    private static (IpPrefix Prefix, int Tag)[] Prefixes(IpFamily family, bool atTop, Random random)
    {
        UInt128[] window = [.. Window(family, atTop)];
        return [.. Enumerable.Range(0, random.Next(0, 14)).Select(_ =>
        {
            int length = random.Next(8) == 0 ? 0 : IpPrefix.WidthOf(family) - random.Next(0, Bits + 1);
            return (new IpPrefix(family, window[random.Next(window.Length)], length), random.Next(5));
        })];
    }

    private static IEnumerable<UInt128> Window(IpFamily family, bool atTop)
    {
        UInt128 size = (UInt128)1 << Bits;
        UInt128 first = atTop ? IpPrefix.Ceiling(family) - size + 1 : 0;
        for (UInt128 i = 0; i < size; i++)
        {
            yield return first + i;
        }
    }
}
