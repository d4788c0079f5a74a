using Agent.Daemon.Enforcement;

namespace Agent.Tests.Simulation.Host;

/// <content>Nothing grows: what a process holds at rest depends on what is in force, not on what has been.</content>
internal sealed partial class HostLife
{
    /// <summary>Of so many lives one is weighed, which takes as long as the rest of it.</summary>
    private const int WeighedEvery = 8;

    /// <summary>Of which a type may have more than after a restart: caches, the state before the last.</summary>
    private const int Slack = 1500;

    private SortedDictionary<string, int>? heldInPeace;

    private bool IsWeighed { get; }

    /// <summary>Twice what three vNICs and groups take, and no more than that of what was before it.</summary>
    private string? Grown()
    {
        if (!IsWeighed || (!fate.IsCalm && stepsLeft % 10 != 0))
        {
            return null;
        }

        int all = Weight().Values.Sum();
        tally.Count("weighings");
        return all > MostHeld ? $"{all} objects are held" : null;
    }

    // In the peace after a life, and in that of the process that only found what the life came to.
    private void WeighInPeace()
    {
        if (!IsWeighed)
        {
            return;
        }

        SortedDictionary<string, int> now = Weight();
        if (heldInPeace is not { } before)
        {
            heldInPeace = now;
            return;
        }

        Expect("nothing is held for ever", string.Join(", ", before
            .Where(pair => pair.Value > 3 * now.GetValueOrDefault(pair.Key) + Slack)
            .Select(pair => $"{pair.Value} {pair.Key}, and {now.GetValueOrDefault(pair.Key)} after a restart"))
            is { Length: > 0 } grown ? grown : null);
    }

    private SortedDictionary<string, int> Weight() => Held.By(loop!, one =>
        one is SimulatedHost or ProcessKernel or Fate or StoryLog or HostLife or SimulatedController or Verifier
            or SimulatedClock || one.GetType().Namespace?.StartsWith("Prometheus", StringComparison.Ordinal) == true
            || one.GetType().Namespace?.StartsWith("System.Threading", StringComparison.Ordinal) == true
            || one.GetType().Namespace?.StartsWith("Google.Protobuf.Reflection", StringComparison.Ordinal) == true
            || one is Delegate);

    private void OpenSessions()
    {
        for (int i = 0; i < 6; i++)
        {
            host.Open(Packets.Draw(fate.Random));
        }
    }
}
