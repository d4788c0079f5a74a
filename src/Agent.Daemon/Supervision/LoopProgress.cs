namespace Agent.Daemon.Supervision;

/// <summary>Where the loop is.</summary>
/// <param name="Number">Grows with each mark.</param>
/// <param name="Step">What it does: a request's name, or a step of a change; null: it waits to be asked.</param>
/// <param name="At">When it began that, a timestamp of the clock.</param>
internal sealed record LoopMark(long Number, string? Step, long At);

/// <summary>The marks that the loop leaves as it gets on. The loop writes, anybody reads.</summary>
internal sealed class LoopProgress(TimeProvider clock)
{
    private volatile LoopMark mark = new(0, "start", clock.GetTimestamp());

    public LoopMark Mark => mark;

    /// <summary>Told of each mark before the loop goes on. Only a simulation asks: it drives the loop from here.
    /// </summary>
    public Action<LoopMark>? OnMark { get; init; }

    /// <summary>Takes something up: a request, or the next step of one.</summary>
    public void Begin(string step) => Set(step);

    /// <summary>Has nothing to do.</summary>
    public void Rest() => Set(step: null);

    private void Set(string? step)
    {
        mark = new LoopMark(mark.Number + 1, step, clock.GetTimestamp());
        OnMark?.Invoke(mark);
    }
}
