using System.Globalization;
using System.Text;

namespace Agent.Fleet.Measuring;

/// <summary>What was measured, as a page with tables and charts beside it.</summary>
internal static class Report
{
    /// <param name="path">The page; charts stand in the same folder.</param>
    /// <param name="extent">How it was measured.</param>
    /// <param name="all">What was measured.</param>
    /// <param name="commit">Of the sources.</param>
    public static void Write(string path, Extent extent, IReadOnlyList<Figures> all, string commit)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "propagation.svg"), PropagationChart.Draw(
            "Agents that enforce a single change, after its write", [.. all.Select(one => Middle(one, one.Rounds))]));
        File.WriteAllText(Path.Combine(folder, "churn.svg"), PropagationChart.Draw(
            $"The same under {extent.ChurnPerSecond} changes/s", [.. all.Select(one => Middle(one, one.UnderChurn))]));
        File.WriteAllText(Path.Combine(folder, "failover.svg"), PropagationChart.Draw(
            "A change right after the leader was killed", [.. all.Select(one => new Curve(Name(one), one.Failover))]));
        File.WriteAllText(Path.Combine(folder, "resync.svg"), PropagationChart.Draw(
            "Snapshots to all agents after a controller's start",
            [.. all.Select(one => new Curve(Name(one), one.Storm))]));
        File.WriteAllText(path, Page(extent, all, commit));
    }

    private static string Page(Extent extent, IReadOnlyList<Figures> all, string commit)
    {
        var page = new StringBuilder();
        page.AppendLine(CultureInfo.InvariantCulture, $"""
            # A fleet under one controller

            Written by `make fleet` at commit {commit}, on {TimeProvider.System.GetUtcNow():yyyy-MM-dd}, with
            {Environment.ProcessorCount} processors for everything: etcd, the controllers (two processes, one of which
            leads) and all agents. The desired state of the region is in etcd; controllers keep nothing. Simulated
            agents are the daemon's service, loop, compiler and state file, without a kernel and without proofs, in one
            process; real ones are `sg-agentd` with proofs, each in a network namespace.

            Each host has two vNICs in three of 51 groups; a change is a member of the group that every host has. Times
            are from before the write to etcd until the revision is enforced.
            """);
        AddSingle(page, extent, all);
        AddChurn(page, extent, all);
        AddLosses(page, all);
        return page.ToString();
    }

    private static void AddSingle(StringBuilder page, Extent extent, IReadOnlyList<Figures> all)
    {
        page.AppendLine(CultureInfo.InvariantCulture, $"""

            ## A single change

            One after the other, {extent.Rounds} times.

            | agents | first | half of them | last, median | last, worst |
            |---|---|---|---|---|
            """);
        foreach (Figures one in all)
        {
            Row(page, one,
                Median(one.Rounds, round => round[0]), Median(one.Rounds, round => round[round.Length / 2]),
                Median(one.Rounds, round => round[^1]), Numbers.Show(one.Rounds.Max(round => round[^1])));
        }

        page.AppendLine().AppendLine("![](propagation.svg)");
    }

    private static void AddChurn(StringBuilder page, Extent extent, IReadOnlyList<Figures> all)
    {
        page.AppendLine(CultureInfo.InvariantCulture, $"""

            ## Under churn

            Members of the other groups come and go for {extent.ChurnTime.TotalSeconds:0} s, ten in a transaction;
            meanwhile single changes as above. Drained: from the last change until all agents have everything.
            {extent.ChurnPerSecond} a second are offered; where it is fewer, that is what these processors took.

            | agents | changes/s | half of them | last, median | last, worst | drained |
            |---|---|---|---|---|---|
            """);
        foreach (Figures one in all)
        {
            Row(page, one, one.ChurnRate.ToString("0", CultureInfo.InvariantCulture),
                Median(one.UnderChurn, round => round[round.Length / 2]), Median(one.UnderChurn, round => round[^1]),
                Numbers.Show(one.UnderChurn.Max(round => round[^1])), Numbers.Show(one.Drained));
        }

        page.AppendLine().AppendLine("![](churn.svg)");
    }

    private static void AddLosses(StringBuilder page, IReadOnlyList<Figures> all)
    {
        page.AppendLine(CultureInfo.InvariantCulture, $"""

            ## The leader dies; all begins anew

            Failover: a change right after the leading process was killed. Its lease lives on for up to
            {Control.Controller.LeaseLife.TotalSeconds:0} s; then the other loads the region and takes over, and each
            agent is resumed or gets a snapshot. Resync: no controller was there for a while, something changed for
            every host, and a new process starts, which knows nothing: each agent gets a snapshot. First connections
            are spread, and the snapshots under way are bounded.

            | agents | failover, half of them | failover, last | resync, half of them | resync, last |
            |---|---|---|---|---|
            """);
        foreach (Figures one in all)
        {
            Row(page, one, Numbers.Show(one.Failover[one.Failover.Length / 2]), Numbers.Show(one.Failover[^1]),
                Numbers.Show(one.Storm[one.Storm.Length / 2]), Numbers.Show(one.Storm[^1]));
        }

        page.AppendLine().AppendLine("![](failover.svg)").AppendLine().AppendLine("![](resync.svg)");
    }

    private static void Row(StringBuilder page, Figures one, params string[] cells) =>
        page.AppendLine($"| {Name(one)} | {string.Join(" | ", cells)} |");

    private static string Name(Figures one) =>
        string.Create(CultureInfo.InvariantCulture, $"{one.Agents} {(one.AreReal ? "real" : "simulated")}");

    private static string Median(IEnumerable<TimeSpan[]> rounds, Func<TimeSpan[], TimeSpan> pick) =>
        Numbers.Show(Numbers.Median(rounds.Select(pick)));

    /// <summary>The round whose last agent was in the middle.</summary>
    private static Curve Middle(Figures one, IReadOnlyList<TimeSpan[]> rounds) =>
        new(Name(one), rounds.OrderBy(round => round[^1]).ElementAt(rounds.Count / 2));
}
