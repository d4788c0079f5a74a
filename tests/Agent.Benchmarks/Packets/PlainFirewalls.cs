using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>What the others are measured against.</summary>
internal sealed class PlainFirewall : IFirewall
{
    /// <summary>Forwarding alone.</summary>
    public static readonly PlainFirewall None = new("no firewall", null);

    /// <summary>The least that keeps state.</summary>
    public static readonly PlainFirewall Conntrack = new("conntrack, one accept rule", """
        table inet least {
          chain forward {
            type filter hook forward priority 0; policy accept;
            ct state established,related accept
          }
        }

        """);

    /// <summary>One drop rule behind the dispatch that a firewall for many ports needs.</summary>
    public static PlainFirewall OneDrop(TrafficPolicy policy) => new("one drop rule behind a dispatch", $$"""
        table inet least {
          chain in { drop; }
          map to { type ifname : verdict; elements = { {{policy.Receiver.Device}} : goto in } }
          chain forward {
            type filter hook forward priority 0; policy accept;
            ct state established,related accept
            oifname vmap @to
          }
        }

        """);

    private readonly string? script;

    private PlainFirewall(string name, string? script) => (Name, this.script) = (name, script);

    public string Name { get; }

    public bool HasPolicy => false;

    public IDisposable Load(NetNamespace host, TrafficPolicy policy)
    {
        if (script is not null)
        {
            host.Nft(script);
        }

        return Loaded.Rules;
    }
}
