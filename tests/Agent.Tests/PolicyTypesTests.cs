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
    public void Refuses_what_could_be_read_two_ways(string text) =>
        Assert.False(IpPrefix.TryParse(text, out _, out _));

    [Fact]
    public void First_and_last_span_the_prefix()
    {
        IpPrefix prefix = IpPrefix.Parse("10.1.0.0/16");
        Assert.Equal("10.1.255.255", IpPrefix.AddressOf(IpFamily.V4, prefix.Last).ToString());
        Assert.Equal(UInt128.MaxValue, IpPrefix.Parse("::/0").Last);
    }
}
