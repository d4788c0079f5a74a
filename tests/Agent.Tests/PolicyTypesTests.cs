using Agent.Policy;

namespace Agent.Tests;

public class IpPrefixTests
{
    [Theory]
    [InlineData("10.0.0.5", "10.0.0.5", true)]
    [InlineData("10.159.6.18/12", "10.144.0.0/12", false)]
    [InlineData("0.0.0.0/0", "0.0.0.0/0", true)]
    [InlineData("2408:180:0000::1", "2408:180::1", true)]
    [InlineData("2001:db8::1/32", "2001:db8::/32", false)]
    public void Parses_to_canonical_form(string text, string expected, bool canonical)
    {
        Assert.True(IpPrefix.TryParse(text, out IpPrefix prefix, out bool wasCanonical));
        Assert.Equal(expected, prefix.ToString());
        Assert.Equal(canonical, wasCanonical);
    }

    [Theory]
    [InlineData("")]
    [InlineData("10")]
    [InlineData("010.0.0.1")]
    [InlineData("10.0.0.0/33")]
    [InlineData("10.0.0.0/08")]
    [InlineData("10.0.0.0/-1")]
    [InlineData("fe80::1%eth0")]
    [InlineData("[::1]")]
    [InlineData("::ffff:10.0.0.1")]
    [InlineData(" 10.0.0.1")]
    [InlineData("10.0.0.1-10.0.0.9")]
    [InlineData("1.2.3")]
    [InlineData("0x7f.1.1.1")]
    [InlineData("10.0.0.1/")]
    [InlineData("/8")]
    [InlineData("10.0.0.0/ 8")]
    [InlineData("10.0.0.0/+8")]
    [InlineData("10.0.0.0/8/8")]
    [InlineData("10.0.0.0/255.0.0.0")]
    [InlineData("2001:db8::/129")]
    [InlineData("2001:db8::/064")]
    [InlineData("::ffff:0:0/96")]
    [InlineData("::ffff:a00:1")]
    [InlineData("fe80::1%1/64")]
    [InlineData("[2001:db8::1]:80")]
    [InlineData("2001:db8::1::2")]
    [InlineData("10.0.0.256")]
    [InlineData("10.0.0.1\n")]
    [InlineData("\u0661\u0660.0.0.1")]
    public void Refuses_what_could_be_read_two_ways(string text) =>
        Assert.False(IpPrefix.TryParse(text, out _, out _));

    [Fact]
    public void First_and_last_span_the_prefix()
    {
        IpPrefix prefix = IpPrefix.Parse("10.1.0.0/16");
        Assert.Equal("10.1.255.255", IpPrefix.AddressOf(IpFamily.V4, prefix.Last).ToString());
        Assert.Equal(UInt128.MaxValue, IpPrefix.Parse("::/0").Last);
    }

    [Fact]
    public void What_is_printed_is_parsed_the_same()
    {
        var random = new Random(3);
        for (int i = 0; i < 2000; i++)
        {
            IpPrefix prefix = Random(random);
            Assert.True(IpPrefix.TryParse(prefix.ToString(), out IpPrefix read, out bool canonical));
            Assert.True(canonical);
            Assert.Equal(prefix, read);
        }
    }

    [Fact]
    public void A_prefix_contains_its_first_and_last_address_and_none_beside_them()
    {
        var random = new Random(4);
        for (int i = 0; i < 2000; i++)
        {
            IpPrefix prefix = Random(random);
            Assert.True(prefix.Contains(prefix.Family, prefix.First) && prefix.Contains(prefix.Family, prefix.Last));
            Assert.True(prefix.First == 0 || !prefix.Contains(prefix.Family, prefix.First - 1));
            Assert.True(
                prefix.Last == IpPrefix.Ceiling(prefix.Family) || !prefix.Contains(prefix.Family, prefix.Last + 1));
            Assert.False(prefix.Contains(prefix.Family == IpFamily.V4 ? IpFamily.V6 : IpFamily.V4, prefix.First));
            IpPrefix other = Random(random);
            bool inside = other.Family == prefix.Family && other.First >= prefix.First && other.Last <= prefix.Last;
            Assert.Equal(inside, prefix.Contains(other));
        }
    }

    [Fact]
    public void Prefixes_are_ordered_by_family_address_and_length()
    {
        string[] ordered = [
            "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0", "10.0.0.1", "255.255.255.255", "::/0", "::1",
            "fd00::/8"];
        var random = new Random(5);
        string[] shuffled = [.. ordered];
        random.Shuffle(shuffled);
        Assert.Equal(ordered, shuffled.Select(IpPrefix.Parse).Order().Select(prefix => prefix.ToString()));
    }

    private static IpPrefix Random(Random random)
    {
        IpFamily family = random.Next(2) == 0 ? IpFamily.V4 : IpFamily.V6;
        UInt128 bits = new UInt128((ulong)random.NextInt64(), (ulong)random.NextInt64()) << random.Next(2);
        var prefix = new IpPrefix(family, bits & IpPrefix.Ceiling(family), random.Next(IpPrefix.WidthOf(family) + 1));
        return prefix.Address.IsIPv4MappedToIPv6 ? Random(random) : prefix;
    }
}

public class PolicyLimitsTests
{
    [Fact]
    public void Unlimited_is_unlimited_in_everything() => Assert.All(
        typeof(PolicyLimits).GetProperties().Where(property => property.PropertyType == typeof(int)),
        property => Assert.Equal(int.MaxValue, property.GetValue(PolicyLimits.Unlimited)));

    [Fact]
    public void The_defaults_are_the_documented_ones() => Assert.Equal(
        (10, 1000, 200, 20, 65_536, 65_536, 200, 2000),
        (PolicyLimits.Default.GroupsPerVnic, PolicyLimits.Default.WeightedRulesPerVnic,
            PolicyLimits.Default.RulesPerGroupWarning, PolicyLimits.Default.GroupRulesPerBasicGroup,
            PolicyLimits.Default.MembersPerBasicGroup, PolicyLimits.Default.MembersPerAdvancedGroup,
            PolicyLimits.Default.PrefixListEntries, PolicyLimits.Default.PortListEntries));
}

public class MacAddressTests
{
    [Theory]
    [InlineData("02:00:00:00:00:01", 0x020000000001ul, false)]
    [InlineData("FF:ff:FF:ff:FF:ff", 0xfffffffffffful, true)]
    [InlineData("01:00:5e:00:00:fb", 0x01005e0000fbul, true)]
    public void Parses_and_prints(string text, ulong bits, bool multicast)
    {
        Assert.True(MacAddress.TryParse(text, out MacAddress mac));
        Assert.Equal((bits, multicast, text.ToLowerInvariant()), (mac.Bits, mac.IsMulticast, mac.ToString()));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("02-00-00-00-00-01")]
    [InlineData("020000000001")]
    [InlineData("02:00:00:00:00:0g")]
    [InlineData("02:00:00:00:00:1 ")]
    [InlineData("02:00:00:00:00:001")]
    [InlineData("+2:00:00:00:00:01")]
    public void Refuses_other_forms(string? text) => Assert.False(MacAddress.TryParse(text, out _));
}
