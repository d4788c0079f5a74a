using System.Globalization;
using System.Text.RegularExpressions;
using Agent.Nftables;
using Agent.TestNet;

namespace Agent.KernelTests.Sessions;

/// <summary>What the agent's own counters say was dropped, per vNIC, side and reason.</summary>
internal sealed class DropCounters(NetNamespace host) : IDisposable
{
    private const string Table = "sg_agent";
    private const string SetPrefix = "n_drop_";
    private const string SpoofPrefix = "spoof_";

    private readonly NftConnection kernel = host.Run(() => new NftConnection());

    /// <summary>By device and reason: "tap-e1 to_invalid", "tap-e1 spoof_redirect". Those that are 0 are left
    /// out.</summary>
    public SortedDictionary<string, int> Read()
    {
        SortedDictionary<string, int> counts = new(StringComparer.Ordinal);
        foreach ((string name, IReadOnlyList<ElementReading> set) in kernel.ReadCounters(NftFamily.Inet, Table).Sets
            .Where(set => set.Key.StartsWith(SetPrefix, StringComparison.Ordinal)))
        {
            foreach (ElementReading element in set)
            {
                Add($"{NftElements.GetName(element.Key.Items.AsSpan())} {name[SetPrefix.Length..]}", element.Count);
            }
        }

        foreach ((string name, PacketCount count) in kernel.ReadCounters(NftFamily.Netdev, Table).Objects)
        {
            if (name.StartsWith(SpoofPrefix, StringComparison.Ordinal))
            {
                string[] parts = name.Split('_', 3);
                Add($"{parts[2]} {parts[0]}_{parts[1]}", count);
            }
        }

        return counts;

        void Add(string key, PacketCount count)
        {
            if (count.Packets > 0)
            {
                counts[key] = (int)count.Packets;
            }
        }
    }

    public void Dispose() => kernel.Dispose();

    /// <summary>
    /// Packets dropped on their way from or to the device, in any table and for any reason. Unlike TCP's count of
    /// retransmissions, which also grows when a machine is slow, this counts losses alone.
    /// </summary>
    internal static int At(NetNamespace host, string device) =>
        Regex.Matches(host.Exec("nft", "list", "ruleset"), $"\"{Regex.Escape(device)}\" counter packets ([0-9]+)")
            .Sum(found => int.Parse(found.Groups[1].Value, CultureInfo.InvariantCulture));
}
