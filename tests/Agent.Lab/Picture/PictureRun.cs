using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.Lab.Picture;

/// <summary>
/// What <c>make picture</c> does: traffic, changes and a foreign hand in the lab, a real Prometheus that scrapes the
/// daemon, and the host's dashboard with what it answers.
/// </summary>
internal sealed partial class PictureRun(TestNetwork network, DaemonProcess daemon)
{
    /// <summary>A dashboard's rates are over five minutes, which a minute of traffic does not have.</summary>
    private const string RateWindow = "10s";

    private static readonly TimeSpan RateTime = TimeSpan.FromSeconds(10);

    /// <summary>Tenths of a step in which Prometheus has to come up.</summary>
    private const int StartSteps = 150;

    private static readonly TimeSpan Step = TimeSpan.FromSeconds(2);

    private readonly SecurityGroupAgent.SecurityGroupAgentClient client = new(daemon.Channel);

    /// <param name="boardPath">The dashboard.</param>
    /// <param name="length">Of the time axis; at least some seconds.</param>
    /// <param name="cancelled">Ctrl-C.</param>
    /// <returns>The picture.</returns>
    internal async Task<string> DrawAsync(string boardPath, TimeSpan length, CancellationToken cancelled)
    {
        Board board = Board.Read(boardPath);
        using PrometheusServer prometheus = new(network.Host, "groups: []\n");
        for (int i = 0; !await prometheus.HasAsync("up == 1"); i++)
        {
            await Task.Delay(Step / 10, cancelled);
            if (i == StartSteps)
            {
                throw new TimeoutException("no Prometheus answers; make picture unpacks one into .cache");
            }
        }

        // Rates need a past, so the time axis begins later than the traffic.
        DateTimeOffset from = TimeProvider.System.GetUtcNow() + RateTime;
        await ActAsync(length, cancelled);
        var answers = new List<IReadOnlyList<BoardSeries>>();
        foreach (BoardPanel panel in board.Panels)
        {
            var series = new List<BoardSeries>();
            foreach (BoardQuery query in panel.Queries)
            {
                JsonArray found = await prometheus.QueryAsync(
                    query.Expression.Replace("$instance", "127.0.0.1:9477", StringComparison.Ordinal)
                        .Replace("[5m]", $"[{RateWindow}]", StringComparison.Ordinal),
                    from, from + length, Step);
                series.AddRange(found.Select(one => SeriesOf(one!, query.Legend, from)));
            }

            answers.Add([.. series.Where(one => one.Points.Count > 0)]);
        }

        string about = string.Create(CultureInfo.InvariantCulture,
            $"make picture, {from.UtcDateTime:yyyy-MM-dd HH:mm} UTC, the lab under traffic, rates over {RateWindow}");
        return new BoardSvg(length.TotalSeconds).Draw(board, answers, about);
    }

    /// <summary>Something for every panel: traffic, a storm, changes, and a table that others damage.</summary>
    private async Task ActAsync(TimeSpan length, CancellationToken cancelled)
    {
        IReadOnlyDictionary<string, Guest> guests = network.Guests;
        using Flood both = Between(guests["web1"], guests["web2"], 400, FloodDirections.Both);
        using Flood half = Between(guests["web3"], guests["web1"], 150, FloodDirections.Forward);
        using Flood refused = Between(guests["db1"], guests["db2"], 80, FloodDirections.Forward);
        await Task.Delay(RateTime + (length / 4), cancelled);
        using (Flood storm = Between(network.Outsider, guests["web3"], 300, FloodDirections.Forward))
        {
            await ChangeAsync(cancelled);
            network.Host.Exec("nft", "flush", "chain", "inet", "sg_agent", "sg_forward");
            await Task.Delay(length / 4, cancelled);
            await ChangeAsync(cancelled);
        }

        await Task.Delay(length / 4, cancelled);
        await ChangeAsync(cancelled);
        await Task.Delay(length / 4, cancelled);
    }

    private static Flood Between(
        NetworkEndpoint from, NetworkEndpoint to, int perSecond, FloodDirections directions) => Flood.StartUdp(
            new UdpPath(from, new IPEndPoint(from.V4, PortNumbers.Next()), to,
                new IPEndPoint(to.V4, PortNumbers.Next())),
            perSecond, directions);

    /// <summary>A rule more in each of the groups.</summary>
    private async Task ChangeAsync(CancellationToken cancelled)
    {
        Snapshot state = await client.GetStateAsync(new GetStateRequest(), cancellationToken: cancelled);
        foreach (SecurityGroup group in state.Groups)
        {
            Rule more = group.Rules[0].Clone();
            more.Id = $"more-{group.Rules.Count}";
            more.Protocol = "udp";
            more.PortRange = $"{9000 + group.Rules.Count}/{9000 + group.Rules.Count}";
            group.Rules.Add(more);
        }

        await client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = state, NextRevision = true }, cancellationToken: cancelled);
    }

    private static BoardSeries SeriesOf(JsonNode series, string legend, DateTimeOffset from)
    {
        JsonObject labels = series["metric"]!.AsObject();
        string name = Label().Replace(legend, match => (string?)labels[match.Groups[1].Value] ?? "");
        return new BoardSeries(name,
        [
            .. series["values"]!.AsArray()
                .Select(pair => ((double)pair![0]! - from.ToUnixTimeSeconds(),
                    double.Parse((string)pair[1]!, CultureInfo.InvariantCulture)))
                .Where(point => double.IsFinite(point.Item2)),
        ]);
    }

    [GeneratedRegex(@"\{\{\s*(\w+)\s*\}\}")]
    private static partial Regex Label();
}
