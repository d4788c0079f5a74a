using System.Collections.Frozen;
using System.Globalization;
using Agent.Contract;
using Agent.Daemon.Top;
using Agent.Evaluator.Sessions;
using Agent.Netlink.Conntrack;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>Streams what vNICs carry and who talks most.</summary>
internal sealed class TopDesk(TopWatch watch, TimeProvider clock)
{
    /// <exception cref="RpcException">The request is none, or there are too many who watch.</exception>
    public async Task WatchAsync(
        WatchTopRequest request, IServerStreamWriter<TopReport> to, CancellationToken cancel)
    {
        TopQuestion question = TopQuestion.Of(request);
        using IDisposable place = watch.TryEnter() ?? throw new RpcException(new Status(
            StatusCode.FailedPrecondition, $"{TopWatch.WatchersMax} watch already; try again when one has ended"));
        TimeSpan fresh = question.Interval / 2;
        TopLook look = await watch.LookAsync(since: null, fresh).WaitAsync(cancel).ConfigureAwait(false);
        TopChoice choice = question.Choose(look.Judge);
        if (watch.Before(look) is { } earlier && Between(earlier, look) < question.Interval * 2)
        {
            await to.WriteAsync(Report(earlier, look, choice), cancel).ConfigureAwait(false); // others have watched
        }

        while (true)
        {
            TimeSpan left = question.Interval - clock.GetElapsedTime(look.At);
            await Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero, clock, cancel).ConfigureAwait(false);
            TopLook next = await watch.LookAsync(look, fresh).WaitAsync(cancel).ConfigureAwait(false);
            await to.WriteAsync(Report(look, next, choice), cancel).ConfigureAwait(false);
            look = next;
        }
    }

    private TimeSpan Between(TopLook before, TopLook now) => clock.GetElapsedTime(before.At, now.At);

    private TopReport Report(TopLook before, TopLook now, TopChoice choice)
    {
        TimeSpan interval = Between(before, now);
        TimeSpan counted = clock.GetElapsedTime(before.CountersAt, now.CountersAt);
        var ranking = new TopRanking(
            before, now, interval.TotalSeconds, (counted > TimeSpan.Zero ? counted : interval).TotalSeconds);
        bool counting = ConntrackSysctls.IsCounting(ConntrackSysctls.Directory);
        return TopMessages.Of(now, interval, counting, ranking.Of(choice));
    }
}

/// <summary>What a request asks for.</summary>
/// <param name="Names">vNICs, by id or interface; none: all.</param>
/// <param name="Interval">Between two reports.</param>
/// <param name="Talkers">Of each vNIC.</param>
/// <param name="Order">Which.</param>
internal sealed record TopQuestion(
    IReadOnlyList<string> Names, TimeSpan Interval, int Talkers, TalkerOrder Order)
{
    private const int TalkersMax = 100;

    private static readonly TimeSpan Usual = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Least = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Most = TimeSpan.FromHours(1);

    /// <exception cref="RpcException">It says what cannot be.</exception>
    public static TopQuestion Of(WatchTopRequest request)
    {
        TimeSpan interval = request.Interval is { } asked ? SpanOf(asked) : Usual;
        return interval < Least || interval > Most ? throw Wrong("an interval is 1 s to an hour")
            : request.Talkers > TalkersMax ? throw Wrong($"at most {TalkersMax} talkers of each vNIC are shown")
            : new TopQuestion([.. request.Vnics], interval, (int)request.Talkers, request.Order switch
            {
                TopOrder.Packets => TalkerOrder.Packets,
                TopOrder.Bytes => TalkerOrder.Bytes,
                _ => TalkerOrder.Bits,
            });
    }

    /// <exception cref="RpcException">There is no such vNIC.</exception>
    public TopChoice Choose(SessionJudge? judge)
    {
        IReadOnlySet<string>? vnics = Names.Count == 0 ? null : Names
            .Select(name => judge?.FindVnic(name)?.Id ?? throw SessionMessages.NoVnic(name))
            .ToFrozenSet(StringComparer.Ordinal);
        return new TopChoice(vnics, Talkers, Order);
    }

    // What no TimeSpan can be is longer than we take.
    private static TimeSpan SpanOf(Duration asked) => asked.Seconds is < 0 or > int.MaxValue
        ? TimeSpan.MaxValue : TimeSpan.FromSeconds(asked.Seconds) + TimeSpan.FromMicroseconds(asked.Nanos / 1000);

    private static RpcException Wrong(string what) => new(new Status(StatusCode.InvalidArgument, what));
}

