using System.Globalization;
using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>Who may change what is enforced, and whether anybody is there to do it.</summary>
internal static class ControllerText
{
    /// <returns>"ctl-a, term 17, connected since 2026-11-24 16:10:00 UTC"; empty: the agent does not tell.</returns>
    public static string Of(ControllerStatus? status)
    {
        if (status is null)
        {
            return "";
        }

        string presence = status.ConnectedSince is { } since ? $"connected since {Count.Moment(since)}"
            : status.FailStaticSince is { } alone ? $"none connected since {Count.Moment(alone)}"
            : "";
        string lease = status.LeaseExpires is { } end ? $"lease held until {Count.Moment(end)}"
            : status.Term > 0 && !status.LeaseHeld ? "lease free"
            : "";
        string term = status.Term == 0 ? ""
            : string.Create(CultureInfo.InvariantCulture, $"term {status.Term}");
        return string.Join(", ", ((string[])[status.Name, term, presence, lease]).Where(part => part.Length > 0));
    }
}
