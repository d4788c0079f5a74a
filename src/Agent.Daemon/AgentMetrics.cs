using Agent.Daemon.Enforcement;
using Agent.Daemon.Sessions;
using Prometheus;

namespace Agent.Daemon;

/// <summary>Every series that the daemon exports; README's table of metrics is this file.</summary>
internal sealed class AgentMetrics
{
    public static readonly double[] DurationBuckets =
        [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

    private readonly Histogram compile;
    private readonly Histogram commit;
    private readonly Histogram verify;
    private readonly Counter verifications;
    private readonly Counter messages;
    private readonly Counter bytes;
    private readonly Counter transactions;
    private readonly Counter revalidations;
    private readonly Histogram commitMessages;
    private readonly Histogram commitBytes;
    private readonly Histogram commitDeltas;
    private readonly Histogram deltaWait;
    private readonly Gauge desiredSince;
    private readonly Gauge unsaved;
    private readonly Gauge unread;
    private readonly Gauge appliedSince;
    private readonly Gauge desiredRevision;
    private readonly Gauge appliedRevision;
    private readonly Gauge vnics;
    private readonly Gauge failedVnics;
    private readonly Counter sessionsCut;
    private readonly Gauge stagedRevision;
    private readonly Gauge stagedSince;

    public AgentMetrics(CollectorRegistry registry, string version, string kernel)
    {
        Registry = registry;
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        make.CreateGauge("sg_agent_build_info", "Always 1; the labels say what runs.",
            new GaugeConfiguration { LabelNames = ["version", "kernel"] }).WithLabels(version, kernel).Set(1);
        compile = Duration(make, "sg_agent_compile_duration_seconds", "Time to compile a policy to a ruleset.");
        commit = Duration(
            make, "sg_agent_commit_duration_seconds", "Time to plan and commit, until the change is in force.");
        verify = Duration(make, "sg_agent_verify_duration_seconds", "Time to read the ruleset back and compare it.");
        verifications = make.CreateCounter("sg_agent_verifications_total",
            "Readings of the ruleset, by whether it was what had been committed.",
            new CounterConfiguration { LabelNames = ["result"] });
        Proofs = new ProofMetrics(make);
        messages = make.CreateCounter("sg_agent_netlink_messages_total", "Messages in committed transactions.");
        bytes = make.CreateCounter("sg_agent_netlink_bytes_total", "Bytes in committed transactions.");
        transactions = make.CreateCounter("sg_agent_transactions_total", "Transactions that the kernel committed.");
        revalidations = make.CreateCounter(
            "sg_agent_session_revalidations_total",
            "Commits that took something away, so that live sessions are judged again.");
        commitMessages = make.CreateHistogram("sg_agent_commit_messages", "Netlink messages of a change, all steps.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(1, 4, 9) });
        commitBytes = make.CreateHistogram("sg_agent_commit_bytes", "Netlink bytes of a change, all steps.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(256, 4, 10) });
        commitDeltas = make.CreateHistogram("sg_agent_commit_deltas", "Deltas that were committed together.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(1, 2, 13) });
        deltaWait = Duration(make, "sg_agent_delta_wait_duration_seconds",
            "Time that a delta waited, from when it was read from its stream, for what was before it.");
        desiredSince = make.CreateGauge("sg_agent_desired_timestamp_seconds",
            "When the desired revision was accepted, in seconds since 1970; 0: there is none.");
        appliedSince = make.CreateGauge("sg_agent_applied_timestamp_seconds",
            "When the ruleset was last brought to the desired revision, in seconds since 1970; 0: never yet.");
        DriftFound = make.CreateCounter("sg_agent_drift_found_total",
            "Times that the kernel held something else than what had been committed.");
        desiredRevision = make.CreateGauge("sg_agent_desired_revision", "Revision last accepted and persisted.");
        appliedRevision = make.CreateGauge("sg_agent_applied_revision", "Revision in force.");
        vnics = make.CreateGauge("sg_agent_vnics", "vNICs in the desired state.");
        failedVnics = make.CreateGauge("sg_agent_failed_vnics", "vNICs that do not follow the desired state.");
        sessionsCut = make.CreateCounter("sg_agent_sessions_cut_total",
            "Sessions that a change of policy has cut, by the vNIC whose rules did.",
            new CounterConfiguration { LabelNames = ["vnic"] });
        stagedRevision = make.CreateGauge("sg_agent_staged_revision", "Revision that is staged; 0: none is.");
        stagedSince = make.CreateGauge(
            "sg_agent_staged_since_timestamp_seconds", "When it was staged, in seconds since 1970; 0: none is.");
        MassChanges = new MassChangeMetrics(make);
        Realisation = new RealisationMetrics(make);
        Refusals = make.CreateCounter("sg_agent_refused_updates_total", "Updates refused with faults.");
        CommitFailures = make.CreateCounter("sg_agent_commit_failures_total", "Changes that the kernel did not take.");
        PersistFailures = make.CreateCounter(
            "sg_agent_persist_failures_total", "Updates refused because they could not be saved.");
        unsaved = make.CreateGauge(
            "sg_agent_state_unsaved", "1 while the state directory takes no step, so that updates are refused.");
        unread = make.CreateGauge("sg_agent_state_unread",
            "1 while the saved state could not be read, as it is damaged or of a newer format, and there is no other.");
        AddDesiredAge(make);
        LoopFailures = make.CreateCounter("sg_agent_loop_failures_total", "Unexpected errors in the loop.");
        ForeignFindings = make.CreateGauge("sg_agent_foreign_findings",
            "Things that chains of other programs do, or may do, to packets that the policy admits.");
        DriftRepairs = make.CreateCounter(
            "sg_agent_drift_repairs_total", "Times that somebody else's change to our tables was undone.");
    }

    public ProofMetrics Proofs { get; }

    public MassChangeMetrics MassChanges { get; }

    public RealisationMetrics Realisation { get; }

    /// <summary>Asked at each scrape; null: there is no desired state.</summary>
    public Func<TimeSpan?> DesiredAge { private get; set; } = () => null;

    /// <summary>Set by the loop.</summary>
    public Gauge ForeignFindings { get; }

    public CollectorRegistry Registry { get; }

    public Counter Refusals { get; }

    public Counter CommitFailures { get; }

    public Counter PersistFailures { get; }

    public Counter LoopFailures { get; }

    public Counter DriftRepairs { get; }

    public Counter DriftFound { get; }

    /// <param name="works">The state directory takes what is to be saved.</param>
    public void Saving(bool works) => unsaved.Set(works ? 0 : 1);

    /// <param name="isIt">There was a saved state that could not be read, and none was accepted since.</param>
    public void Unread(bool isIt) => unread.Set(isIt ? 1 : 0);

    /// <param name="time">When the desired state was accepted; null: there is none.</param>
    public void Accepted(DateTimeOffset? time) => desiredSince.Set(Seconds(time));

    public void Enforced(EnforcementReport report, AgentState state)
    {
        compile.Observe(report.Compile.TotalSeconds);
        commit.Observe(report.Commit.TotalSeconds);
        messages.Inc(report.Messages);
        bytes.Inc(report.Bytes);
        transactions.Inc(report.Transactions);
        if (report.Messages > 0)
        {
            commitMessages.Observe(report.Messages);
            commitBytes.Observe(report.Bytes);
        }

        appliedSince.Set(Seconds(state.AppliedAt));
        revalidations.Inc(report.Revalidated ? 1 : 0);
        desiredRevision.Set(state.Desired.Revision);
        appliedRevision.Set(state.AppliedRevision);
        vnics.Set(state.Desired.Vnics.Count);
        failedVnics.Set(state.Failed.Count);
        if (report.Verification is { } result)
        {
            Verified(result);
        }
    }

    /// <param name="deltas">Committed together.</param>
    public void Committed(int deltas) => commitDeltas.Observe(deltas);

    public void Waited(TimeSpan wait) => deltaWait.Observe(wait.TotalSeconds);

    /// <param name="policy">What is staged; null: nothing.</param>
    public void Staged(StagedPolicy? policy)
    {
        stagedRevision.Set(policy?.Policy.Revision ?? 0);
        stagedSince.Set(policy?.Since.ToUnixTimeSeconds() ?? 0);
        MassChanges.Waits(policy?.MassChange is not null);
    }

    public void Verified(VerificationResult result)
    {
        verify.Observe(result.Took.TotalSeconds);
        verifications.WithLabels(Word(result.Outcome)).Inc();
    }

    /// <summary>Counts a pass. Series of vNICs that are gone, and that it does not name, end.</summary>
    public void SessionsCut(PassReport report, Func<string, bool> exists)
    {
        foreach (PassCut cut in report.Cuts)
        {
            sessionsCut.WithLabels(cut.VnicId).Inc(cut.Sessions);
        }

        foreach (string[] labels in sessionsCut.GetAllLabelValues().ToArray())
        {
            if (!exists(labels[0]) && report.Cuts.All(cut => cut.VnicId != labels[0]))
            {
                sessionsCut.RemoveLabelled(labels[0]);
            }
        }
    }

    private void AddDesiredAge(MetricFactory make)
    {
        Gauge age = make.CreateGauge("sg_agent_desired_age_seconds",
            "How long ago the desired revision was accepted, by a clock that does not jump; 0: there is none.");
        Registry.AddBeforeCollectCallback(() => age.Set(DesiredAge()?.TotalSeconds ?? 0));
    }

    private static double Seconds(DateTimeOffset? time) => (time?.ToUnixTimeMilliseconds() ?? 0) / 1000.0;

    internal static string Word(Enum outcome) => outcome.ToString().ToLowerInvariant();

    internal static Histogram Duration(MetricFactory make, string name, string help) =>
        make.CreateHistogram(name, help, new HistogramConfiguration { Buckets = DurationBuckets });
}
