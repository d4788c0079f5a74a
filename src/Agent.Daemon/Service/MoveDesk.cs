using System.Globalization;
using Agent.Contract;
using Agent.Daemon.Sessions;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.V1;
using Grpc.Core;
using SessionFate = Agent.Evaluator.Sessions.SessionFate;

namespace Agent.Daemon.Service;

/// <summary>Gives away the sessions of a guest that leaves, and takes those of one that comes.</summary>
/// <remarks>
/// Sessions come without a mark, so nothing here decides what passes: the kernel judges each by its next packet, by the
/// policy that is in force then. Judging them before keeps what would be cut out of the table. Imported sessions do not
/// count against the vNIC's limit, and end by the namespace's idle times: the kernel attaches both to a session's first
/// packet only.
/// </remarks>
internal sealed class MoveDesk(SessionWatch watch, SessionReading read, SessionOpening open, ILogger log)
{
    /// <summary>Sessions of one guest in one answer: 10 MB.</summary>
    private const int Most = 131_072;

    /// <summary>Faults and rules that are told.</summary>
    private const int Told = 20;

    /// <exception cref="RpcException">There is no such vNIC, or the table cannot be read.</exception>
    public async Task<ExportedSessions> ExportAsync(
        ExportSessionsRequest request, ulong revision, CancellationToken cancel)
    {
        (SessionJudge judge, Policy.Vnic vnic) = Find(request.Vnic);
        ExportedSessions answer = new();
        bool complete = await RunAsync(() => read.Whole(
            new FlowFilter { Zone = judge.ZoneOf(vnic) },
            () =>
            {
                answer = new ExportedSessions { VnicId = vnic.Id, Revision = revision, Left = new SessionsLeft() };
                var shown = new HashSet<uint>();
                return flow =>
                {
                    if (judge.Judge(flow.Tracked()) is { } session && Has(session, vnic) && shown.Add(flow.Id))
                    {
                        Add(flow, session, answer);
                    }
                };
            },
            cancel)).ConfigureAwait(false);
        answer.Complete = complete;
        log.SessionsExported(answer.Sessions.Count, vnic.Id);
        return answer;
    }

    /// <exception cref="RpcException">Something of the request is wrong: nothing is opened then.</exception>
    public async Task<ImportSessionsResponse> ImportAsync(ImportSessionsRequest request)
    {
        (SessionJudge judge, Policy.Vnic vnic) = Find(request.Vnic);
        if (judge.IsUnfollowing(vnic))
        {
            throw new RpcException(new Status(StatusCode.FailedPrecondition,
                $"vNIC '{vnic.Id}' does not follow the policy (see status): what it may keep is unknown"));
        }

        var answer = new ImportSessionsResponse();
        Flow[] admitted = [.. Admitted(request, judge, vnic, answer)];
        KernelError?[] said = await RunAsync(() => open(admitted)).ConfigureAwait(false);
        answer.Opened = (uint)said.Count(error => error is null);
        answer.Existing = (uint)said.Count(error => error?.Errno == KernelError.Eexist);
        answer.Failed = (uint)said.Length - answer.Opened - answer.Existing;
        answer.Failure = said.FirstOrDefault(error => error is { Errno: not KernelError.Eexist })?.ToString() ?? "";
        log.SessionsImported(vnic.Id, answer.Opened, answer.Refused, answer.Failed);
        return answer;
    }

    private static void Add(Flow flow, JudgedSession session, ExportedSessions answer)
    {
        if (session.Fate is not (SessionFate.Passes or SessionFate.Continues))
        {
            answer.Left.Cut++;
        }
        else if (!MovingSessions.IsCarried(flow.Original.Protocol))
        {
            answer.Left.Protocol++;
        }
        else if (flow.IsTranslated)
        {
            answer.Left.Translated++;
        }
        else if (answer.Sessions.Count == Most)
        {
            answer.Left.TooMany++;
        }
        else
        {
            answer.Sessions.Add(MovingSessions.Of(flow));
        }
    }

    private static IEnumerable<Flow> Admitted(
        ImportSessionsRequest request, SessionJudge judge, Policy.Vnic vnic, ImportSessionsResponse answer)
    {
        var faults = new List<string>();
        var sessions = new List<(Flow Flow, JudgedSession Judged)>();
        int count = request.Exported?.Sessions.Count ?? 0;
        if (count > Most)
        {
            faults.Add(string.Create(CultureInfo.InvariantCulture, $"exported.sessions: {count}, at most {Most}"));
            count = 0;
        }

        for (int i = 0; i < count; i++)
        {
            string path = string.Create(CultureInfo.InvariantCulture, $"exported.sessions[{i}]");
            if (MovingSessions.Read(request.Exported!.Sessions[i], judge.ZoneOf(vnic), path, faults) is not { } flow)
            {
                continue;
            }

            if (judge.Judge(flow.Tracked()) is { } session && Has(session, vnic))
            {
                sessions.Add((flow, session));
            }
            else
            {
                faults.Add($"{path}.packet: neither end is an address of vNIC '{vnic.Id}'");
            }
        }

        if (faults.Count > 0)
        {
            IEnumerable<string> told = faults.Take(Told).Prepend(string.Create(
                CultureInfo.InvariantCulture, $"nothing was opened, {faults.Count} faults:"));
            throw new RpcException(new Status(StatusCode.InvalidArgument, string.Join('\n', told)));
        }

        (Flow Flow, JudgedSession Judged)[] refused =
            [.. sessions.Where(one => one.Judged.Fate is not SessionFate.Continues)];
        answer.Refused = (uint)refused.Length;
        answer.Refusals.AddRange(refused
            .GroupBy(one => Refusal(one.Judged, vnic))
            .OrderByDescending(group => group.Count())
            .ThenBy(group => group.Key.Rule, StringComparer.Ordinal)
            .Take(Told)
            .Select(group => new SessionCut(group.Key) { Sessions = (ulong)group.Count() }));
        return sessions.Where(one => one.Judged.Fate is SessionFate.Continues).Select(one => one.Flow);
    }

    private static SessionCut Refusal(JudgedSession session, Policy.Vnic vnic)
    {
        SessionEnd end = session.CutBy ?? session.Ends.First(one => one.Vnic.Id == vnic.Id);
        return new SessionCut
        {
            VnicId = end.Vnic.Id,
            Direction = SnapshotWriter.DirectionOf(end.Direction),
            Reason = session.CutBy?.Verdict is { } verdict ? Explainer.ReasonOf(verdict.Reason) : "unknown",
            Rule = session.CutBy?.Verdict is { } rule ? Explainer.RuleOf(rule) : "",
        };
    }

    private static bool Has(JudgedSession session, Policy.Vnic vnic) =>
        session.Ends.Any(end => end.Vnic.Id == vnic.Id);

    private (SessionJudge Judge, Policy.Vnic Vnic) Find(string name) =>
        watch.Judge is { } judge && judge.FindVnic(name) is { } vnic
            ? (judge, vnic) : throw SessionMessages.NoVnic(name);

    // On another thread: netlink is synchronous.
    private static async Task<T> RunAsync<T>(Func<T> ask)
    {
        try
        {
            return await Task.Run(ask).ConfigureAwait(false);
        }
        catch (NetlinkException e)
        {
            throw new RpcException(new Status(
                StatusCode.FailedPrecondition, $"the session table does not answer: {e.Message}"));
        }
    }
}
