using System.Globalization;
using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>One script of nft over the least stateful ruleset: what a piece of a layout costs a packet.</summary>
internal sealed class Piece(string name, string script) : IFirewall
{
    public string Name => name;

    public bool HasPolicy => false;

    public IDisposable Load(NetNamespace host, TrafficPolicy policy)
    {
        IDisposable least = PlainFirewall.Conntrack.Load(host, policy);
        host.Nft(script);
        return least;
    }

    public static IEnumerable<Piece> All()
    {
        const string Address = "@ll,48,48 != 0x020000000000 drop";
        const string Both = "@ll,48,64 0x0200000000000800";
        const string Upper = "meta l4proto tcp accept; udp dport != 68 accept; drop";
        yield return Guard("an empty chain", "");
        yield return Guard("MAC", Address);
        yield return Guard("MAC, then type", $"{Address}; @ll,96,16 0x0800 accept");
        yield return Guard("MAC and type in one load", $"{Both} accept");
        yield return Guard("MAC, then type, address, protocol", $"{Address}; @ll,96,16 0x0800 goto four",
            $"ip saddr != 10.0.0.1 drop; {Upper}");
        yield return Guard("MAC and type in one load, address, protocol", $"{Both} goto four",
            $"ip saddr != 10.0.0.1 drop; {Upper}");
        yield return Guard("the same, without asking for IPv4 again", $"{Both} goto four",
            $"@nh,96,32 != 0x0a000001 drop; {Upper}");
        foreach ((string name, string rule) in ((string, string)[])
            [
                ("ten loads of the MAC", "@ll,48,48 0x020000000009 drop; "),
                ("ten loads of an IPv4 address", "@nh,96,32 0x01020304 drop; "),
                ("ten loads of the protocol", "meta l4proto 99 drop; "),
            ])
        {
            yield return Guard(name, string.Concat(Enumerable.Repeat(rule, 10)));
        }
    }

    private static Piece Guard(string name, string rules, string four = "accept") => new(name, string.Create(
        CultureInfo.InvariantCulture, $$"""
        table netdev piece {
          chain four { {{four}}; }
          chain guard {
            type filter hook ingress device tap-0 priority -500; policy accept;
            {{rules}}
          }
        }

        """));
}
