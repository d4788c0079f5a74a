using System.Globalization;
using Agent.Cli.Live;
using Agent.V1;
using Spectre.Console;

namespace Agent.Cli.Output;

/// <summary>A column of a table.</summary>
/// <param name="Title">Its head.</param>
/// <param name="Worth">Where there is no room for all, the least worth goes first.</param>
/// <param name="Of">A row's cell.</param>
internal sealed record TopColumn<T>(string Title, int Worth, Func<T, Cell> Of);

/// <summary>A session and the vNIC that sees it so.</summary>
internal readonly record struct TopRow(string VnicId, Talker Talker);

/// <summary>What vNICs carry and who talks most, for people.</summary>
internal static class TopText
{
    private const int Gap = 2;

    private static readonly TopColumn<VnicTraffic>[] VnicColumns =
    [
        new("vnic", 9, vnic => vnic.VnicId),
        new("in bit/s", 8, vnic => Count.Rate(vnic.Ingress.BitsPerSecond)),
        new("out bit/s", 8, vnic => Count.Rate(vnic.Egress.BitsPerSecond)),
        new("in pkt/s", 5, vnic => Count.Rate(vnic.Ingress.PacketsPerSecond)),
        new("out pkt/s", 5, vnic => Count.Rate(vnic.Egress.PacketsPerSecond)),
        new("drops/s", 7, vnic => new Cell(Count.Rate(Drops(vnic)), Drops(vnic) > 0 ? Screen.Bad : Screen.Plain)),
        new("mostly", 4, Reason),
        new("sessions", 6, vnic => vnic.Sessions.ToString(CultureInfo.InvariantCulture)),
        new("new/s", 3, vnic => vnic.HasNewSessionsPerSecond ? Count.Rate(vnic.NewSessionsPerSecond) : "?"),
    ];

    private static readonly TopColumn<TopRow>[] TalkerColumns =
    [
        new("session", 9, row => SessionText.Ends(row.Talker.Packet)),
        new("vnic", 6, row => row.VnicId),
        new("opened", 2, row => row.Talker.Direction == Direction.Ingress ? "in" : "out"),
        new("remote", 3, row => row.Talker.RemoteVnicId.Length > 0
            ? row.Talker.RemoteVnicId : string.Join(' ', row.Talker.RemoteGroupIds)),
        new("in bit/s", 8, row => Number(row.Talker.Received, count => Count.Rate(count.BitsPerSecond))),
        new("out bit/s", 8, row => Number(row.Talker.Sent, count => Count.Rate(count.BitsPerSecond))),
        new("pkt/s", 5, row => Number(row.Talker.Sent, count => Count.Rate(Packets(row.Talker)))),
        new("bytes", 7, row => Number(row.Talker.Sent, count => Count.Bytes(count.Bytes + row.Talker.Received.Bytes))),
        new("age", 4, row => row.Talker.Age is { } age ? Count.Age(age.ToTimeSpan()) : "?"),
        new("state", 1, row => row.Talker.State),
    ];

    /// <summary>All of it, once.</summary>
    public static void Print(Screen screen, TopReport report, TopSort sort, int talkers)
    {
        screen.Line((Headline(report), Screen.Strong));
        foreach (string note in report.Notes)
        {
            screen.Line(("note: ", Screen.Warning), (note, Screen.Plain));
        }

        if (report.Vnics.Count > 0)
        {
            screen.Line();
            Print(screen, VnicColumns, [.. Sorted(report, sort)]);
        }

        TopRow[] rows = [.. Talkers(report.Vnics, sort).Take(talkers)];
        if (rows.Length > 0)
        {
            screen.Line();
            Print(screen, TalkerColumns, rows);
        }
    }

    /// <summary>"2026-11-29 15:20:11 UTC, over 2.0 s: 5 vNICs, 120 sessions".</summary>
    public static string Headline(TopReport report) => string.Create(CultureInfo.InvariantCulture,
        $"{Count.Moment(report.Time)}, over {report.Interval.ToTimeSpan().TotalSeconds:0.0} s: ")
        + $"{Count.Of(report.Vnics.Count, "vNIC")}, {Count.Of((long)report.Sessions, "session")}";

