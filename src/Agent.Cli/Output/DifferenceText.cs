using Agent.V1;
using Google.Protobuf.Collections;

namespace Agent.Cli.Output;

/// <summary>The packets whose verdict changes: vNICs, and under them what is cut and what is opened.</summary>
internal static class DifferenceText
{
    /// <summary>Deciders in one cell; more are counted.</summary>
    private const int DecidersMax = 3;

    public static void Print(Screen screen, Difference difference)
    {
        Packets(screen, difference);
        if (difference.Sessions is SessionForecast sessions)
        {
            screen.Line();
            SessionText.Print(screen, sessions);
        }
    }

    private static void Packets(Screen screen, Difference difference)
    {
        if (difference.Changes.Count == 0)
        {
            screen.Line("no packet is judged differently");
            return;
        }

        screen.Line($"packets of {Count.Of(difference.ChangedVnics, "vNIC")} are judged differently");
        foreach (IGrouping<string, ChangedTraffic> vnics in difference.Changes.GroupBy(change => change.Vnics))
        {
            screen.Line();
            screen.Line((vnics.Key, Screen.Strong));
            screen.Table(
                ["direction", "verdict", "packets", "decided by"], [.. vnics.Select(Row)]);
        }

        if (difference.MoreChanges > 0)
        {
            screen.Line();
            screen.Line($"and {difference.MoreChanges} more lines; --limit shows more");
        }
    }

    private static Cell[] Row(ChangedTraffic change) =>
    [
        change.Direction == Direction.Ingress ? "ingress" : "egress",
        change.After == V1.Policy.Accept
            ? new Cell("drop -> accept", Screen.Warning) : new Cell("accept -> drop", Screen.Bad),
        change.Traffic,
        $"{Deciders(change.DecidedBefore)} -> {Deciders(change.DecidedAfter)}",
    ];

    private static string Deciders(RepeatedField<string> names) => string.Join(", ", names.Take(DecidersMax))
        + (names.Count > DecidersMax ? $" and {names.Count - DecidersMax} more" : "");
}
