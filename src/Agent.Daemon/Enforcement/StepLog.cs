using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>Debug events: what each step of a change decided, and what it cost. Counted only if somebody reads them.
/// </summary>
internal static partial class StepLog
{
    public static void Validated(
        this ILogger log, string kind, PolicySnapshot policy, int warnings, TimeSpan took) =>
        log.StepValidated(
            kind, policy.Revision, policy.Groups.Count, policy.Vnics.Count, warnings, took.TotalMilliseconds);

    public static void Followed(this ILogger log, HostLinks before, HostLinks after)
    {
        if (log.IsEnabled(LogLevel.Debug))
        {
            log.DevicesChanged(
                string.Join(' ', after.Names.Except(before.Names)), string.Join(' ', before.Names.Except(after.Names)),
                string.Join(' ', before.Indexes.Where(
                    link => after.Indexes.GetValueOrDefault(link.Key, link.Value) != link.Value)
                    .Select(link => link.Key)));
        }
    }

    public static void Compiled(this ILogger log, CompiledRuleset next, TimeSpan took)
    {
        if (log.IsEnabled(LogLevel.Debug))
        {
            NftTable[] tables = [.. next.Ruleset.Tables];
            log.StepCompiled(
                next.Request.Policy.Revision,
                next.Request.Policy.Vnics.Values.Select(CompiledRuleset.ProfileOf).Distinct().Count(),
                tables.Sum(table => table.Chains.Count), tables.Sum(table => table.Chains.Sum(c => c.Rules.Count)),
                tables.Sum(table => table.Sets.Count), tables.Sum(table => table.Sets.Sum(set => set.Elements.Count)),
                next.Failed.Count, took.TotalMilliseconds);
        }
    }

    /// <summary>The whole, then each profile with its vNICs.</summary>
    public static void Proved(this ILogger log, ProofResult proof)
    {
        if (!log.IsEnabled(LogLevel.Debug))
        {
            return;
        }

        log.StepProved(
            proof.Of.Request.Policy.Revision, Word(proof.Outcome), proof.Vnics.Count, proof.Took.TotalMilliseconds);
        foreach (IGrouping<string, KeyValuePair<string, VnicProof>> profile in proof.Vnics.GroupBy(
            vnic => CompiledRuleset.ProfileOf(proof.Of.Request.Policy.Vnics[vnic.Key])))
        {
            log.ProfileProved(
                profile.Key, profile.Count(vnic => vnic.Value is VnicProof.Proved), profile.Count(),
                string.Join(' ', profile.Select(vnic => vnic.Key).Take(NamedMax)));
        }
    }

    public static void Planned(
        this ILogger log, Plan plan, CompiledRuleset next, uint generation, bool revalidates, bool drifted)
    {
        if (log.IsEnabled(LogLevel.Debug))
        {
            log.StepPlanned(
                next.Request.Policy.Revision, generation, plan.Prepare.Count, plan.Switch.Count, plan.Cleanup.Count,
                next.Request.Epoch, revalidates, drifted, plan.EditsIntervals);
        }
    }

    public static void Committed(
        this ILogger log, string step, IReadOnlyList<NftOp> ops, uint planned, CommitOutcome outcome, TimeSpan took)
    {
        if (!log.IsEnabled(LogLevel.Debug))
        {
            return;
        }

        string kinds = string.Join(", ", ops.GroupBy(op => op.GetType().Name)
            .Select(kind => $"{kind.Key} {kind.Count()}"));
        (string word, uint generation, int messages, long bytes) = outcome switch
        {
            CommitOutcome.Committed done => ("committed", done.Generation, done.Messages, done.Bytes),
            CommitOutcome.Stale => ("stale", planned, 0, 0L),
            _ => ("refused", planned, 0, 0L),
        };
        log.StepCommitted(step, word, kinds, messages, bytes, planned, generation, took.TotalMilliseconds);
    }

    public static void ReadBack(this ILogger log, VerificationResult result, uint generation)
    {
        if (log.IsEnabled(LogLevel.Debug))
        {
            log.StepReadBack(Word(result.Outcome), result.Detail, generation, result.Took.TotalMilliseconds);
        }
    }

