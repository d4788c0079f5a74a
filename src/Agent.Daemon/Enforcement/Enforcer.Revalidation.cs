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
}
