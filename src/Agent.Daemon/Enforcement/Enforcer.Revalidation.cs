using Agent.Compiler;

namespace Agent.Daemon.Enforcement;

/// <content>When live sessions are judged again.</content>
internal sealed partial class Enforcer
{
    /// <summary>Whether live sessions must be judged again when one follows the other.</summary>
    /// <param name="before">Null: what was before is not known.</param>
    /// <param name="next">What follows.</param>
    /// <param name="keepsSessions">As <see cref="KeepsSessions"/>.</param>
    public static bool TakesAway(CompiledRuleset? before, CompiledRuleset next, bool keepsSessions) =>
        before is null ? !keepsSessions
        : keepsSessions ? Restriction.OfVnics(before, next)
        : Restriction.Between(before, next);

    // Without our ruleset packets were tracked outside of their zones, or not at all, and what the zones know of TCP is
    // of the past. Before the commit, since after it packets come.
    private void Retrack(CompiledRuleset next)
    {
        if (next.Zones.Count == 0 || ZoneNumbers.AreAssigned(observed, settings))
        {
            return;
        }

        try
        {
            int sessions = firewall.Retrack(next.Zones.Values.ToHashSet());
            if (sessions > 0)
            {
                log.SessionsRetracked(sessions);
            }
        }
        catch (Netlink.NetlinkException e)
        {
            log.SessionsNotRetracked(e.Message); // that they may be cut is no reason to stay open
        }
    }
}
