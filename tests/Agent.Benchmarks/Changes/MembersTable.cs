using System.Globalization;
using System.Text;
using Agent.Contract;
using Agent.V1;

namespace Agent.Benchmarks.Changes;

/// <summary>Many members at once, and one among few or many: what the kernel is told.</summary>
internal static class MembersTable
{
    public static string Run()
    {
        var text = new StringBuilder("""
            ## Members

            Loaded at once into a group of 8 that 20 vNICs' rules name, by one delta; the commit is the kernel's part,
            with the messages being written. Processor time; the first row warms up.

            | members | own | commit | messages | bytes |
            |---|--:|--:|--:|--:|

            """);
        foreach (int members in (int[])[12_000, 12_000, 65_520])
        {
            ChangeCost cost = Loaded(members);
            text.AppendLine(CultureInfo.InvariantCulture,
                $"| {members:N0} | {cost.OwnMilliseconds:F1} ms | {cost.Milliseconds[Stage.Commit]:F1} ms "
                + $"| {cost.Messages} | {cost.Bytes:N0} |");
        }

        text.AppendLine("""

            One more: netlink messages and bytes of adding one member, whatever the size of its group and the number of
            vNICs whose rules name it.

            | vNICs | 10 members | 1,000 | 65,520 |
            |---|--:|--:|--:|
            """);
        foreach (int vnics in (int[])[1, 20, 200])
        {
            IEnumerable<string> cells = ((int[])[10, 1000, 65_520]).Select(members => One(vnics, members));
            text.AppendLine(CultureInfo.InvariantCulture, $"| {vnics} | {string.Join(" | ", cells)} |");
        }

        return text.AppendLine().ToString();
    }

    private static ChangeCost Loaded(int members)
    {
        using var host = new ChangeHost(proves: false);
        Snapshot snapshot = SnapshotWriter.Write(BenchmarkHost.Of(20, 5, 20, 8));
        host.Load(snapshot);
        return host.Change(new FlowState(snapshot).Members(members));
    }

    private static string One(int vnics, int members)
    {
        using var host = new ChangeHost(proves: false);
        Snapshot snapshot = SnapshotWriter.Write(BenchmarkHost.Of(vnics, Math.Min(vnics, 20) + 1, 10, members));
        host.Load(snapshot);
        ChangeCost cost = host.Change(new FlowState(snapshot).Member(0));
        return string.Create(CultureInfo.InvariantCulture, $"{cost.Messages}, {cost.Bytes}");
    }
}
