using System.Collections.Immutable;
using System.Diagnostics;
using Agent.Compiler;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>What one enforcement did.</summary>
/// <param name="Compile">Time spent compiling.</param>
/// <param name="Commit">Time spent planning and committing, until the change was in force.</param>
/// <param name="Messages">Netlink messages over all transactions.</param>
/// <param name="Bytes">Netlink bytes over all transactions.</param>
/// <param name="Transactions">Transactions committed.</param>
/// <param name="Revalidated">Live sessions will be judged again.</param>
/// <param name="Verification">What reading back showed; null if nothing was committed.</param>
internal sealed record EnforcementReport(
    TimeSpan Compile, TimeSpan Commit, int Messages, long Bytes, int Transactions, bool Revalidated,
    VerificationResult? Verification);

/// <summary>The kernel did not take a change, although everything that could be held back was.</summary>
internal sealed class EnforcementFailedException(string message) : Exception(message);

/// <summary>
/// Brings the kernel to a policy: compile, plan against what the kernel holds, commit if it still holds that.
/// Holds the observed ruleset; one caller at a time.
/// </summary>
internal sealed class Enforcer(
    IFirewall firewall, CompilerSettings settings, PolicySettings policySettings, TimeProvider clock, ILogger log)
{
    private const int MaxAttempts = 20;

    /// <summary>
    /// Messages that one preparing transaction may carry, so that others wait for a few milliseconds at most.
    /// </summary>
    private const int PrepareChunk = 2000;

    /// <summary>Timeout objects beyond which those that no vNIC uses are removed.</summary>
    private const int MaxKeptTimes = 256;

    private Ruleset observed = Ruleset.Empty;
    private uint generation;
    private bool observedIsKnown;
    private bool drifted;
    private CompiledRuleset? enforced;
    private IReadOnlyList<NftOp> cleanup = [];
    private ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)> heldBack =
        ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)>.Empty;
    private ImmutableDictionary<string, string> closedVnics = ImmutableDictionary<string, string>.Empty;

    /// <summary>What the kernel can do; which devices exist is for the caller of each step to say.</summary>
    public HostFacts Kernel { get; init; } = HostFacts.Default;

    /// <summary>Sessions that were allowed stay allowed, whatever the rules become.</summary>
    public bool KeepsSessions { get; init; }

    /// <summary>vNICs (by id) whose running TCP sessions are being taken over.</summary>
    public ImmutableHashSet<string> Adopting { get; set; } = [];

    /// <summary>What the kernel counts now.</summary>
    public uint CurrentGeneration() => firewall.ReadGeneration();

    /// <summary>What is in force, or null before the first enforcement.</summary>
    public CompiledRuleset? Enforced => enforced;

    /// <summary>The policy epoch in force; within the mask.</summary>
    public uint Epoch { get; private set; }

    /// <summary>The last reading, or what replaced it since.</summary>
    public Ruleset Observed => observed;

    /// <summary>Generation after our last transaction; another value in the kernel means somebody else wrote.</summary>
    public uint Generation => generation;

    /// <summary>A change left something to remove.</summary>
    public bool CleanupDue => cleanup.Count > 0;

    /// <summary>Reads what a previous process left, and goes on from its epoch.</summary>
    /// <param name="lastEpoch">The epoch that the state file remembers; 0 if none.</param>
    /// <returns>True if our tables were there.</returns>
    public bool Adopt(uint lastEpoch)
    {
        Read();
        uint? found = EpochReader.Find(observed, settings);
        if (found is null)
        {
            // Nothing says which epochs live sessions may carry: none of them is worth anything.
            firewall.Unmark(mask: 0, value: 0, settings.EpochMask);
        }

        Epoch = found ?? Next(lastEpoch);
        return found is not null;
    }

    /// <summary>Compiles without committing, for a dry run.</summary>
    public CompiledRuleset Compile(PolicySnapshot policy, HostFacts host) => RulesetCompiler.Compile(
        new CompileRequest(policy, policySettings, settings, host, Epoch)
        {
            HeldBack = heldBack,
            ClosedVnics = closedVnics,
            Adopting = Adopting,
            Previous = enforced,
            KnownZones = enforced?.Zones ?? ZoneNumbers.Find(observed, policy, settings),
            KeptTimes = KeptTimes(),
        });

    // Sessions live by these objects. Whoever changes times again and again loses the oldest promise first: all of
    // them at once, so that the number is bounded.
    private ImmutableSortedSet<string> KeptTimes()
    {
        ImmutableSortedSet<string> kept = SessionTimes.Find(enforced?.Ruleset ?? observed, settings);
        return kept.Count <= MaxKeptTimes ? kept : [];
    }

    /// <summary>Brings the kernel to the policy; returns when it is in force for every vNIC that can have it.</summary>
    /// <exception cref="EnforcementFailedException">Nothing of it is in force; the previous ruleset is
    /// whole.</exception>
    public EnforcementReport Enforce(PolicySnapshot policy, HostFacts host)
    {
        heldBack = heldBack.Clear();
        closedVnics = closedVnics.Clear();
        Cleanup();
        var tally = new Tally();
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            long started = clock.GetTimestamp();
            CompiledRuleset next = Compile(policy, host);
            tally.Compile += clock.GetElapsedTime(started);
            started = clock.GetTimestamp();
            bool done = TryReach(next, tally);
            tally.Commit += clock.GetElapsedTime(started);
            if (done)
            {
                return tally.Report();
            }
        }

        throw new EnforcementFailedException(
            tally.Verification is { Outcome: VerifyOutcome.Mismatch, Detail: var difference }
                ? $"what was committed is not what is read back: {difference}"
                : $"the kernel's ruleset changed, or refused, {MaxAttempts} times in a row; see the log");
    }

    /// <summary>Removes what the last change left unreferenced. Call a few milliseconds after it.</summary>
    public void Cleanup()
    {
        IReadOnlyList<NftOp> due = cleanup;
        cleanup = [];
        if (due.Count > 0 && !Commit(due, new Tally()))
        {
            log.CleanupPutOff(due.Count); // the next plan finds the leftovers when it reads
        }
    }

    /// <summary>Reads back all that the kernel holds, and compares it with what was committed.</summary>
    public VerificationResult Verify()
    {
        long started = clock.GetTimestamp();
        try
        {
            Read();
        }
        catch (Netlink.NetlinkException e)
        {
            observedIsKnown = false;
            return Result(started, VerifyOutcome.Unknown, e.Message);
        }

        string? difference = enforced is null ? "nothing was enforced yet" : Difference(observed, enforced.Ruleset);
        if (difference is null)
        {
            observed = enforced!.Ruleset;
        }

        return Result(started, difference is null ? VerifyOutcome.Verified : VerifyOutcome.Mismatch, difference ?? "");
    }

    // The first step that would make it so. What is there besides is of a change that was cut off.
    private static string? Difference(Ruleset held, Ruleset wanted)
    {
        Plan plan = Plan.Between(held, wanted);
        return plan.Prepare.Concat(plan.Switch).FirstOrDefault()?.ToString();
    }

    private VerificationResult Result(long started, VerifyOutcome outcome, string detail) =>
        new(clock.GetUtcNow(), clock.GetElapsedTime(started), outcome, detail);

    /// <summary>Commits what is no part of what is enforced, whatever else was committed meanwhile.</summary>
    public CommitOutcome CommitAside(IReadOnlyList<NftOp> ops)
    {
        CommitOutcome outcome = new CommitOutcome.Stale();
        for (int attempt = 0; attempt < MaxAttempts && outcome is CommitOutcome.Stale; attempt++)
        {
            uint before = firewall.ReadGeneration();
            outcome = firewall.Commit(ops, before);
            if (outcome is CommitOutcome.Committed committed && before == generation)
            {
                generation = committed.Generation; // otherwise somebody else wrote too, which the next audit will see
            }
        }

        return outcome;
    }

    /// <summary>Tables of another name than those that enforce.</summary>
    public Ruleset ReadAside(string table) => firewall.ReadAside(table);

    /// <summary>Forgets what was read: the next step reads again.</summary>
    public void Distrust() => observedIsKnown = false;

    private bool TryReach(CompiledRuleset next, Tally tally)
    {
        if (!observedIsKnown)
        {
            Read();
        }

        if (firewall.Obstacle is string obstacle)
        {
            observedIsKnown = false;
            throw new EnforcementFailedException(obstacle);
        }

        if (enforced is null && !SealMark.IsOn(observed, settings)
            && Plan.Between(observed, next.Ruleset) is { Prepare.Count: 0, Switch.Count: 0 } same)
        {
            Settle(next, same); // a restart: the kernel already holds it
            return true;
        }

        bool revalidate = drifted || TakesAway(enforced, next, KeepsSessions) || SealMark.IsOn(observed, settings);
        CompiledRuleset final = revalidate ? next.WithEpoch(Advance()) : next;
        Plan plan = Plan.Between(observed, final.Ruleset);
        if (revalidate && plan.EditsIntervals)
        {
            Ruleset unsealed = SealMark.Put(next.Ruleset, settings);
            if (!Run(Plan.Between(observed, unsealed), next, tally))
            {
                return false;
            }

            plan = Plan.Between(unsealed, final.Ruleset).With(plan.Cleanup);
        }

        if (!Run(plan, final, tally))
        {
            return false;
        }

        tally.Revalidated = revalidate;
        if (!Confirm(final, tally))
        {
            return false;
        }

        Settle(final, plan);
        return true;
    }

    // Answers tell that a transaction was taken. What it made is read back before anybody is told that it holds.
    private bool Confirm(CompiledRuleset next, Tally tally)
    {
        if (tally.Done.Count == 0)
        {
            return true;
        }

        long started = clock.GetTimestamp();
        NftOp[] ops = [.. tally.Done];
        tally.Done.Clear();
        try
        {
            (Ruleset held, uint at) = firewall.ReadBack(next.Ruleset, ops);
            string? difference = ReferenceEquals(held, next.Ruleset) ? null : Difference(held, next.Ruleset);
            if (at != generation)
            {
                observedIsKnown = false; // somebody else's commit followed ours: read, and begin again
                return false;
            }

            tally.Verification = Result(
                started, difference is null ? VerifyOutcome.Verified : VerifyOutcome.Mismatch, difference ?? "");
            observedIsKnown = difference is null;
            Epoch = next.Request.Epoch; // it may have been granted meanwhile: a next attempt moves on from it
            return difference is null;
        }
        catch (Netlink.NetlinkException e)
        {
            tally.Verification = Result(started, VerifyOutcome.Unknown, e.Message);
            return true; // it was taken; the next reading will tell
        }
    }

    private void Settle(CompiledRuleset next, Plan plan)
    {
        enforced = next;
        observed = next.Ruleset;
        drifted = false;
        Epoch = next.Request.Epoch;
        cleanup = plan.Cleanup;
    }

    /// <summary>Whether live sessions must be judged again when one follows the other.</summary>
    /// <param name="before">Null: what was before is not known.</param>
    /// <param name="next">What follows.</param>
    /// <param name="keepsSessions">As <see cref="KeepsSessions"/>.</param>
    public static bool TakesAway(CompiledRuleset? before, CompiledRuleset next, bool keepsSessions) =>
        before is null ? !keepsSessions
        : keepsSessions ? Restriction.OfVnics(before, next)
        : Restriction.Between(before, next);

    private bool Run(Plan plan, CompiledRuleset next, Tally tally)
    {
        foreach (IReadOnlyList<NftOp> chunk in plan.Prepare.Chunk(PrepareChunk))
        {
            if (!Commit(chunk, tally, next))
            {
                return false;
            }
        }

        return plan.Switch.Count == 0 || Commit(plan.Switch, tally, next);
    }

    private bool Commit(IReadOnlyList<NftOp> ops, Tally tally, CompiledRuleset? next = null)
    {
        switch (firewall.Commit(ops, generation))
        {
            case CommitOutcome.Committed committed:
                generation = committed.Generation;
                tally.Add(committed, ops);
                return true;
            case CommitOutcome.Stale:
                observedIsKnown = false;
                return false;
            case CommitOutcome.Refused refused:
                observedIsKnown = false;
                HoldBack(ops, refused, next);
                return false;
            default:
                throw new UnreachableException();
        }
    }

    // A refused object is one profile's or one vNIC's own problem: that profile keeps the rules it has, or is closed,
    // and everybody else gets the new policy.
    private void HoldBack(IReadOnlyList<NftOp> ops, CommitOutcome.Refused refused, CompiledRuleset? next)
    {
        bool progress = false;
        var seen = new HashSet<(string?, string?)>();
        foreach ((int index, Netlink.KernelError error) in refused.Refusals)
        {
            NftOp? op = index >= 0 && index < ops.Count ? ops[index] : null;
            string what = $"{op?.ToString() ?? "transaction"}: {error}";
            log.KernelRefused(what);
            if (op is not null && next is not null && next.OwnerOf(op.ObjectName) is var owner && seen.Add(owner))
            {
                progress |= HoldBack(owner, what);
            }
        }

        // Nothing waits for a cleaning up: what is left is found again by the next plan.
        if (!progress && next is not null)
        {
            string all = string.Join("; ", refused.Refusals.Select(refusal => refusal.Error.ToString()));
            throw new EnforcementFailedException($"the kernel refused the change: {all}");
        }
    }

    private bool HoldBack((string? Profile, string? VnicId) owner, string reason)
    {
        if (owner.VnicId is string vnic && !closedVnics.ContainsKey(vnic))
        {
            closedVnics = closedVnics.Add(vnic, reason);
            return true;
        }

        if (owner.Profile is not string profile)
        {
            return false;
        }

        bool again = heldBack.TryGetValue(profile, out (PolicySnapshot? Policy, string Reason) held);
        if (again && held.Policy is null)
        {
            return false;
        }

        // The policy that its rules in force come from, which may be older than the last one; none if it is new.
        PolicySnapshot? inForce = enforced?.Profiles.GetValueOrDefault(profile)?.Source.Policy;
        heldBack = heldBack.SetItem(profile, (again ? null : inForce, reason));
        return true;
    }

    private void Read()
    {
        (observed, generation) = firewall.Read();
        observedIsKnown = true;
        drifted |= enforced is not null && HasDriftedFrom(enforced);
    }

    // Epochs are used in a circle. Before the half of them that the highest bit tells apart is entered again, sessions
    // that carry one of it, from the last time round, are made to carry none.
    private uint Advance()
    {
        uint next = Next(Epoch);
        uint half = settings.EpochMask & ~(settings.EpochMask >> 1);
        if (((next ^ Epoch) & half) != 0)
        {
            log.EpochHalf(next);
            firewall.Unmark(half, next & half, settings.EpochMask);
        }

        return next;
    }

    // Somebody changed what judges packets: what it let in meanwhile carries the live epoch. Objects that are merely
    // there besides are our own, of a change that was cut off.
    private bool HasDriftedFrom(CompiledRuleset inForce) =>
        Plan.Between(JudgesOf(observed), JudgesOf(inForce.Ruleset)) is { Prepare.Count: > 0 } or { Switch.Count: > 0 };

    private static Ruleset JudgesOf(Ruleset ruleset) =>
        new(ruleset.Tables.Where(table => table.Family is NftFamily.Inet or NftFamily.Bridge).ToValueArray());

    private uint Next(uint epoch)
    {
        uint step = settings.EpochMask & ~(settings.EpochMask - 1);
        uint next = unchecked((epoch & settings.EpochMask) + step) & settings.EpochMask;
        return next == 0 ? step : next;
    }

    private sealed class Tally
    {
        private int messages;
        private long bytes;
        private int transactions;

        public TimeSpan Compile { get; set; }

        public TimeSpan Commit { get; set; }

        public bool Revalidated { get; set; }

        public VerificationResult? Verification { get; set; }

        /// <summary>Committed, and not yet read back.</summary>
        public List<NftOp> Done { get; } = [];

        public void Add(CommitOutcome.Committed committed, IReadOnlyList<NftOp> ops)
        {
            Done.AddRange(ops);
            messages += committed.Messages;
            bytes += committed.Bytes;
            transactions++;
        }

        public EnforcementReport Report() =>
            new(Compile, Commit, messages, bytes, transactions, Revalidated, Verification);
    }
}
