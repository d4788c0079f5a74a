using System.Globalization;
using System.Text;
using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>
/// nftables with one rule per rule, address first, groups as named sets; sessions that live are accepted before
/// anything else, and each port has its two chains behind a verdict map.
/// </summary>
internal sealed class LinearRules : IFirewall
{
    public string Name => "nftables, a rule each";

    public bool HasPolicy => true;

    public IDisposable Load(NetNamespace host, TrafficPolicy policy)
    {
        host.Nft(Script(policy));
        return Loaded.Rules;
    }

    private static string Script(TrafficPolicy policy)
    {
        var text = new StringBuilder("table inet linear {\n");
        foreach (string group in TrafficPolicy.GroupNames)
        {
            string members = string.Join(", ", policy.Members(group));
            text.Append(CultureInfo.InvariantCulture,
                $"set {Set(group)} {{ type ipv4_addr; elements = {{ {members} }} }}\n");
        }

        foreach (TrafficPort port in policy.Ports)
        {
            AppendChain(text, $"out_{port.Number}", "daddr", "return", policy);
            AppendChain(text, $"in_{port.Number}", "saddr", "accept", policy);
        }

        AppendMap(text, "from", "out", "jump", policy);
        AppendMap(text, "to", "in", "goto", policy);
        return text.Append("""
            chain forward {
              type filter hook forward priority 0; policy accept;
              ct state established,related accept
              ct state invalid drop
              iifname vmap @from
              oifname vmap @to
            }
            }

            """).ToString();
    }

    private static void AppendChain(
        StringBuilder text, string name, string side, string verdict, TrafficPolicy policy)
    {
        text.Append(CultureInfo.InvariantCulture, $"chain {name} {{\n");
        foreach (TrafficRule rule in policy.List())
        {
            string remote = rule.Group is string group ? $"@{Set(group)}" : rule.Prefix.ToString();
            text.Append(CultureInfo.InvariantCulture,
                $"ip {side} {remote} {rule.ProtocolName} dport {rule.PortsText('-')} {verdict}\n");
        }

        text.Append("drop\n}\n");
    }

    private static void AppendMap(
        StringBuilder text, string name, string chains, string how, TrafficPolicy policy) => text.Append(
        CultureInfo.InvariantCulture, $"map {name} {{ type ifname : verdict; elements = {{ {string.Join(", ",
            policy.Ports.Select(port => $"\"{port.Device}\" : {how} {chains}_{port.Number}"))} }} }}\n");

    private static string Set(string group) => group.Replace('-', '_');
}
