using System.Collections.Immutable;
using Agent.Contract;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Client;

/// <summary>What an agent is to enforce: a whole, valid policy at a revision. Immutable.</summary>
/// <remarks>
/// Reading a snapshot costs what it holds; <see cref="After"/> costs what the delta touches, and shares the rest. So a
/// controller that gets small changes reads once and then moves on by deltas.
/// </remarks>
public sealed class DesiredState
{
    private readonly Lazy<ByteString> hash;

    private DesiredState(PolicySnapshot policy, Lazy<ByteString>? hash = null)
    {
        Policy = policy;
        this.hash = hash ?? new Lazy<ByteString>(() => ByteString.CopyFrom(StateHash.Of(policy)));
    }

    /// <summary>Orders states; 1 or more.</summary>
    public ulong Revision => Policy.Revision;

    /// <summary>SHA-256 of the content, without the revision: what an agent answers that holds it.</summary>
    public ByteString Hash => hash.Value;

    /// <summary>Ids of its groups.</summary>
    public IEnumerable<string> Groups => Policy.Groups.Keys;

    internal PolicySnapshot Policy { get; }

    /// <exception cref="InvalidPolicyException">With every fault.</exception>
    public static DesiredState Of(Snapshot snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        return Of(SnapshotReader.Read(snapshot, PolicyLimits.Unlimited));
    }

    /// <summary>The state that a delta leads to.</summary>
    /// <exception cref="InvalidPolicyException">It builds on another revision, or leads to faults.</exception>
    public DesiredState After(Delta delta)
    {
        ArgumentNullException.ThrowIfNull(delta);
        return Of(DeltaReader.Apply(Policy, delta, PolicyLimits.Unlimited));
    }

    /// <summary>The same content under another revision.</summary>
    public DesiredState At(ulong revision) =>
        revision == Revision ? this : new DesiredState(Policy with { Revision = revision }, hash);

    /// <summary>
    /// What a host with these vNICs needs of this state, at its revision: the groups that the vNICs are in, those that
    /// rules of these name, and their lists. For controllers that keep one state for all hosts; what hosts have in
    /// common is shared.
    /// </summary>
    /// <exception cref="InvalidPolicyException">The vNICs have faults, or are in groups that are not here.</exception>
    public DesiredState For(IEnumerable<V1.Vnic> vnics)
    {
        ArgumentNullException.ThrowIfNull(vnics);
        var delta = new Delta
        {
            BaseRevision = Revision,
            Revision = Revision + 1,
            IssuedAt = Policy.IssuedAt?.ToTimestamp(),
            UpsertVnics = { vnics },
        };
        PolicySnapshot part = Part(delta.UpsertVnics.SelectMany(vnic => vnic.GroupIds));
        return Of(DeltaReader.Apply(part, delta, PolicyLimits.Unlimited)).At(Revision);
    }

    /// <summary>As a message, in canonical order.</summary>
    public Snapshot ToSnapshot() => SnapshotWriter.Write(Policy);

    /// <summary>Same revision, same content.</summary>
    internal bool Is(DesiredState other) =>
        ReferenceEquals(this, other) || (Revision == other.Revision && Hash.Equals(other.Hash));

    private PolicySnapshot Part(IEnumerable<string> roots)
    {
        var groups = new HashSet<string>(StringComparer.Ordinal);
        var lists = new HashSet<string>(StringComparer.Ordinal);
        var open = new Queue<string>(roots);
        while (open.TryDequeue(out string? id))
        {
            if (!groups.Add(id) || !Policy.Groups.TryGetValue(id, out Agent.Policy.SecurityGroup? group))
            {
                continue;
            }

            foreach (GroupRule rule in group.Rules)
            {
                switch (rule.Remote)
                {
                    case Remote.Group other: open.Enqueue(other.Id); break;
                    case Remote.PrefixList list: lists.Add(list.Id); break;
                }

                lists.Add(rule.PortListId ?? "");
            }
        }

        return PolicySnapshot.Empty with
        {
            Revision = Revision,
            Groups = Only(Policy.Groups, groups),
            PrefixLists = Only(Policy.PrefixLists, lists),
            PortLists = Only(Policy.PortLists, lists),
            Vpcs = Policy.Vpcs,
        };
    }

    private static ImmutableSortedDictionary<string, T> Only<T>(
        ImmutableSortedDictionary<string, T> items, HashSet<string> ids) =>
        ids.Where(items.ContainsKey).ToImmutableSortedDictionary(id => id, id => items[id], StringComparer.Ordinal);

    private static DesiredState Of(SnapshotResult read) => read.Policy is null
        ? throw new InvalidPolicyException(read.Faults) : new DesiredState(read.Policy);
}
