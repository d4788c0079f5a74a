using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Contract;

/// <summary>A policy, or everything that is wrong with what was sent.</summary>
/// <param name="Policy">Null if there is any fault.</param>
/// <param name="Faults">All faults, in the order of the input.</param>
/// <param name="Warnings">Accepted, but probably not meant.</param>
public sealed record SnapshotResult(
    PolicySnapshot? Policy, ImmutableArray<PolicyFault> Faults, ImmutableArray<string> Warnings);

/// <summary>Collects faults and warnings of one reading.</summary>
internal sealed class FaultList
{
    /// <summary>A hostile input must not make an answer of a gigabyte.</summary>
    private const int MaxFaults = 1000;

    /// <summary>As long as an id may be.</summary>
    private const int ShownMax = 64;

    private readonly List<PolicyFault> faults = [];
    private readonly List<string> warnings = [];

    public int Count => faults.Count;

    public void Add(string path, string code, string message, string remedy)
    {
        if (faults.Count < MaxFaults)
        {
            faults.Add(new PolicyFault(path, code, message, remedy));
        }
        else if (faults.Count == MaxFaults)
        {
            faults.Add(new PolicyFault("", Codes.TooMany, $"more than {MaxFaults} faults", "Correct these first."));
        }
    }

    public void Warn(string path, string message)
    {
        if (warnings.Count < MaxFaults)
        {
            warnings.Add($"{path}: {message}");
        }
    }

    public SnapshotResult Result(PolicySnapshot policy) =>
        new(faults.Count == 0 ? policy : null, [.. faults], [.. warnings]);

    /// <summary>A value as it may stand in a message: short, and nothing that steers a terminal or a log.</summary>
    public static string Show(string value) => value.Length > ShownMax ? $"'{Place(value)}...'" : $"'{Place(value)}'";

    /// <summary>An id as it may stand in a path: as it is if it is one.</summary>
    public static string Place(string id)
    {
        ReadOnlySpan<char> head = id.AsSpan(0, Math.Min(id.Length, ShownMax));
        return PlainText.Is(head) ? head.ToString() : PlainText.Of(head);
    }
}
