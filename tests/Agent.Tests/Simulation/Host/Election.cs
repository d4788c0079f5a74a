using Agent.Daemon.Ownership;

namespace Agent.Tests.Simulation.Host;

/// <summary>
/// Two replicas of a control plane, of which one is elected. The one that was replaced need not know it, and sends on.
/// </summary>
internal sealed class Election(Fate fate, IHostWatch watch)
{
    private static readonly TimeSpan Life = TimeSpan.FromSeconds(30);

    /// <summary>Whether there are elections at all: otherwise whoever sends is taken.</summary>
    private readonly bool isHeld = fate.Pick(3) > 0;
    private LeaseKeeper? keeper;
    private ulong opened;

    public static TimeSpan LeaseLife => Life;

    /// <summary>The one that was elected last.</summary>
    public Claim Leader { get; private set; } = Claim.None;

    /// <summary>The one that it replaced; null: there was none.</summary>
    public Claim? Replaced { get; private set; }

    /// <summary>The greatest term that an agent has granted: nobody with an older one may change anything.</summary>
    public ulong Granted { get; private set; }

    /// <summary>The greatest term that has reached an agent: it may refuse older ones, even if it could not note it.
    /// </summary>
    public ulong Seen { get; private set; }

    /// <summary>Whether the elected one has been let in since the agent began.</summary>
    public bool IsIn => !isHeld || opened == Leader.Term;

    /// <summary>The agent has begun.</summary>
    /// <param name="agent">Its keeper.</param>
    /// <param name="isUnread">Its disk did not answer.</param>
    /// <returns>What is wrong with what it remembers; null if nothing is.</returns>
    public string? Connected(LeaseKeeper agent, bool isUnread)
    {
        (keeper, opened) = (agent, 0);
        Lease lease = agent.Lease;
        return lease.Damage is null
            ? lease.Term < Granted ? $"term {Granted} was granted, and {lease.Term} is remembered" : null
            : isUnread ? null : lease.Damage;
    }

    /// <summary>Something of a controller arrives.</summary>
    public void Arrives(Claim claim) => Seen = Math.Max(Seen, claim.Term);

    /// <summary>Somebody else is elected.</summary>
    public void Elect()
    {
        if (isHeld)
        {
            Replaced = Leader.Term == 0 ? null : Leader;
            Leader = new Claim(Leader.Controller == "ctl-a" ? "ctl-b" : "ctl-a", Leader.Term + 1 + (ulong)fate.Pick(2));
            watch.Tell($"{Leader.Controller} is elected, with term {Leader.Term}");
        }
    }

    /// <summary>The elected one opens a stream, if it gets through.</summary>
    /// <returns>What is wrong with the answer; null if nothing is.</returns>
    public string? Hello()
    {
        if (IsIn || keeper is null || fate.Strikes(20))
        {
            return null;
        }

        if (Leader.Term == 0)
        {
            Elect();
        }

        Arrives(Leader);
        LeaseAnswer answer = keeper.Admit(Leader, opensStream: true);
        keeper.Close(opened);
        if (answer is LeaseAnswer.Refused refused)
        {
            watch.Tell($"{Leader.Controller} is not let in: {refused.Fault.Code}");
            bool mayBe = refused.Reason is LeaseRefusal.Unsaved or LeaseRefusal.Unknown;
            return mayBe ? null : $"the elected one is refused: {refused.Fault}";
        }

        watch.Tell($"{Leader.Controller} is let in with term {Leader.Term}");
        (opened, Granted) = (Leader.Term, Math.Max(Granted, Leader.Term));
        return keeper.Lease is { Streams: 1 } lease && lease.Holder == Leader.Controller
            ? null : $"the lease is {keeper.Lease}";
    }
}
