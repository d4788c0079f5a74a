using System.Globalization;
using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>Who may change what is enforced, and whether anybody is there to do it.</summary>
internal static class ControllerText
{
    /// <returns>
    /// "ctl-a, connected since 2026-11-24 16:10:00 UTC; lease of ctl-a, term 17"; empty: the agent does not tell.
    /// </returns>
    public static string Of(ControllerStatus? status)
    {
        if (status is null)
        {
            return "";
        }

        string presence = status.ConnectedSince is { } since
            ? $"{(status.Name.Length > 0 ? $"{status.Name}, " : "")}connected since {Count.Moment(since)}"
            : status.FailStaticSince is { } alone ? $"none since {Count.Moment(alone)}"
            : "";
        string end = status.LeaseExpires is { } expiry ? $" until {Count.Moment(expiry)}"
            : status.LeaseHeld ? "" : ", free";
        string lease = status.Term == 0 ? ""
            : string.Create(CultureInfo.InvariantCulture, $"lease of {status.LeaseHolder}, term {status.Term}{end}");
        return string.Join("; ", ((string[])[presence, lease]).Where(part => part.Length > 0));
    }
}
