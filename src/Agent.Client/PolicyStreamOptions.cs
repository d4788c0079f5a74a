namespace Agent.Client;

/// <summary>How a <see cref="PolicyStream"/> behaves. Each value has a default that suits a controller.</summary>
public sealed record PolicyStreamOptions
{
    /// <summary>Names the controller in the agent's log and status.</summary>
    public required string Controller { get; init; }

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
