using System.Globalization;
using System.Text.RegularExpressions;
using Agent.Nftables;
using Agent.TestNet;

namespace Agent.KernelTests.Sessions;

/// <summary>What the agent's own counters say was dropped, per vNIC, side and reason.</summary>
internal sealed class CountedDrops(NetNamespace host) : IDisposable
{
    private const string Table = "sg_agent";
    private const string DropPrefix = "n_";
    private const string SpoofPrefix = "spoof_";

    private readonly NftConnection kernel = host.Run(() => new NftConnection());

    /// <summary>By device, side and reason: "tap-e1 to_invalid", "tap-e1 spoof_redirect". Those that are 0 are left
    /// out.</summary>
    public SortedDictionary<string, int> Read()
    {
        SortedDictionary<string, int> counts = new(StringComparer.Ordinal);
        foreach ((string name, PacketCount count) in kernel.ReadCounters(NftFamily.Inet, Table).Objects)
        {
            if (name.StartsWith(DropPrefix, StringComparison.Ordinal))
            {
                string[] parts = name.Split('_', 4);
                Add($"{parts[3]} {(parts[2] == "out" ? "from" : "to")}_{parts[1]}", count);
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
        Regex.Matches(
            host.Exec("nft", "list", "counters"),
            $"counter n_[a-z]+_(?:in|out)_{Regex.Escape(device)} {{\\s+packets ([0-9]+)")
            .Sum(found => int.Parse(found.Groups[1].Value, CultureInfo.InvariantCulture));

    /// <summary>Packets dropped for one reason.</summary>
    internal static int Of(NetNamespace host, string reason, bool from, string device)
    {
        string listing = host.Exec(
            "nft", "list", "counter", "inet", Table, $"{DropPrefix}{reason}_{(from ? "out" : "in")}_{device}");
        Match found = Regex.Match(listing, "packets ([0-9]+)");
        Assert.True(found.Success, listing);
        return int.Parse(found.Groups[1].Value, CultureInfo.InvariantCulture);
    }
}
