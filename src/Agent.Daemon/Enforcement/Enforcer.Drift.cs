using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <content>What others did to our tables.</content>
internal sealed partial class Enforcer
{
    private Holding? holding;

    /// <summary>What holds instead if a switch was taken that was not answered; the next reading tells.</summary>
    private Holding? sentHolding;
    private bool drifted;

    /// <summary>A drift that is not repaired yet; null: none is known.</summary>
    public Drift? Found { get; private set; }

    /// <returns>In what it differs from what it should be; null if it does not.</returns>
    private string? Read()
    {
        Progress?.Begin("read");
        (observed, generation) = firewall.Read();
        observedIsKnown = true;
        if (sentHolding is not null && Difference(observed, sentHolding.Ruleset) is null)
        {
            holding = sentHolding;
        }

        sentHolding = null;
        if (enforced is null || holding is null)
        {
            return "nothing was enforced yet";
        }

        if (observed == enforced.Ruleset)
        {
            observed = enforced.Ruleset; // one copy is enough, and the same one is compared at no cost
        }

        // Of a change that was given up half-way, too, sessions may carry an epoch that what follows must not honour.
        drifted |= HasDriftedFrom(enforced.Ruleset);
        string? difference = Difference(observed, holding.Ruleset) ?? holding.ForeignHook(observed);
        Found ??= difference is null ? null : Drift.Of(clock, observed, holding);
        return difference;
    }

    // The first step that would make it so. What is there besides is of a change that was cut off, or removed soon.
    private static string? Difference(Ruleset held, Ruleset wanted)
    {
        Plan plan = Plan.Between(held, wanted);
        return plan.Prepare.Concat(plan.Switch).FirstOrDefault()?.ToString();
    }

    // Somebody changed what judges packets: what it let in meanwhile carries the live epoch. Objects that are merely
    // there besides are our own, of a change that was cut off.
    private bool HasDriftedFrom(Ruleset inForce) => !ReferenceEquals(observed, inForce) &&
        Plan.Between(JudgesOf(observed), JudgesOf(inForce)) is { Prepare.Count: > 0 } or { Switch.Count: > 0 };

    private static Ruleset JudgesOf(Ruleset ruleset) =>
        new(ruleset.Tables.Where(table => table.Family is NftFamily.Inet or NftFamily.Bridge).ToValueArray());
}
