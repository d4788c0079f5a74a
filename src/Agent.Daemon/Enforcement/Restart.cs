using Agent.Evaluator;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>What a program that has just begun, or has just got other settings, finds in the kernel.</summary>
internal static class Restart
{
    /// <summary>
    /// Whether packets get the same verdicts: it differs from what should be there in what is reported and counted, at
    /// most.
    /// </summary>
    public static bool KeepsVerdicts(Ruleset found, Ruleset wanted) =>
        Plan.Between(Onlooking.Without(found), Onlooking.Without(wanted)) is { Prepare.Count: 0, Switch.Count: 0 };
}
