using System.Globalization;
using Agent.Contract;
using Agent.V1;

namespace Agent.Benchmarks.Changes;

/// <summary>What changes cost, in this process and in the daemon.</summary>
internal static class ChangeBenchmarks
{
    public static void Trace(int vnics, int groups, int rules, int members, bool proves, int rounds)
    {
        using var host = new ChangeHost(proves);
        Snapshot snapshot = SnapshotWriter.Write(BenchmarkHost.Of(vnics, groups, rules, members));
        SecurityGroup big = snapshot.Groups.Single(group => group.Members.Count > 0);
        big.Rules.Remove(big.Rules.Single(rule => rule.GroupId == big.Id)); // none may name itself
        var state = new FlowState(snapshot);
        Show("load", host.Load(snapshot));
        for (int i = 0; i < rounds / 5; i++)
        {
            host.CompileAnew(remembers: false);
            host.CompileAnew(remembers: true);
        }

        foreach ((string name, Func<FlowState, int, Delta> step) in
            ((string, Func<FlowState, int, Delta>)[])[("member", (s, i) => s.Member(i)), ("rule", (s, i) => s.Rule(i))])
        {
            ChangeCost? last = null;
            for (int i = 0; i < rounds; i++)
            {
                last = host.Change(step(state, i));
            }

            Show(name, last!);
        }
    }

    private static void Show(string name, ChangeCost cost) => Console.WriteLine($"{name}: " + string.Join(", ",
        cost.Milliseconds.Select(pair => string.Create(CultureInfo.InvariantCulture,
            $"{pair.Key} {pair.Value:F2} ms {cost.Allocated[pair.Key] / 1024:N0} K")))
        + $"; {cost.Messages} messages, {cost.Bytes} bytes");
}
