using System.Globalization;
using System.Text.RegularExpressions;
using Agent.TestNet;

namespace Agent.KernelTests.Sessions;

/// <summary>What our tables say they dropped, read through nft.</summary>
/// <remarks>
/// Unlike TCP's count of retransmissions, which also grows when a machine is slow, this counts losses alone.
/// </remarks>
internal static class DropCounters
{
    /// <summary>Packets dropped on their way from or to the device, whatever the reason.</summary>
    internal static int At(NetNamespace host, string device) =>
        Regex.Matches(host.Exec("nft", "list", "ruleset"), $"\"{Regex.Escape(device)}\" counter packets ([0-9]+)")
            .Sum(found => int.Parse(found.Groups[1].Value, CultureInfo.InvariantCulture));
}
