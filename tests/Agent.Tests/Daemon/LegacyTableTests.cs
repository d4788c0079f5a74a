using Agent.Daemon.Enforcement;
using Agent.Nftables;

namespace Agent.Tests.Daemon;

/// <summary>What is known of tables of the older iptables interface, and by whom.</summary>
public sealed class LegacyTableTests
{
    [Fact]
    public void Who_may_read_the_names_knows_them() => Assert.Equal(
        [(NftFamily.Ipv4, "filter"), (NftFamily.Ipv4, "nat")],
        Find(path => path.EndsWith("ip_tables_names", StringComparison.Ordinal)
            ? ["filter", "nat"] : throw new FileNotFoundException()));

    [Fact]
    public void Who_may_not_knows_that_there_are_none_where_no_module_makes_any() =>
        Assert.Empty(Find(Unreadable("ip_tables 36864 0 - Live 0x0", "ip6_tables 1 0 - Live 0x0", "nf_tables 1 1")));

    [Fact]
    public void A_module_that_makes_one_may_have_done_so_here() => Assert.Equal(
        [(NftFamily.Ipv4, "mangle"), (NftFamily.Ipv6, "filter")],
        Find(Unreadable(
            "iptable_mangle 1 0", "ip_tables 1 1 iptable_mangle", "ip6_tables 1 0", "ip6table_filter 1 0")));

    [Fact]
    public void What_is_built_in_is_not_known() => Assert.Equal(
        [(NftFamily.Ipv4, "unknown"), (NftFamily.Ipv6, "unknown")], Find(Unreadable("nf_tables 1 1")));

    private static Func<string, string[]> Unreadable(params string[] modules) =>
        path => path == "/proc/modules" ? modules : throw new UnauthorizedAccessException();

    private static IEnumerable<(NftFamily, string)> Find(Func<string, string[]> read) =>
        LegacyTables.Find(read).Select(hook => (hook.Family, hook.Table));
}
