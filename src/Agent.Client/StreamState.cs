using System.Globalization;

namespace Agent.Client;

/// <summary>Where a <see cref="PolicyStream"/> is.</summary>
public abstract record StreamState
{
    private StreamState()
    {
    }

    public sealed record Connecting : StreamState
    {
        public override string ToString() => "connecting";
    }

    /// <summary>The agent has said what it holds.</summary>
    /// <param name="HeldRevision">0: nothing yet.</param>
    /// <param name="IsKnown">The next step is a delta on it; otherwise a snapshot.</param>
    public sealed record Connected(ulong HeldRevision, bool IsKnown) : StreamState
    {
        public override string ToString() =>
            $"connected, the agent holds revision {HeldRevision}{(IsKnown ? "" : ", which is not known here")}";
    }

    /// <summary>The agent holds and enforces a revision. Newer ones may be under way.</summary>
    /// <param name="Revision">It.</param>
    /// <param name="Answer">Timings, changes, vNICs that failed. Null: it held the revision already.</param>
    public sealed record Synced(ulong Revision, V1.Accepted? Answer) : StreamState
    {
        public override string ToString() => $"synced at revision {Revision}"
            + (Answer is { FailedVnics.Count: > 0 and int failed } ? $", {failed} vNICs failed" : "");
    }

    /// <summary>
    /// The agent does not take a revision, and goes on with what it holds. It is not sent again: want another state.
    /// </summary>
    /// <param name="Revision">What was refused.</param>
    /// <param name="Answer">Every fault, and what is held.</param>
    public sealed record Refused(ulong Revision, V1.Refused Answer) : StreamState
    {
        public override string ToString() => $"revision {Revision} refused: "
            + string.Join("; ", Answer.Faults.Select(fault => $"{fault.Path}: {fault.Message} ({fault.Code})"));
    }

    /// <summary>
    /// A revision would remove so much that the agent holds it back until somebody confirms it
    /// (<see cref="PolicyStream.ConfirmAsync"/>). It is not sent again: confirm it, or want another state.
    /// </summary>
    /// <param name="Revision">What is held back.</param>
    /// <param name="Answer">What it would remove.</param>
    public sealed record HeldBack(ulong Revision, V1.MassChange Answer) : StreamState
    {
        public override string ToString() => $"revision {Revision} is held back: it {Answer.Message}";
    }

    /// <summary>Not connected; it is tried again by itself.</summary>
    public sealed record Waiting(TimeSpan Delay, string Reason) : StreamState
    {
        public override string ToString() => string.Create(
            CultureInfo.InvariantCulture, $"waiting {Delay.TotalSeconds:0.0} s because {Reason}");
    }

    /// <summary>Disposed of.</summary>
    public sealed record Stopped : StreamState
    {
        public override string ToString() => "stopped";
    }
}

/// <summary>What became of a state that was applied.</summary>
public abstract record StepOutcome
{
    private StepOutcome()
    {
    }

    /// <param name="Revision">The one that is enforced: the state's, or a newer one that came while it waited.</param>
    /// <param name="Answer">Null: the agent held it already.</param>
    public sealed record Accepted(ulong Revision, V1.Accepted? Answer) : StepOutcome;

    /// <param name="Revision">The one that was refused: the state's, or a newer one that came while it waited.</param>
    /// <param name="Answer">Every fault, and what is held.</param>
    public sealed record Refused(ulong Revision, V1.Refused Answer) : StepOutcome;

    /// <param name="Revision">The one that is held back: the state's, or a newer one that came while it waited.</param>
    /// <param name="Answer">What it would remove.</param>
    public sealed record HeldBack(ulong Revision, V1.MassChange Answer) : StepOutcome;
}
