using System.Globalization;
using System.Text;
using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>
/// iptables with ipset, laid out as Neutron's driver lays it out: chains per port behind a list of all ports, a chain
/// against forged addresses, sessions that live first in each port's chain.
/// </summary>
/// <remarks>
/// Neutron tells ports apart by physdev, on bridges; here ports are routed, and <c>-i</c> and <c>-o</c> say the same.
/// </remarks>
/// <param name="program">iptables-legacy or iptables-nft.</param>
internal sealed class IptablesRules(string program) : IFirewall
{
    public string Name => $"{program}, ipset";

    public bool HasPolicy => true;

    public IDisposable Load(NetNamespace host, TrafficPolicy policy)
    {
        Restore(host, "ipset", "restore", Sets(policy));
        Restore(host, $"{program}-restore", "--noflush", Chains(policy));
        return Loaded.Rules;
    }

    private static void Restore(NetNamespace host, string program, string option, string script) =>
        SystemCommand.RunWithInput("ip", script, "netns", "exec", host.Name, program, option);

    private static string Sets(TrafficPolicy policy)
    {
        var text = new StringBuilder();
        foreach (string group in TrafficPolicy.GroupNames)
        {
            text.Append(CultureInfo.InvariantCulture, $"create {group} hash:net family inet\n");
            foreach (string member in policy.Members(group))
            {
                text.Append(CultureInfo.InvariantCulture, $"add {group} {member}\n");
            }
        }

        return text.ToString();
    }

    private static string Chains(TrafficPolicy policy)
    {
        var text = new StringBuilder("*filter\n:sg-forward - [0:0]\n:sg-chain - [0:0]\n:sg-fallback - [0:0]\n");
        foreach (TrafficPort port in policy.Ports)
        {
            text.Append(CultureInfo.InvariantCulture,
                $":i{port.Number} - [0:0]\n:o{port.Number} - [0:0]\n:s{port.Number} - [0:0]\n");
        }

        text.Append("-A FORWARD -j sg-forward\n-A sg-fallback -j DROP\n");
        foreach (TrafficPort port in policy.Ports)
        {
            text.Append(CultureInfo.InvariantCulture, $"""
                -A sg-forward -o {port.Device} -j sg-chain
                -A sg-forward -i {port.Device} -j sg-chain
                -A sg-chain -o {port.Device} -j i{port.Number}
                -A sg-chain -i {port.Device} -j o{port.Number}
                -A s{port.Number} -s {port.Address}/32 -m mac --mac-source {port.Mac} -j RETURN
                -A s{port.Number} -j DROP
                -A o{port.Number} -p udp -m udp --sport 68 --dport 67 -j RETURN
                -A o{port.Number} -j s{port.Number}
                -A o{port.Number} -p udp -m udp --sport 67 --dport 68 -j DROP

                """);
            AppendList(text, $"i{port.Number}", "src", "-s", policy);
            AppendList(text, $"o{port.Number}", "dst", "-d", policy);
        }

        return text.Append("-A sg-chain -j ACCEPT\nCOMMIT\n").ToString();
    }

    private static void AppendList(
        StringBuilder text, string chain, string member, string prefix, TrafficPolicy policy)
    {
        text.Append(CultureInfo.InvariantCulture, $"-A {chain} -m state --state RELATED,ESTABLISHED -j RETURN\n");
        foreach (TrafficRule rule in policy.List())
        {
            string remote = rule.Group is string group
                ? $"-m set --match-set {group} {member}" : $"{prefix} {rule.Prefix}";
            text.Append(CultureInfo.InvariantCulture, $"-A {chain} {remote} -p {rule.ProtocolName} "
                + $"-m {rule.ProtocolName} --dport {rule.PortsText(':')} -j RETURN\n");
        }

        text.Append(CultureInfo.InvariantCulture,
            $"-A {chain} -m state --state INVALID -j DROP\n-A {chain} -j sg-fallback\n");
    }
}