/// <summary>Rates and ranks as messages.</summary>
internal static class TopMessages
{
    public static TopReport Of(TopLook look, TimeSpan interval, bool counting, IReadOnlyList<VnicTop> vnics)
    {
        var report = new TopReport
        {
            Time = look.Time.ToTimestamp(),
            Interval = Duration.FromTimeSpan(interval),
            Counted = counting,
            Sessions = (ulong)look.SessionCount,
            UncountedSessions = (ulong)look.UncountedCount,
            FloorBytes = look.Sessions.FloorBytes,
        };
        report.Notes.AddRange(Notes(look, counting));
        report.Vnics.AddRange(vnics.Select(vnic => Of(look, vnic)));
        return report;
    }

    private static IEnumerable<string> Notes(TopLook look, bool counting)
    {
        if (look.Gap.Length > 0)
        {
            yield return $"not all sessions were read: {look.Gap}";
        }

        if (!counting)
        {
            yield return "the kernel does not count what sessions carry: set conntrack.accounting of the agent, or"
                + " sysctl net.netfilter.nf_conntrack_acct=1; it then counts sessions that begin afterwards";
        }

        if (look.UncountedCount > 0)
        {
            yield return string.Create(CultureInfo.InvariantCulture,
                $"{look.UncountedCount} of {look.SessionCount} sessions have no counts, because they began without;"
                + $" they come last, those with the most time left first");
        }

        if (look.Sessions.IsPartial)
        {
            yield return string.Create(CultureInfo.InvariantCulture,
                $"more sessions than sessions.compared: those that carried less than {look.Sessions.FloorBytes} B in"
                + $" all are left out");
        }
    }

    private static VnicTraffic Of(TopLook look, VnicTop top)
    {
        var message = new VnicTraffic
        {
            VnicId = top.Vnic.Id,
            InterfaceName = top.Vnic.InterfaceName,
            Ingress = Of(top.Ingress),
            Egress = Of(top.Egress),
            Sessions = (ulong)top.Sessions,
        };
        if (top.NewSessions is double begun)
        {
            message.NewSessionsPerSecond = begun;
        }

        message.Talkers.AddRange(top.Talkers.Select(talker => Of(look, top.Vnic, talker)));
        return message;
    }

    private static V1.TrafficRate Of(Top.TrafficRate rate) => new()
    {
        PacketsPerSecond = rate.Passed.Packets,
        BitsPerSecond = rate.Passed.Bits,
        DropsPerSecond = rate.Drops,
        TopDropReason = rate.TopReason,
    };

    private static V1.Talker Of(TopLook look, Policy.Vnic vnic, Top.Talker talker)
    {
        SessionKey key = talker.Key;
        Policy.IpFamily family = key.Original.Family;
        UInt128 remote = key.Original.Remote(talker.Direction);
        Policy.Vnic? other = talker.Direction == Policy.Direction.Egress
            ? talker.Session.Answerer : talker.Session.Opener;
        var message = new V1.Talker
        {
            Packet = SessionMessages.PacketOf(key.Original),
            Direction = SnapshotWriter.DirectionOf(talker.Direction),
            Remote = IpPrefix.AddressOf(family, remote).ToString(),
            RemoteVnicId = other?.Id ?? "",
            State = talker.Session.State,
            EndsIn = Duration.FromTimeSpan(TimeSpan.FromSeconds(talker.Session.TimeoutSeconds)),
        };
        message.RemoteGroupIds.AddRange(look.Judge!.GroupsWith(vnic, family, remote));
        if (talker.Session.Start is { } start)
        {
            // The wall clock may have been set back since.
            TimeSpan age = look.Time - start;
            message.Age = Duration.FromTimeSpan(age > TimeSpan.Zero ? age : TimeSpan.Zero);
        }

        if (talker.Session.IsCounted)
        {
            (message.Sent, message.Received) =
                (Of(talker.Sent, talker.SentRate), Of(talker.Received, talker.ReceivedRate));
        }

        return message;
    }

    private static TalkerCount Of(FlowCount count, Rate rate) => new()
    {
        Packets = count.Packets,
        Bytes = count.Bytes,
        PacketsPerSecond = rate.Packets,
        BitsPerSecond = rate.Bits,
    };
}
