using System.Text;

namespace Agent.Cli.Support;

/// <summary>What the running kernel is, as far as it concerns packets; read from /proc, without any tool.</summary>
internal static class KernelText
{
    private const string Netfilter = "/proc/sys/net/netfilter";
    private const string Modules = "/proc/modules";

    /// <summary>What is not under net.netfilter and yet decides which way packets take.</summary>
    private static readonly string[] Others =
    [
        "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding",
        "/proc/sys/net/ipv4/conf/all/rp_filter", "/proc/sys/net/bridge/bridge-nf-call-iptables",
        "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
        "/proc/sys/net/nf_conntrack_max",
    ];

    public static string Read()
    {
        var text = new StringBuilder();
        text.Append("# /proc/version\n").Append(Value("/proc/version")).Append('\n');
        text.Append("\n# /proc/modules: nf*, nft*, br_netfilter, bridge, veth, tun\n");
        foreach (string line in Lines(Modules).Where(line => IsOurs(line.Split(' ')[0])))
        {
            text.Append(line).Append('\n');
        }

        text.Append("\n# sysctls\n");
        IEnumerable<string> files = Directory.Exists(Netfilter)
            ? Directory.EnumerateFiles(Netfilter).Order(StringComparer.Ordinal) : [];
        foreach (string file in files.Concat(Others).Where(File.Exists))
        {
            string name = file["/proc/sys/".Length..].Replace('/', '.');
            text.Append(name).Append(" = ").Append(Value(file)).Append('\n');
        }

        return text.ToString();
    }

    private static bool IsOurs(string module) => module.StartsWith("nf", StringComparison.Ordinal)
        || module is "br_netfilter" or "bridge" or "veth" or "tun" or "x_tables";

    private static string[] Lines(string path) => File.Exists(path) ? File.ReadAllLines(path) : [];

    private static string Value(string path)
    {
        try
        {
            return File.ReadAllText(path).TrimEnd('\n');
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"({e.Message})";
        }
    }
}
