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
            faults.Add(new PolicyFault("", "TooManyFaults", $"more than {MaxFaults} faults", "Correct these first."));
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

    /// <summary>A value as it may stand in a message: short, and without control characters.</summary>
    public static string Show(string value)
    {
        string visible = string.Concat(value.Take(60).Select(c => char.IsControl(c) ? '?' : c));
        return value.Length > 60 ? $"'{visible}...'" : $"'{visible}'";
    }
}
