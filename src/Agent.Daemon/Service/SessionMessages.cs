using Agent.Contract;
using Agent.Daemon.Sessions;
using Agent.Evaluator;
using Agent.Evaluator.Explaining;
using Agent.Evaluator.Sessions;
using Agent.Netlink.Conntrack;
using Agent.Policy;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>Sessions and passes over them as messages.</summary>
internal static class SessionMessages
{
    /// <summary>How many rules a report names.</summary>
    private const int TopCuts = 20;

    /// <summary>What a question about a vNIC that is not there is answered with.</summary>
    public static RpcException NoVnic(string name) =>
        new(new Status(StatusCode.NotFound, $"no vNIC '{name}' in the policy"));

    public static V1.SessionStatus Of(Flow flow, JudgedSession session)
    {
        var message = new V1.SessionStatus
        {
            Packet = PacketOf(flow.Tracked().Original),
            ConntrackZone = flow.Zone,
            State = flow.State(),
            EndsIn = Duration.FromTimeSpan(TimeSpan.FromSeconds(flow.TimeoutSeconds)),
            Age = session.Age switch
            {
                SessionAge.Live => V1.SessionAge.Live,
                SessionAge.Older => V1.SessionAge.Older,
                _ => V1.SessionAge.Unjudged,
            },
            Fate = session.Fate switch
            {
                SessionFate.Passes => V1.SessionFate.Passes,
                SessionFate.Continues => V1.SessionFate.Continues,
                SessionFate.Cut => V1.SessionFate.Cut,
                _ => V1.SessionFate.Unknown,
            },
        };
        if (flow.Count is { } count)
        {
            (message.Packets, message.Bytes) = (count.Packets, count.Bytes);
        }

        message.Ends.AddRange(session.Ends.Select(Side));
        return message;
    }

    /// <param name="tuple">Ports are 0 where there are none.</param>
    public static V1.Packet PacketOf(PacketTuple tuple) => new()
    {
        Source = IpPrefix.AddressOf(tuple.Family, tuple.Source).ToString(),
        Destination = IpPrefix.AddressOf(tuple.Family, tuple.Destination).ToString(),
        Protocol = PacketText.NameOf(tuple.Protocol),
        SourcePort = tuple.SourcePort,
        DestinationPort = tuple.DestinationPort,
    };

    public static V1.SessionPass Of(PassReport report)
    {
        var message = new V1.SessionPass
        {
            Revision = report.Revision,
            Time = report.Time.ToTimestamp(),
            Took = Duration.FromTimeSpan(report.Took),
            Judged = (ulong)report.Judged,
            Cut = (ulong)report.Cut,
            Complete = report.Complete,
        };
        message.TopCuts.AddRange(report.Cuts.Take(TopCuts).Select(Cut));
        return message;
    }

    /// <param name="forecast">What a change would cut.</param>
    /// <param name="limit">Lines.</param>
    public static V1.SessionForecast Of(CutForecast forecast, int limit)
    {
        var message = new V1.SessionForecast
        {
            Judged = (ulong)forecast.Judged,
            Cut = (ulong)forecast.Cut,
            Complete = forecast.Gap.Length == 0,
            Detail = forecast.Gap,
        };
        message.Cuts.AddRange(forecast.Cuts.Take(limit).Select(Cut));
        message.Sessions.AddRange(forecast.Sessions.Select(one => new V1.CutSession
        {
            Session = Of(one.Flow, one.Now),
            VnicId = one.By.VnicId,
            Direction = SnapshotWriter.DirectionOf(one.By.Direction),
            Reason = one.By.Reason,
            Rule = one.By.Rule,
        }));
        return message;
    }

    private static V1.SessionCut Cut(PassCut cut) => new()
    {
        VnicId = cut.VnicId,
        Direction = SnapshotWriter.DirectionOf(cut.Direction),
        Reason = cut.Reason,
        Rule = cut.Rule,
        Sessions = (ulong)cut.Sessions,
    };

    private static V1.SessionSide Side(SessionEnd end) => new()
    {
        VnicId = end.Vnic.Id,
        InterfaceName = end.Vnic.InterfaceName,
        Direction = SnapshotWriter.DirectionOf(end.Direction),
        Verdict = end.Accepts ? V1.Policy.Accept : V1.Policy.Drop,
        Reason = end.Verdict is { } verdict ? Explainer.ReasonOf(verdict.Reason) : "infrastructure",
        Rule = end.Verdict is { } rule ? Explainer.RuleOf(rule) : "",
    };
}
