using System.Collections.Immutable;
using System.Diagnostics;
using Agent.Compiler;
using Agent.Daemon.Config;
using Agent.Daemon.Supervision;
using Agent.Daemon.Tracing;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// Brings the kernel to a policy: compile, plan against what the kernel holds, commit if it still holds that.
/// Holds the observed ruleset; one caller at a time.
/// </summary>
internal sealed partial class Enforcer(
    IFirewall firewall, CompilerSettings settings, PolicySettings policySettings, TimeProvider clock, ILogger log)
{
    private const int MaxAttempts = 20;

    /// <summary>
    /// After so many, every second one does not ask whether others committed since the reading: where a reading takes
    /// longer than they pause, nothing would ever get through. It is taken whole or refused, and read back.
    /// </summary>
    private const int PatientAttempts = 5;

    /// <summary>
    /// Messages that one preparing transaction may carry, so that others wait for a few milliseconds at most.
    /// </summary>
    private const int PrepareChunk = 2000;

    /// <summary>Timeout objects beyond which those that no vNIC uses are removed.</summary>
    private const int MaxKeptTimes = 256;

    private Ruleset observed = Ruleset.Empty;
    private uint generation;
    private bool observedIsKnown;
    private bool blind;
    private ProofResult? proof;
    private CompiledRuleset? enforced;
    private CompiledRuleset? anticipated;
    private IReadOnlyList<NftOp> cleanup = [];
    private HoldBacks held = HoldBacks.None;

    /// <summary>
    /// The last epoch that was sent. Whatever the answer was, or if none came, sessions may carry it: it is not sent
    /// again.
    /// </summary>
    private uint sentEpoch;

    /// <summary>What the kernel can do; which devices exist is for the caller of each step to say.</summary>
    public HostFacts Kernel { get; init; } = HostFacts.Default;

    /// <summary>Others are taken by the next enforcement; only what rules report may differ.</summary>
    public CompilerSettings Settings
    {
        get => settings;
        set => settings = value;
    }

    /// <summary>Told of each step that may take long.</summary>
    public LoopProgress? Progress { get; init; }

    /// <summary>Sessions that were allowed stay allowed, whatever the rules become.</summary>
    public bool KeepsSessions { get; init; }

    /// <summary>vNICs (by id) whose running TCP sessions are being taken over.</summary>
    public ImmutableHashSet<string> Adopting { get; set; } = [];

    /// <summary>Lowers policies; another one only where a test makes it err.</summary>
    public Func<CompileRequest, CompiledRuleset> Compiler { get; init; } = RulesetCompiler.Compile;

    /// <summary>Proves what is committed; null: nobody does.</summary>
    public Verifier? Verifier { get; init; }

    /// <summary>What is made of its proofs.</summary>
    public VerifyMode Mode { get; init; } = VerifyMode.Enforce;

    /// <summary>Is told of each proof, also of those that keep something out of the kernel.</summary>
    public Action<ProofResult>? OnProved { get; init; }

    /// <summary>How long a commit waits for its proof.</summary>
    public TimeSpan VerifyBudget { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// A proof that came late, of a ruleset that was in force already: its vNICs that are not proved are closed as long
    /// as the policy is the same.
    /// </summary>
    public ProofResult? Condemned { get; set; }

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

    /// <summary>
    /// Compiles what is likely to be enforced first, while the kernel is read: only what follows from the reading is
    /// compiled again.
    /// </summary>
    /// <param name="policy">The policy.</param>
    /// <param name="host">What the host has.</param>
    /// <param name="lastEpoch">As for <see cref="Adopt"/>.</param>
    public void Anticipate(PolicySnapshot policy, HostFacts host, uint lastEpoch) =>
        anticipated = Compile(policy, host, Likely(lastEpoch));

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

        Epoch = sentEpoch = found ?? EpochReader.Next(lastEpoch, settings.EpochMask);
        return found is not null;
    }

    // The kernel still has the one that was written down, most often; 0 is none.
    private uint Likely(uint lastEpoch) => lastEpoch != 0 ? lastEpoch : EpochReader.Next(0, settings.EpochMask);

    /// <summary>Compiles without committing, for a dry run.</summary>
    public CompiledRuleset Compile(PolicySnapshot policy, HostFacts host) => Compile(policy, host, Epoch);

    private CompiledRuleset Compile(PolicySnapshot policy, HostFacts host, uint epoch) => Compiler(
        new CompileRequest(policy, policySettings, settings, host, epoch)
        {
            HeldBack = held.Profiles,
            ClosedVnics = held.Vnics,
            Adopting = Adopting,
            Previous = (enforced ?? anticipated) is { } last && last.Request.Settings == settings ? last : null,
            KnownZones = enforced?.Zones ?? ZoneNumbers.Find(observed, policy, settings),
            KeptTimes = KeptTimes(),
        });

    private CompiledRuleset Compile(PolicySnapshot policy, HostFacts host, EnforcementTally tally)
    {
        using Activity? span = Spans.Step("compile");
        Progress?.Begin("compile");
        long started = clock.GetTimestamp();
        CompiledRuleset next = Compile(policy, host);
        TimeSpan took = clock.GetElapsedTime(started);
        tally.Compile += took;
        log.Compiled(next, took);
        log.Holding(held);
        return next;
    }

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
        held = HoldBacks.None;
        blind = false;
        if (Condemned is { } late && ReferenceEquals(late.Of.Request.Policy, policy))
        {
            held = late.Condemned.Aggregate(held, (all, fault) => all.Closing(fault.VnicId, NotProved(fault.Reason)));
        }

        Cleanup();
        var tally = new EnforcementTally();
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            CompiledRuleset next = Compile(policy, host, tally);
            long started = clock.GetTimestamp();
            TimeSpan proved = tally.Prove;
            blind = attempt >= PatientAttempts && attempt % 2 == 1;
            bool done = TryReach(next, tally);
            tally.Commit += clock.GetElapsedTime(started) - (tally.Prove - proved);
            if (done)
            {
                blind = false;
                (Drift? seen, Found) = (Found, null);
                return tally.Report(proof, seen);
            }
        }

        throw new EnforcementFailedException(
            tally.Verification is { Outcome: VerifyOutcome.Mismatch, Detail: var difference }
                ? $"what was committed is not what is read back: {difference}"
                : $"the kernel's ruleset changed, or refused, {MaxAttempts} times in a row; see the log");
    }

    /// <summary>Removes what the last change left unreferenced. Call a few milliseconds after it.</summary>
    /// <returns>False: it stays. The next enforcement finds the leftovers when it reads.</returns>
    public bool Cleanup()
    {
        IReadOnlyList<NftOp> due = cleanup;
        cleanup = [];
        if (due.Count == 0)
        {
            return true;
        }

        if (Commit("clean_up", due, new EnforcementTally()))
        {
            holding = Holding.Exactly(enforced!);
            observedIsKnown &= ReferenceEquals(observed, enforced!.Ruleset); // read while that was there: not any more
            return true;
        }

        log.CleanupPutOff(due.Count);
        return false;
    }

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

    private bool TryReach(CompiledRuleset next, EnforcementTally tally)
    {
        long started = clock.GetTimestamp();
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
            tally.Verification = Result(started, VerifyOutcome.Verified, "");
            return true;
        }

        bool revalidate = drifted || SealMark.IsOn(observed, settings) || (TakesAway(enforced, next, KeepsSessions)
            && !(enforced?.Request.Settings != settings && Restart.KeepsVerdicts(observed, next.Ruleset)));
        CompiledRuleset final = revalidate ? next.WithEpoch(Advance()) : next;
        if (Withholds(next, final, tally))
        {
            return false;
        }

        Plan plan = Plan.Between(observed, final.Ruleset);
        log.Planned(plan, final, generation, revalidate, drifted);
        Retrack(next);
        if (revalidate && (plan.EditsIntervals || plan.ExchangesMarkMaps))
        {
            Ruleset unsealed = SealMark.Put(next.Ruleset, settings);
            if (!Run(Plan.Between(observed, unsealed), next, unsealed, tally))
            {
                return false;
            }

            plan = Plan.Between(unsealed, final.Ruleset).With(plan.Cleanup);
        }

        if (!Run(plan, final, final.Ruleset, tally))
        {
            return false;
        }

        tally.Revalidated = revalidate;
        if (!Confirm(final, tally))
        {
            return false;
        }

        if (Mode == VerifyMode.Report)
        {
            Prove(final, tally);
        }

        Settle(final, plan);
        return true;
    }

    private void Settle(CompiledRuleset next, Plan plan)
    {
        (enforced, anticipated) = (next, null);
        holding = plan.Cleanup.Count > 0 ? new Holding(next, next.Ruleset, [observed]) : Holding.Exactly(next);
        observed = next.Ruleset;
        drifted = false;
        Epoch = next.Request.Epoch;
        cleanup = plan.Cleanup;
    }

    private bool Run(Plan plan, CompiledRuleset next, Ruleset aim, EnforcementTally tally)
    {
        holding = holding is null ? null : holding with { Besides = holding.Besides.Add(aim) };
        foreach (IReadOnlyList<NftOp> chunk in plan.Prepare.Chunk(PrepareChunk))
        {
            if (!Commit("prepare", chunk, tally, next))
            {
                return false;
            }
        }

        var reached = new Holding(next, aim, [observed]);
        sentHolding = plan.Switch.Count > 0 ? reached : null;
        if (plan.Switch.Count > 0 && !Commit("switch", plan.Switch, tally, next))
        {
            return false;
        }

        (holding, sentHolding) = (reached, null);
        return true;
    }

    private bool Commit(
        string step, IReadOnlyList<NftOp> ops, EnforcementTally tally, CompiledRuleset? next = null)
    {
        using Activity? span = Spans.Step("commit");
        span?.SetTag("sg.step", step);
        Progress?.Begin($"commit, {step}");
        long started = clock.GetTimestamp();
        CommitOutcome outcome = firewall.Commit(ops, blind ? null : generation);
        log.Committed(step, ops, generation, outcome, clock.GetElapsedTime(started));
        switch (outcome)
        {
            case CommitOutcome.Committed committed:
                generation = committed.Generation;
                tally.Add(committed, ops);
                span?.SetTag("sg.messages", committed.Messages);
                span?.SetTag("sg.bytes", committed.Bytes);
                span?.SetTag("sg.generation", (long)committed.Generation);
                return true;
            case CommitOutcome.Stale:
            case CommitOutcome.Refused when blind: // perhaps for what others changed meanwhile
                observedIsKnown = false;
                span?.SetStatus(ActivityStatusCode.Error, "somebody else committed meanwhile");
                return false;
            case CommitOutcome.Refused refused:
                observedIsKnown = false;
                span?.SetStatus(ActivityStatusCode.Error, refused.Refusals[0].Error.ToString());
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
        HoldBacks before = held;
        var seen = new HashSet<(string?, string?)>();
        foreach ((int index, Netlink.KernelError error) in refused.Refusals)
        {
            NftOp? op = index >= 0 && index < ops.Count ? ops[index] : null;
            string what = $"{op?.ToString() ?? "transaction"}: {error}";
            log.KernelRefused(what);
            if (op is not null && next is not null && next.OwnerOf(op.ObjectName) is var owner && seen.Add(owner))
            {
                held = owner.VnicId is string vnic ? held.Closing(vnic, what)
                    : owner.Profile is string profile ? held.HoldingBack(profile, enforced, what)
                    : held;
            }
        }

        // Nothing waits for a cleaning up: what is left is found again by the next plan.
        if (held == before && next is not null)
        {
            string all = string.Join("; ", refused.Refusals.Select(refusal => refusal.Error.ToString()));
            throw new EnforcementFailedException($"the kernel refused the change: {all}");
        }
    }

    // Epochs are used in a circle. Before the half of them that the highest bit tells apart is entered again, sessions
    // that carry one of it, from the last time round, are made to carry none.
    private uint Advance()
    {
        uint next = EpochReader.Next(sentEpoch, settings.EpochMask);
        uint half = settings.EpochMask & ~(settings.EpochMask >> 1);
        if (((next ^ sentEpoch) & half) != 0)
        {
            log.EpochHalf(next);
            firewall.Unmark(half, next & half, settings.EpochMask);
        }

        return sentEpoch = next;
    }
}
