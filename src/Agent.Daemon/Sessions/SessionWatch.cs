using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Evaluator.Sessions;
using Agent.Netlink.Conntrack;

namespace Agent.Daemon.Sessions;

/// <summary>
/// Follows the loop from outside: after each change that took something away, reads the session table once and says
/// how many sessions the change has cut, of which vNIC and by which rule.
/// </summary>
/// <remarks>
/// The loop never waits for it, and nothing is deleted: the commit itself has stopped what it forbids. The next such
/// change breaks a reading off and starts its own, which then counts for both.
/// </remarks>
/// <param name="next">Ends when a state newer than a version is there.</param>
/// <param name="read">Shows the sessions.</param>
/// <param name="config">Configuration.</param>
/// <param name="clock">Time.</param>
/// <param name="log">Log.</param>
/// <param name="metrics">Metrics.</param>
internal sealed class SessionWatch(
    Func<long, CancellationToken, Task<AgentState>> next, SessionReading read, DaemonConfig config, TimeProvider clock,
    ILogger log, AgentMetrics metrics)
{
    /// <summary>200,000 sessions take a second or two; what takes longer than this is reported in part.</summary>
    private static readonly TimeSpan PassTime = TimeSpan.FromMinutes(1);

    private AgentState inForce = AgentState.Initial;
    private SessionJudge? previous;
    private volatile SessionJudge? judge;
    private volatile PassReport? lastPass;

    /// <summary>The policy before the first change that no pass has counted yet; null: all are counted.</summary>
    private SessionJudge? uncounted;

    /// <summary>Judges by the policy in force; null before there is one.</summary>
    public SessionJudge? Judge => judge;

    /// <summary>Null before the first.</summary>
    public PassReport? LastPass => lastPass;

    /// <summary>Follows until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        Task pass = Task.CompletedTask;
        CancellationTokenSource? passing = null;
        try
        {
            for (AgentState state = AgentState.Initial; ;)
            {
                state = await next(state.Version, cancel).ConfigureAwait(false);
                if (!Follow(state))
                {
                    continue;
                }

                passing?.Cancel();
                await pass.ConfigureAwait(false);
                passing?.Dispose();
                passing = CancellationTokenSource.CreateLinkedTokenSource(cancel);
                CancellationToken token = passing.Token;
                SessionJudge before = uncounted ??= previous!;
                SessionJudge now = judge!;
                pass = Task.Run(() => Pass(before, now, state.AppliedRevision, token), CancellationToken.None);
            }
        }
        catch (OperationCanceledException)
        {
            await pass.ConfigureAwait(false);
        }
        finally
        {
            passing?.Dispose();
        }
    }

    /// <summary>Takes a state as the one in force, if it is.</summary>
    /// <returns>True if live sessions must be judged again since the last one.</returns>
    private bool Follow(AgentState state)
    {
        if (state.AppliedRevision == 0 || state.AppliedRevision != state.Desired.Revision)
        {
            return false; // between a revision's acceptance and its commit, or not committed at all
        }

        AgentState before = inForce;
        inForce = state;
        previous = judge;
        if (judge is null || !ReferenceEquals(before.Desired, state.Desired) || before.Epoch != state.Epoch
            || before.Failed != state.Failed || before.Zones != state.Zones)
        {
            judge = new SessionJudge(state.Desired, config.Semantics, new SessionJudgeFacts
            {
                Zones = state.Zones,
                EpochMask = config.Compiler.EpochMask,
                Epoch = state.Epoch,
                Unfollowing = state.Failed.Keys.ToHashSet(StringComparer.Ordinal),
            });
        }

        return previous is not null && before.Epoch != state.Epoch;
    }

    private void Pass(SessionJudge before, SessionJudge now, ulong revision, CancellationToken cancel)
    {
        long started = clock.GetTimestamp();
        using var limit = new CancellationTokenSource(PassTime, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, limit.Token);
        var tally = new PassTally(before, now);
        bool complete = false;
        try
        {
            complete = read.Whole(FlowFilter.All, Begin, either.Token);
        }
        catch (OperationCanceledException)
        {
            if (cancel.IsCancellationRequested)
            {
                return; // the next pass counts this change too
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // A pass is a report: that there is none must not end the watch.
            log.SessionsUnread(e.Message);
            return;
        }

        var report = new PassReport(
            revision, clock.GetUtcNow(), clock.GetElapsedTime(started), tally.Judged, tally.Cuts, complete);
        uncounted = null;
        lastPass = report;
        metrics.SessionsCut(report, now.Vnics.ContainsKey);
        log.SessionsJudged(revision, report.Judged, report.Cut, report.Took.TotalMilliseconds, complete,
            string.Join(", ", report.Cuts.Take(3).Select(cut => $"{cut.VnicId} {cut.Reason} {cut.Rule}".TrimEnd())));

        Action<Flow> Begin()
        {
            PassTally anew = tally = new PassTally(before, now);
            return flow => anew.Add(flow.Tracked());
        }
    }
}
