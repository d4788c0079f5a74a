using System.Collections.Immutable;
using Agent.Policy;
using Agent.V1;

namespace Agent.Contract;

/// <summary>Puts a snapshot together from its parts. Nothing of it counts before its end is verified.</summary>
/// <param name="limits">Of the policy.</param>
/// <param name="budget">Bounds memory whatever clients send; what is unfinished holds its share of it.</param>
public sealed class SnapshotAssembler(PolicyLimits limits, SnapshotBudget budget) : IDisposable
{
    private Snapshot? snapshot;
    private Dictionary<string, V1.SecurityGroup> groups = [];
    private long bytes;

    /// <summary>One was begun and has not ended.</summary>
    public bool IsOpen => snapshot is not null;

    /// <returns>Faults; empty if the part was taken.</returns>
    public ImmutableArray<PolicyFault> Begin(SnapshotBegin begin)
    {
        ArgumentNullException.ThrowIfNull(begin);
        Forget();
        snapshot = new Snapshot { Revision = begin.Revision, IssuedAt = begin.IssuedAt };
        groups = new Dictionary<string, V1.SecurityGroup>(StringComparer.Ordinal);
        return [];
    }

    /// <inheritdoc cref="Begin"/>
    public ImmutableArray<PolicyFault> Add(SnapshotChunk chunk)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        if (snapshot is null)
        {
            return [new PolicyFault(
                "snapshot_chunk", Codes.Order, "no snapshot was begun", "Send snapshot_begin first.")];
        }

        long size = chunk.CalculateSize() + MessageWeight.Of(chunk);
        if (!budget.TryTake(size))
        {
            Forget();
            return [new PolicyFault(
                "snapshot_chunk", Codes.Limit,
                $"snapshots that are being sent are larger than {budget.MostBytes} bytes together",
                "Send less to one host, or one at a time; or raise grpc.max_snapshot_bytes.")];
        }

        bytes += size;

        foreach (V1.SecurityGroup group in chunk.Groups)
        {
            if (groups.TryGetValue(group.Id, out V1.SecurityGroup? begun))
            {
                begun.Members.AddRange(group.Members);
                begun.Rules.AddRange(group.Rules);
            }
            else
            {
                groups.Add(group.Id, group);
                snapshot.Groups.Add(group);
            }
        }

        snapshot.PrefixLists.AddRange(chunk.PrefixLists);
        snapshot.PortLists.AddRange(chunk.PortLists);
        snapshot.Vnics.AddRange(chunk.Vnics);
        snapshot.Vpcs.AddRange(chunk.Vpcs);
        return [];
    }

    /// <summary>Verifies counts and hash.</summary>
    /// <returns>The snapshot, null if it is not whole or has faults; and what was read in it.</returns>
    public (Snapshot? Snapshot, SnapshotResult Read) End(SnapshotEnd end)
    {
        ArgumentNullException.ThrowIfNull(end);
        Snapshot? whole = snapshot;
        Forget();
        if (whole is null)
        {
            var disorder = new PolicyFault(
                "snapshot_end", Codes.Order, "no snapshot was begun", "Send snapshot_begin first.");
            return (null, new SnapshotResult(null, [disorder], []));
        }

        SnapshotResult read = SnapshotReader.Read(whole, limits);
        if (read.Policy is null)
        {
            return (null, read);
        }

        var faults = new FaultList();
        Compare(faults, "group_count", end.GroupCount, whole.Groups.Count);
        Compare(faults, "prefix_list_count", end.PrefixListCount, whole.PrefixLists.Count);
        Compare(faults, "port_list_count", end.PortListCount, whole.PortLists.Count);
        Compare(faults, "vnic_count", end.VnicCount, whole.Vnics.Count);
        Compare(faults, "vpc_count", end.VpcCount, whole.Vpcs.Count);
        Compare(
            faults, "member_count", end.MemberCount, read.Policy.Groups.Values.Sum(group => (long)group.Members.Count));
        if (!end.StateHash.Span.SequenceEqual(StateHash.Of(read.Policy)))
        {
            faults.Add(
                "snapshot_end.state_hash", Codes.Incomplete, "the hash of what arrived is another one",
                "Send the snapshot again.");
        }

        SnapshotResult verdict = faults.Result(read.Policy) with { Warnings = read.Warnings };
        return (verdict.Policy is null ? null : whole, verdict);
    }

    public void Dispose() => Forget();

    // The stream may stay open for months: nothing of a snapshot stays with it.
    private void Forget()
    {
        snapshot = null;
        groups = [];
        budget.Give(bytes);
        bytes = 0;
    }

    private static void Compare(FaultList faults, string field, Int128 said, long arrived)
    {
        if (said != arrived)
        {
            faults.Add(
                $"snapshot_end.{field}", Codes.Incomplete, $"says {said}, {arrived} arrived",
                "Send the snapshot again.");
        }
    }
}
