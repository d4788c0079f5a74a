using System.Globalization;
using System.Net;
using Agent.V1;
using Spectre.Console;

namespace Agent.Cli.Output;

/// <summary>Sessions as a table, and the last pass over them as a line.</summary>
internal static class SessionText
{
    private const int CutsShown = 3;

    public static void Print(Screen screen, IReadOnlyCollection<SessionStatus> sessions) => screen.Table(
        ["session", "state", "ends in", "judged", "next packet", "because"],
        [.. sessions.Select(session => new Cell[]
        {
            Ends(session.Packet),
            session.State,
            string.Create(CultureInfo.InvariantCulture, $"{session.EndsIn.Seconds} s"),
            Age(session.Age),
            new(Fate(session.Fate), StyleOf(session.Fate)),
            Because(session),
        })]);

    /// <summary>"3 of 120 cut at revision 7: eni-web1 sg-web/no-ssh (2), ..."; empty before the first.</summary>
    public static string LastPass(SessionPass? pass)
    {
        if (pass is null)
        {
            return "";
        }

        string cuts = string.Join(", ", pass.TopCuts.Take(CutsShown).Select(
            cut => $"{cut.VnicId} {Way(cut.Direction)}: {Rule(cut.Reason, cut.Rule)} ({cut.Sessions})"));
        return string.Create(CultureInfo.InvariantCulture,
            $"{pass.Cut} of {pass.Judged} older ones cut by revision {pass.Revision}")
            + (pass.Complete ? "" : ", not all were seen") + (cuts.Length > 0 ? $": {cuts}" : "");
    }

    /// <summary>What a change would cut: a line, the rules that would, and some sessions.</summary>
    public static void Print(Screen screen, SessionForecast forecast)
    {
        string unsure = forecast.Complete ? "" : $"; not all were seen: {forecast.Detail}";
        if (forecast.Cut == 0)
        {
            screen.Line($"no live session would be cut{unsure}");
            return;
        }

        screen.Line((string.Create(
            CultureInfo.InvariantCulture, $"{forecast.Cut} of {forecast.Judged} live sessions would be cut"),
            Screen.Bad), (unsure, Screen.Plain));
        screen.Table(["vnic", "direction", "by", "sessions"], [.. forecast.Cuts.Select(cut => new Cell[]
        {
            cut.VnicId, Way(cut.Direction), Rule(cut.Reason, cut.Rule),
            cut.Sessions.ToString(CultureInfo.InvariantCulture),
        })]);
        screen.Line();
        screen.Table(["session", "state", "cut at", "by"], [.. forecast.Sessions.Select(one => new Cell[]
        {
            Ends(one.Session.Packet), one.Session.State, $"{one.VnicId} {Way(one.Direction)}",
            Rule(one.Reason, one.Rule),
        })]);
    }

    public static string Ends(Packet packet) => packet.SourcePort == 0 && packet.DestinationPort == 0
        ? $"{packet.Protocol} {packet.Source} -> {packet.Destination}"
        : $"{packet.Protocol} {With(packet.Source, packet.SourcePort)} "
            + $"-> {With(packet.Destination, packet.DestinationPort)}";

    private static IPEndPoint With(string address, uint port) => new(IPAddress.Parse(address), (int)port);

    private static string Age(SessionAge age) => age switch
    {
        SessionAge.Live => "live",
        SessionAge.Older => "before",
        SessionAge.Unjudged => "never",
        _ => "unknown",
    };

    private static string Fate(SessionFate fate) => fate switch
    {
        SessionFate.Passes => "passes",
        SessionFate.Continues => "judged, passes",
        SessionFate.Cut => "dropped",
        _ => "unknown",
    };

    private static Style StyleOf(SessionFate fate) => fate switch
    {
        SessionFate.Passes or SessionFate.Continues => Screen.Good,
        SessionFate.Cut => Screen.Bad,
        _ => Screen.Warning,
    };

    /// <summary>The end that stops it, or all that let it pass.</summary>
    private static string Because(SessionStatus session) => session.Fate == SessionFate.Unknown
        ? "a vNIC does not follow the policy: sgctl status"
        : string.Join("; ", session.Ends
            .Where(end => session.Fate != SessionFate.Cut || end.Verdict == V1.Policy.Drop)
            .Select(end => $"{end.VnicId} {Way(end.Direction)}: {Rule(end.Reason, end.Rule)}"
                + (session.Fate == SessionFate.Passes && end.Verdict == V1.Policy.Drop ? " (would drop it)" : "")));

    private static string Way(Direction direction) => direction == Direction.Ingress ? "in" : "out";

    public static string Rule(string reason, string rule) => reason switch
    {
        "rule" => rule,
        "inner" => $"inner access of {rule}",
        _ => reason,
    };
}
