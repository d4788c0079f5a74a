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
        yield return Guard("empty ingress chain", "");
        yield return Guard("mac", "@ll,48,48 != 0x020000000000 drop");
        yield return Guard("mac, type", "@ll,48,48 != 0x020000000000 drop; @ll,96,16 0x0800 accept");
        yield return Guard("mac type in one", "@ll,48,64 0x0200000000000800 accept");
        yield return Guard("mac type in one, goto, saddr", "@ll,48,64 0x0200000000000800 goto four", "ip saddr != 10.0.0.1 drop; accept");
        yield return Guard("mac type in one, goto, raw saddr", "@ll,48,64 0x0200000000000800 goto four", "@nh,96,32 != 0x0a000001 drop; accept");
        yield return Guard("mac, type, goto, saddr, tcp, udp", "@ll,48,48 != 0x020000000000 drop; @ll,96,16 0x0800 goto four",
            "ip saddr != 10.0.0.1 drop; meta l4proto tcp accept; udp dport != 68 accept; drop");
        yield return Guard("one, saddr, tcp, udp", "@ll,48,64 0x0200000000000800 goto four",
            "ip saddr != 10.0.0.1 drop; meta l4proto tcp accept; udp dport != 68 accept; drop");
        yield return Guard("ether saddr only", "ether saddr != 02:00:00:00:00:00 drop");
        yield return Guard("meta protocol", "meta protocol ip accept");
        yield return Guard("meta protocol, saddr", "ip saddr 10.0.0.1 accept");
        yield return Guard("iif index", "@ll,48,32 0x02000000 accept");
        yield return Guard("10x l4proto", string.Concat(Enumerable.Repeat("meta l4proto 99 drop; ", 10)));
        yield return Guard("10x nh saddr", string.Concat(Enumerable.Repeat("@nh,96,32 0x01020304 drop; ", 10)));
        yield return Guard("10x ll mac", string.Concat(Enumerable.Repeat("@ll,48,48 0x020000000009 drop; ", 10)));
        yield return Guard("10x ll type", string.Concat(Enumerable.Repeat("@ll,96,16 0x9999 drop; ", 10)));
        yield return Guard("10x ll 8", string.Concat(Enumerable.Repeat("@ll,48,64 0x0200000000000801 drop; ", 10)));
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
