using System.Collections.Immutable;
using Agent.Contract;
using Agent.Evaluator.Differences;
using Agent.Evaluator.Wording;
using Agent.Policy;
using Agent.V1;

namespace Agent.Evaluator;

/// <summary>The difference of two policies as a message.</summary>
public static class DifferenceReport
{
    private const int DefaultLimit = 100;

    /// <param name="before">What is held.</param>
    /// <param name="after">What would be.</param>
    /// <param name="settings">Of both.</param>
    /// <param name="limit">Lines; 0: the default. What is beyond is counted.</param>
    public static Difference Between(
        PolicySnapshot before, PolicySnapshot after, PolicySettings settings, uint limit = 0)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        ImmutableArray<Differences.ChangedTraffic> changes = PolicyDifference.Between(before, after, settings);
        int shown = (int)Math.Min(limit == 0 ? DefaultLimit : limit, (uint)changes.Length);
        var names = new VnicNames(before, after);
        var message = new Difference
        {
            MoreChanges = (uint)(changes.Length - shown),
            ChangedVnics = (uint)changes.SelectMany(change => change.Vnics).Distinct(StringComparer.Ordinal).Count(),
        };
        message.Changes.AddRange(changes.Take(shown).Select(change => Message(change, names)));
        return message;
    }

    private static V1.ChangedTraffic Message(Differences.ChangedTraffic change, VnicNames names)
    {
        DifferenceLine line = change.Line;
        var message = new V1.ChangedTraffic
        {
            Vnics = names.Of(change.Vnics.AsSpan()),
            Direction = SnapshotWriter.DirectionOf(line.Direction),
            Before = SnapshotWriter.PolicyOf(line.Before),
            After = SnapshotWriter.PolicyOf(line.After),
            Services = Scopes.Message(line.Services),
            Own = line.Own is null ? null : Scopes.Message(line.Own),
            Traffic = line.Traffic,
        };
        message.VnicIds.AddRange(change.Vnics);
        message.Remote.AddRange(line.Remotes.Select(Scopes.Message));
        message.DecidedBefore.AddRange(line.DecidedBefore);
        message.DecidedAfter.AddRange(line.DecidedAfter);
        return message;
    }
}
