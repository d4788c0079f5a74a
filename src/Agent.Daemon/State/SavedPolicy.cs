using Agent.Contract;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;

namespace Agent.Daemon.State;

/// <summary>What the state file says.</summary>
/// <param name="Policy">The last policy that was accepted; empty if there is none, or none that can be read.</param>
/// <param name="Epoch">The last epoch that was written down; 0 if none.</param>
/// <param name="Damage">What is wrong with the file, and where it was put; null if nothing is.</param>
internal sealed record SavedPolicy(PolicySnapshot Policy, uint Epoch, string? Damage)
{
    /// <summary>Why the file was left alone that a newer version wrote; null if it was not.</summary>
    public string? TooNew { get; private init; }

    public static SavedPolicy Load(StateFile file)
    {
        PolicySnapshot policy = PolicySnapshot.Empty;
        uint epoch = 0;
        try
        {
            foreach (StateRecord record in file.Load())
            {
                SnapshotResult read = Read(policy, record);
                policy = read.Policy ?? throw new StateDamagedException(
                    $"the state file does not validate ({read.Faults[0]}); {file.SetAside()}");
                epoch = record.Epoch;
            }

            return new SavedPolicy(policy, epoch, Damage: null);
        }
        catch (InvalidProtocolBufferException)
        {
            return new SavedPolicy(
                PolicySnapshot.Empty, epoch, $"the state file cannot be decoded; {file.SetAside()}");
        }
        catch (StateTooNewException e)
        {
            return new SavedPolicy(PolicySnapshot.Empty, epoch, Damage: null) { TooNew = e.Message };
        }
        catch (Exception e) when (e is StateDamagedException || DiskFault.Is(e))
        {
            return new SavedPolicy(PolicySnapshot.Empty, epoch, e.Message);
        }
    }

    /// <summary>Payload of a record of several deltas.</summary>
    public static byte[] Format(IEnumerable<Delta> deltas)
    {
        using var bytes = new MemoryStream();
        foreach (Delta delta in deltas)
        {
            delta.WriteDelimitedTo(bytes);
        }

        return bytes.ToArray();
    }

    private static SnapshotResult Read(PolicySnapshot before, StateRecord record)
    {
        if (record.Kind == StateRecordKind.Snapshot)
        {
            return SnapshotReader.Read(Snapshot.Parser.ParseFrom(record.Payload), PolicyLimits.Unlimited);
        }

        var read = new SnapshotResult(before, [], []);
        foreach (Delta delta in DeltasOf(record))
        {
            if (read.Policy is not PolicySnapshot policy)
            {
                break;
            }

            read = DeltaReader.Apply(policy, delta, PolicyLimits.Unlimited);
        }

        return read;
    }

    private static IEnumerable<Delta> DeltasOf(StateRecord record)
    {
        if (record.Kind == StateRecordKind.Delta)
        {
            yield return Delta.Parser.ParseFrom(record.Payload);
            yield break;
        }

        using var bytes = new MemoryStream(record.Payload);
        while (bytes.Position < bytes.Length)
        {
            yield return Delta.Parser.ParseDelimitedFrom(bytes);
        }
    }
}
