using Agent.Evaluator.Proof;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>Tables of the older interface of iptables: it shows no rules to us, only which tables there are.</summary>
/// <remarks>
/// Their names are for root and its group (net/netfilter/x_tables.c, mode 0440). A daemon that runs as another user
/// knows from the list of modules that there are none; with a module that makes one, or a kernel that has it built in,
/// it is not known.
/// </remarks>
internal static class LegacyTables
{
    private const string Modules = "/proc/modules";

    private static readonly (NftFamily Family, string Names, string Module, string Prefix)[] Interfaces =
    [
        (NftFamily.Ipv4, "/proc/net/ip_tables_names", "ip_tables", "iptable_"),
        (NftFamily.Ipv6, "/proc/net/ip6_tables_names", "ip6_tables", "ip6table_"),
    ];

    /// <param name="read">
    /// The lines of a file: <see cref="File.ReadAllLines(string)"/>, with its exceptions.
    /// </param>
    public static IEnumerable<ForeignHook> Find(Func<string, string[]> read) => Interfaces.SelectMany(
        one => Of(one, read));

    private static IEnumerable<ForeignHook> Of(
        (NftFamily Family, string Names, string Module, string Prefix) place, Func<string, string[]> read)
    {
        try
        {
            return [.. read(place.Names).Select(name => Hook(
                place.Family, name,
                "rules of the legacy iptables interface cannot be read; iptables-legacy-save lists them"))];
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return []; // the kernel does not have it, or has not loaded it
        }
        catch (UnauthorizedAccessException)
        {
            string[] loaded = [.. read(Modules).Select(line => line.Split(' ')[0])];
            return !loaded.Contains(place.Module)
                ? [Hook(place.Family, "unknown",
                    $"whether there are tables of the legacy iptables interface cannot be read ({place.Names}); "
                    + "iptables-legacy-save lists them")]
                : [.. loaded.Where(module => module.StartsWith(place.Prefix, StringComparison.Ordinal))
                    .Select(module => Hook(place.Family, module[place.Prefix.Length..],
                        $"module {module} is loaded; whether this table of the legacy iptables interface is in use"
                        + $" cannot be read ({place.Names}); iptables-legacy-save lists it"))];
        }
    }

    private static ForeignHook Hook(NftFamily family, string table, string detail) =>
        new(family, table, "", new BaseHook(NftHook.Forward, 0), ForeignEffect.Unknown, "", detail);
}