    public static void Holding(this ILogger log, HoldBacks held)
    {
        foreach ((string profile, (PolicySnapshot? policy, string reason)) in held.Profiles)
        {
            log.ProfileHeld(profile, policy is null ? "closed" : "keeps its rules", reason);
        }

        foreach ((string vnic, string reason) in held.Vnics)
        {
            log.VnicHeld(vnic, reason);
        }
    }

    /// <summary>vNICs that a line names; sgctl status has all of them.</summary>
    private const int NamedMax = 20;

    private static string Word<T>(T outcome) where T : struct, Enum => outcome.ToString().ToLowerInvariant();

    [LoggerMessage(500, LogLevel.Debug,
        "{Kind} for revision {Revision} is valid: {Groups} groups, {VnicCount} vNICs, {Warnings} warnings; "
        + "{Milliseconds:0.0} ms")]
    private static partial void StepValidated(
        this ILogger log, string kind, ulong revision, int groups, int vnicCount, int warnings, double milliseconds);

    [LoggerMessage(501, LogLevel.Debug, "revision {Revision} is saved; {Milliseconds:0.0} ms")]
    public static partial void Persisted(this ILogger log, ulong revision, double milliseconds);

    [LoggerMessage(502, LogLevel.Debug, "devices: appeared [{Appeared}], went [{Gone}], were replaced [{Replaced}]")]
    private static partial void DevicesChanged(this ILogger log, string appeared, string gone, string replaced);

    [LoggerMessage(510, LogLevel.Debug,
        "compiled revision {Revision}: {Profiles} profiles, {Chains} chains, {Rules} rules, {Sets} sets with "
        + "{Elements} elements, {FailedCount} vNICs do not follow it; {Milliseconds:0.0} ms")]
    private static partial void StepCompiled(
        this ILogger log, ulong revision, int profiles, int chains, int rules, int sets, int elements, int failedCount,
        double milliseconds);

    [LoggerMessage(511, LogLevel.Debug,
        "proof of revision {Revision}: {Outcome}, {VnicCount} vNICs looked at; {Milliseconds:0.0} ms")]
    private static partial void StepProved(
        this ILogger log, ulong revision, string outcome, int vnicCount, double milliseconds);

    [LoggerMessage(512, LogLevel.Debug, "profile {Profile}: {ProvedCount} of {VnicCount} vNICs proved: {Vnics}")]
    private static partial void ProfileProved(
        this ILogger log, string profile, int provedCount, int vnicCount, string vnics);

    [LoggerMessage(513, LogLevel.Debug,
        "plan for revision {Revision} at generation {Generation}: prepare {PrepareCount}, switch {SwitchCount}, "
        + "clean up {CleanupCount} operations; epoch {Epoch:x8}, live sessions judged again: "
        + "{Revalidated}, because somebody else wrote: {Drifted}; edits intervals: {EditsIntervals}")]
    private static partial void StepPlanned(
        this ILogger log, ulong revision, uint generation, int prepareCount, int switchCount, int cleanupCount,
        uint epoch, bool revalidated, bool drifted, bool editsIntervals);

    [LoggerMessage(514, LogLevel.Debug,
        "{Step}: {Outcome}, {Operations}; {Messages} messages, {Bytes} bytes, generation {Planned} to {Generation}; "
        + "{Milliseconds:0.0} ms")]
    private static partial void StepCommitted(
        this ILogger log, string step, string outcome, string operations, int messages, long bytes, uint planned,
        uint generation, double milliseconds);

    [LoggerMessage(515, LogLevel.Debug,
        "read back at generation {Generation} in {Milliseconds:0.0} ms: {Outcome} {Detail}")]
    private static partial void StepReadBack(
        this ILogger log, string outcome, string detail, uint generation, double milliseconds);

    [LoggerMessage(516, LogLevel.Debug, "profile {Profile} is held back and {Outcome}: {Reason}")]
    private static partial void ProfileHeld(this ILogger log, string profile, string outcome, string reason);

    [LoggerMessage(517, LogLevel.Debug, "vNIC {Vnic} is closed: {Reason}")]
    private static partial void VnicHeld(this ILogger log, string vnic, string reason);
}
