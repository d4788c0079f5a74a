using Agent.Daemon.State;
using Agent.Policy;

namespace Agent.Daemon.Ownership;

/// <summary>
/// Keeps the lease: the one place where claims are judged, on arrival and once more by the loop when a step is taken.
/// What was seen fences older terms at once; it is granted when it is on disk.
/// </summary>
internal sealed class LeaseKeeper
{
    private readonly Lock gate = new();
    private readonly LeaseFile file;
    private readonly TimeSpan life;
    private readonly TimeProvider clock;
    private readonly ILogger log;
    private readonly OwnershipMetrics metrics;
    private readonly long started;
    private Lease lease;
    private ulong savedTerm;

    /// <param name="file">What was known before; its holder has the lease until it had time to come back.</param>
    /// <param name="life">How long a holder that is not heard any more holds the lease.</param>
    /// <param name="clock">Monotonic time.</param>
    /// <param name="log">Told of takeovers.</param>
    /// <param name="metrics">Counts claims.</param>
    public LeaseKeeper(LeaseFile file, TimeSpan life, TimeProvider clock, ILogger log, OwnershipMetrics metrics)
    {
        (this.file, this.life, this.clock, this.log, this.metrics) = (file, life, clock, log, metrics);
        started = clock.GetTimestamp();
        lease = file.Load();
        savedTerm = lease.Term;
        lease = lease.Term > 0 ? lease with { FreeAt = life } : lease;
        if (lease.Damage is { } damage)
        {
            log.LeaseUnknown(damage);
        }
    }

    public Lease Lease
    {
        get
        {
            lock (gate)
            {
                return lease;
            }
        }
    }

    /// <summary>On the clock that the lease's times are of.</summary>
    public TimeSpan Now => clock.GetElapsedTime(started);

    /// <summary>Told of each lease that takes the place of an older one.</summary>
    public Action<Lease> OnTaken { get; set; } = _ => { };

    /// <summary>What a person should know.</summary>
    public IEnumerable<string> Alarms => Lease.Damage is { } damage
        ? [$"{damage}: no controller is taken until the file is removed and the agent restarted"] : [];

    /// <summary>May this claim change what is enforced, now?</summary>
    /// <param name="claim">Who asks.</param>
    /// <param name="opensStream">If it may, and has a term: a stream of it begins, which <see cref="Close"/> ends.
    /// </param>
    public LeaseAnswer Admit(Claim claim, bool opensStream = false)
    {
        Lease before;
        LeaseAnswer answer;
        lock (gate)
        {
            before = lease;
            answer = lease.Judge(claim, Now, life);
            if (answer is LeaseAnswer.Granted granted)
            {
                lease = granted.Lease;
                answer = Saved(granted);
                lease = opensStream && answer is LeaseAnswer.Granted { Claim.Term: > 0 } ? lease.Opened() : lease;
            }
        }

        Report(before, answer);
        return answer;
    }

    /// <summary>Would this claim be admitted?</summary>
    public bool Admits(Claim claim) => Lease.Judge(claim, Now, life) is LeaseAnswer.Granted;

    /// <summary>How much longer it is held if its holder goes away now.</summary>
    public TimeSpan Left(Lease of) => of.Streams > 0 ? life : of.FreeAt > Now ? of.FreeAt - Now : TimeSpan.Zero;

    /// <summary>A stream ends that was opened with this term.</summary>
    public void Close(ulong term)
    {
        lock (gate)
        {
            lease = lease.Closed(term, Now, life);
        }
    }

    private LeaseAnswer Saved(LeaseAnswer.Granted granted)
    {
        if (lease.Term <= savedTerm)
        {
            return granted;
        }

        try
        {
            file.Save(lease);
            savedTerm = lease.Term;
            return granted;
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            return new LeaseAnswer.Refused(LeaseRefusal.Unsaved, new PolicyFault("term", "NotPersisted",
                $"term {lease.Term} cannot be written down, and a restart would forget it: {e.Message}",
                "Free or repair the state directory; the previous policy is still enforced."));
        }
    }

    private void Report(Lease before, LeaseAnswer answer)
    {
        Lease now = Lease;
        if (now.Term > before.Term)
        {
            metrics.Takeovers.Inc();
            log.LeaseTaken(now.Holder, now.Term, before.Holder, before.Term);
            OnTaken(now);
        }

        switch (answer)
        {
            case LeaseAnswer.Refused refused:
                metrics.Refused(refused.Reason);
                break;
            case LeaseAnswer.Granted { IsOverride: true } granted:
                metrics.Overrides.Inc();
                log.LeaseOverridden(granted.Claim.Caller, now.Holder, now.Term);
                break;
        }
    }
}
