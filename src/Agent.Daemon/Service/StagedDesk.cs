using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Contract;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Sessions;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Daemon.Service;

/// <summary>Reads the counters of tables.</summary>
/// <returns>One for each table.</returns>
/// <exception cref="NetlinkException">They cannot be read.</exception>
internal delegate IReadOnlyList<CounterReadings> CounterReading(Ruleset tables);

/// <summary>Says what a change would do to packets and to sessions; and, if it is staged, what it would have done.
/// </summary>
/// <remarks>Beside the loop, and one question at a time: each walks the kernel's whole session table.</remarks>
/// <param name="counters">Reads counters.</param>
/// <param name="sessions">Shows sessions.</param>
/// <param name="config">Configuration.</param>
internal sealed class StagedDesk(CounterReading counters, SessionReading sessions, DaemonConfig config) : IDisposable
{
    /// <summary>Lines of each list, unless it is said otherwise.</summary>
    private const uint DefaultLimit = 100;

    private readonly SemaphoreSlim turn = new(1);

    /// <summary>The counters of the network namespace that the daemon runs in.</summary>
    public static IReadOnlyList<CounterReadings> ReadKernel(Ruleset tables)
    {
        using var connection = new NftConnection();
        return [.. tables.Tables.Select(table => connection.ReadCounters(table.Family, table.Name))];
    }

    /// <summary>What would be judged otherwise, and which sessions would be cut.</summary>
    /// <param name="state">What is held.</param>
    /// <param name="after">What would be.</param>
    /// <param name="compiled">The same, compiled.</param>
    /// <param name="limit">Lines of each list; 0: the default.</param>
    /// <param name="cancel">Gives up.</param>
    public async Task<Difference> DifferenceAsync(
        AgentState state, PolicySnapshot after, CompiledRuleset compiled, uint limit, CancellationToken cancel)
    {
        await turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            return await Task.Run(() => Difference(state, after, compiled, limit, cancel), cancel)
                .ConfigureAwait(false);
        }
        finally
        {
            turn.Release();
        }
    }

    /// <summary>What is staged, and what it would have done so far.</summary>
    public async Task<StagedReport> ReportAsync(AgentState state, uint limit, CancellationToken cancel)
    {
        if (state.Staged is not { } staged)
        {
            return new StagedReport();
        }

        var report = new StagedReport
        {
            Staged = true,
            Revision = staged.Policy.Revision,
            StateHash = ByteString.CopyFrom(staged.Hash),
            Since = staged.Since.ToTimestamp(),
            StagedOnRevision = staged.OnRevision,
            HeldRevision = state.Desired.Revision,
            Difference = await DifferenceAsync(state, staged.Policy, staged.Compiled, limit, cancel)
                .ConfigureAwait(false),
        };
        report.Warnings.AddRange(staged.Warnings);
        report.FailedVnics.AddRange(Answers.Failed(staged.Policy, staged.Compiled.Failed));
        report.MassChange = staged.MassChange is { } change ? MassChangeMessages.Of(state, change) : null;
        if (staged.Uncounted.Length > 0)
        {
            report.Uncounted = staged.Uncounted;
            return report;
        }

        try
        {
            AddCounts(report, state, staged, (int)Lines(limit));
        }
        catch (NetlinkException e)
        {
            report.Uncounted = $"the staged table cannot be read: {e.Message}";
        }

        return report;
    }

    public void Dispose() => turn.Dispose();

    private static uint Lines(uint limit) => limit == 0 ? DefaultLimit : Math.Min(limit, int.MaxValue);

    private void AddCounts(StagedReport report, AgentState state, StagedPolicy staged, int limit)
    {
        IReadOnlyList<CounterReadings> read = counters(staged.Shadow.Ruleset);
        StagedRule[] rules =
        [
            .. staged.Shadow.Counts(read)
                .Select(count => Rule(count, count.VnicId is string id
                    ? staged.Policy.Vnics.GetValueOrDefault(id) ?? state.Desired.Vnics.GetValueOrDefault(id) : null))
                .OrderByDescending(rule => rule.ChangedPackets),
        ];
        report.Rules.AddRange(rules.Take(limit));
        report.MoreRules = (uint)(rules.Length - report.Rules.Count);
        report.MarkedPackets = StagedRuleset.Marked(read).Packets;
    }

    // What others have marked is counted behind the policy in force only; and a reading takes time.
    private static StagedRule Rule(StagedCount count, Policy.Vnic? vnic)
    {
        (string reason, string subject) = Compiler.RankedRule.Parts(count.DecidedBy);
        bool accepts = count.Verdict == Verdict.Accept;
        PacketCount all = count.All.Packets > count.Passed.Packets ? count.All : count.Passed;
        return new StagedRule
        {
            VnicId = count.VnicId ?? "",
            InterfaceName = vnic?.InterfaceName ?? "",
            Direction = SnapshotWriter.DirectionOf(count.Direction),
            Policy = SnapshotWriter.PolicyOf(count.Verdict),
            Reason = reason,
            Rule = reason is "rule" or "inner" ? subject : "",
            Packets = all.Packets,
            Bytes = all.Bytes,
            PassedPackets = count.Passed.Packets,
            PassedBytes = count.Passed.Bytes,
            OpenedSessions = count.Opened,
            ChangedPackets = accepts ? all.Packets - count.Passed.Packets : count.Passed.Packets,
        };
    }

    private Difference Difference(
        AgentState state, PolicySnapshot after, CompiledRuleset compiled, uint limit, CancellationToken cancel)
    {
        Difference difference = DifferenceReport.Between(state.Desired, after, config.Semantics, limit);
        CutForecast forecast = Enforcer.TakesAway(state.Enforced, compiled, config.OnChange == OnChange.Keep)
            ? CutForecast.Of(
                Judge(state.Desired, state.Zones, state.Epoch, state.Failed.Keys),
                Judge(after, compiled.Zones, epoch: 0, compiled.Failed.Keys),
                sessions, (int)Lines(limit), cancel)
            : CutForecast.Nothing;
        difference.Sessions = SessionMessages.Of(forecast, (int)Lines(limit));
        return difference;
    }

    // No session carries epoch 0 and counts as judged: after the change, all that were admitted are older ones.
    private SessionJudge Judge(
        PolicySnapshot policy, IReadOnlyDictionary<string, ushort> zones, uint epoch, IEnumerable<string> failed) =>
        new(policy, config.Semantics, new SessionJudgeFacts
        {
            Zones = zones,
            EpochMask = config.Compiler.EpochMask,
            Epoch = epoch,
            Unfollowing = failed.ToImmutableHashSet(StringComparer.Ordinal),
        });
}
