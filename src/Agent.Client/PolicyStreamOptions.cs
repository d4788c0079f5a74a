namespace Agent.Client;

/// <summary>How a <see cref="PolicyStream"/> behaves. Each value has a default that suits a controller.</summary>
public sealed record PolicyStreamOptions
{
    /// <summary>Names the controller in the agent's log and status.</summary>
    public required string Controller { get; init; }

    /// <summary>
    /// What the controllers' own election counts, such as an etcd revision: the agent takes the highest, and nobody
    /// else's steps. 0: there is no election.
    /// </summary>
    public ulong Term { get; init; }

    /// <summary>Without an election: asks the agent for its lease. Not together with a term.</summary>
    public bool Acquire { get; init; }

    /// <summary>
    /// How often each side says that it is there; a side that is silent for three of these is taken for dead, and the
    /// stream begins anew. Zero: never.
    /// </summary>
    public TimeSpan Heartbeat { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Steps that may be unanswered at a time. What is wanted meanwhile waits, and only the newest of it.
    /// </summary>
    public int Window { get; init; } = 8;

    /// <summary>
    /// A delta that is larger, in bytes, goes as a snapshot in chunks; agents take 64 MiB by default.
    /// </summary>
    public int MaxDeltaBytes { get; init; } = 1 << 20;

    /// <summary>For connecting and the agent's first word. A step may take as long as it takes.</summary>
    public TimeSpan HelloTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Ceiling of the first wait after a loss; it doubles up to <see cref="MaxDelay"/>.</summary>
    public TimeSpan FirstDelay { get; init; } = TimeSpan.FromMilliseconds(200);

    public TimeSpan MaxDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// The first connection is made some time within this span: for controllers that start with many agents at once.
    /// </summary>
    public TimeSpan StartWithin { get; init; }

    /// <summary>
    /// Shared by the streams of a controller, it bounds how many send a snapshot at a time. Null: no bound.
    /// </summary>
    public SemaphoreSlim? SnapshotSlots { get; init; }

    /// <summary>
    /// Called at each change of state, in order. It must return soon and not throw: the stream waits for it.
    /// </summary>
    public Action<StreamState>? OnState { get; init; }

    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Spreads the waits; of this stream alone.</summary>
    public Random Random { get; init; } = new();
}
