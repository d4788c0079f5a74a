using System.Globalization;

namespace Agent.Nftables;

/// <summary>nft src/rule.c: priorities are printed by the nearest name within ten.</summary>
internal static class NftPriorityText
{
    private const int Reach = 10;

    private static readonly (string Name, int Priority, NftHook? Only)[] Standard =
    [
        ("raw", -300, null),
        ("mangle", -150, null),
        ("dstnat", -100, NftHook.Prerouting),
        ("filter", 0, null),
        ("security", 50, null),
        ("srcnat", 100, NftHook.Postrouting),
    ];

    private static readonly (string Name, int Priority, NftHook? Only)[] Bridge =
    [
        ("dstnat", -300, NftHook.Prerouting),
        ("filter", -200, null),
        ("out", 100, NftHook.Output),
        ("srcnat", 300, NftHook.Postrouting),
    ];

    private static readonly (string Name, int Priority, NftHook? Only)[] Netdev = [("filter", 0, null)];

    internal static string Print(NftFamily family, BaseHook hook)
    {
        (string Name, int Priority, NftHook? Only)[] names = family switch
        {
            NftFamily.Bridge => Bridge,
            NftFamily.Netdev => Netdev,
            _ => Standard,
        };
        foreach ((string name, int priority, NftHook? only) in names)
        {
            long distance = (long)hook.Priority - priority;
            if (Math.Abs(distance) <= Reach && (only is null || only == hook.Hook))
            {
                return distance == 0 ? name
                    : string.Create(
                        CultureInfo.InvariantCulture, $"{name} {(distance < 0 ? '-' : '+')} {Math.Abs(distance)}");
            }
        }

        return hook.Priority.ToString(CultureInfo.InvariantCulture);
    }
}
