namespace Agent.Daemon.Enforcement;

/// <summary>The newest state, and a way to wait for a newer one. One writer, any number of readers.</summary>
internal sealed class StateFeed
{
    private readonly Lock gate = new();
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public AgentState State { get; private set; } = AgentState.Initial;

    /// <summary>Ends when a state newer than <paramref name="version"/> is there.</summary>
    public async Task<AgentState> WaitForAsync(long version, CancellationToken cancel)
    {
        while (true)
        {
            Task next;
            lock (gate)
            {
                if (State.Version > version)
                {
                    return State;
                }

                next = changed.Task;
            }

            await next.WaitAsync(cancel).ConfigureAwait(false);
        }
    }

    public void Publish(AgentState state)
    {
        TaskCompletionSource wake;
        lock (gate)
        {
            State = state with { Version = State.Version + 1 };
            wake = changed;
            changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        wake.SetResult();
    }
}