    /// <summary>vNICs, the first first.</summary>
    public static IEnumerable<VnicTraffic> Sorted(TopReport report, TopSort sort) => report.Vnics
        .OrderByDescending(vnic => sort switch
        {
            TopSort.Packets => vnic.Ingress.PacketsPerSecond + vnic.Egress.PacketsPerSecond,
            TopSort.Drops => Drops(vnic),
            TopSort.Sessions => vnic.NewSessionsPerSecond,
            _ => vnic.Ingress.BitsPerSecond + vnic.Egress.BitsPerSecond,
        })
        .ThenByDescending(vnic => sort == TopSort.Sessions ? vnic.Sessions : 0)
        .ThenBy(vnic => vnic.VnicId, StringComparer.Ordinal);

    /// <summary>
    /// Sessions of vNICs in one list, each once: one between two of them as the vNIC that opened it sees it.
    /// </summary>
    public static IEnumerable<TopRow> Talkers(IEnumerable<VnicTraffic> vnics, TopSort sort) => vnics
        .SelectMany(vnic => vnic.Talkers.Select(talker => new TopRow(vnic.VnicId, talker)))
        .OrderByDescending(row => sort switch
        {
            TopSort.Packets => Packets(row.Talker),
            TopSort.Bytes => (row.Talker.Sent?.Bytes + row.Talker.Received?.Bytes) ?? 0,
            _ => (row.Talker.Sent?.BitsPerSecond + row.Talker.Received?.BitsPerSecond) ?? 0,
        })
        .ThenBy(row => row.Talker.Direction == Direction.Ingress)
        .DistinctBy(row => row.Talker.Direction == Direction.Ingress
            ? (row.Talker.Packet, row.Talker.RemoteVnicId, row.VnicId)
            : (row.Talker.Packet, row.VnicId, row.Talker.RemoteVnicId));

    /// <summary>The vNICs' table in so many columns of text.</summary>
    /// <param name="screen">Where it goes.</param>
    /// <param name="rows">What is shown.</param>
    /// <param name="width">Columns of the terminal.</param>
    /// <param name="mark">The row that is chosen; null: none.</param>
    public static void Print(Screen screen, IReadOnlyList<VnicTraffic> rows, int width, string? mark)
    {
        TopColumn<VnicTraffic> marks = new("", 10, vnic => vnic.VnicId == mark ? ">" : "");
        Print(screen, [.. Fitting([marks, .. VnicColumns], rows, width)], rows);
    }

    /// <summary>The sessions' table in so many columns of text.</summary>
    public static void Print(Screen screen, IReadOnlyList<TopRow> rows, int width) =>
        Print(screen, [.. Fitting(TalkerColumns, rows, width)], rows);

    /// <summary>Leaves out the least worth until the rest fits.</summary>
    private static List<TopColumn<T>> Fitting<T>(
        IEnumerable<TopColumn<T>> columns, IReadOnlyList<T> rows, int width)
    {
        List<(TopColumn<T> Column, int Width)> left = [.. columns.Select(column => (column,
            rows.Select(row => Screen.Visible(column.Of(row).Text).GetCellWidth())
                .Append(column.Title.Length).Max()))];
        while (left.Count > 1 && left.Sum(one => one.Width) + (Gap * (left.Count - 1)) > width)
        {
            left.Remove(left.MinBy(one => one.Column.Worth));
        }

        return [.. left.Select(one => one.Column)];
    }

    private static void Print<T>(Screen screen, TopColumn<T>[] columns, IReadOnlyList<T> rows) => screen.Table(
        [.. columns.Select(column => column.Title)],
        [.. rows.Select(row => columns.Select(column => column.Of(row)).ToArray())]);

    private static double Drops(VnicTraffic vnic) => vnic.Ingress.DropsPerSecond + vnic.Egress.DropsPerSecond;

    private static Cell Reason(VnicTraffic vnic) => Drops(vnic) == 0 ? ""
        : vnic.Ingress.DropsPerSecond > vnic.Egress.DropsPerSecond
        ? $"in {vnic.Ingress.TopDropReason}" : $"out {vnic.Egress.TopDropReason}";

    private static double Packets(Talker talker) =>
        (talker.Sent?.PacketsPerSecond + talker.Received?.PacketsPerSecond) ?? 0;

    // Not counted is not zero.
    private static string Number(TalkerCount? count, Func<TalkerCount, string> text) =>
        count is null ? "?" : text(count);
}
