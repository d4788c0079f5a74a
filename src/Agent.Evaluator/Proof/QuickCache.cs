using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>Numbers in a row, equal by content.</summary>
internal readonly struct IntKey(int[] values) : IEquatable<IntKey>
{
    private readonly int[] values = values;

    public bool Equals(IntKey other) => values.AsSpan().SequenceEqual(other.values);

    public override bool Equals(object? obj) => obj is IntKey other && Equals(other);

    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.AddBytes(MemoryMarshal.AsBytes(values.AsSpan()));
        return hash.ToHashCode();
    }
}

/// <summary>vNICs that look alike, and what was proved of them.</summary>
internal sealed class QuickClass
{
    /// <summary>All of it but what other vNICs of the VPC send; null: not yet asked.</summary>
    public bool? Sends { get; set; }

    /// <summary>Where packets for other vNICs of the VPC wait: place, situation and family as one number.</summary>
    public int[] Stops { get; set; } = [];

    /// <summary>As receiver of what waits at a set of places.</summary>
    public Dictionary<IntKey, bool> Received { get; } = [];

    /// <summary>False: it depends on something that is not in the key.</summary>
    public bool IsLasting { get; set; } = true;
}

/// <summary>How a vNIC's class was found.</summary>
/// <param name="Vnic">The vNIC; as long as it is the same object.</param>
/// <param name="Judgements">Of its groups.</param>
/// <param name="State">What the host says of it.</param>
internal sealed record QuickEntry(Vnic Vnic, Judgements Judgements, (bool Closed, bool Adopting) State)
{
    /// <summary>Chains that maps name for it, as they are in the table.</summary>
    public Dictionary<string, ChainNode?> Chains { get; } = new(StringComparer.Ordinal);

    /// <summary>What its name was looked up in, and compared with.</summary>
    public HashSet<SetNode> Sets { get; } = new(ReferenceEqualityComparer.Instance);

    public HashSet<ValueArray<byte>> Bounds { get; } = [];

    /// <summary>Null: it has none.</summary>
    public IntKey? Key { get; set; }

    public QuickClass? Class { get; set; }
}

/// <summary>What all classes have in common: if one of these is another, nothing that was proved holds.</summary>
internal sealed record QuickWorld(
    ImmutableArray<ChainNode> Bases, PolicySettings Settings, ProofFacts Facts,
    ImmutableSortedDictionary<string, Vpc> Vpcs, ImmutableArray<(string Vpc, string Name)> Vnics,
    ImmutableArray<string> Devices)
{
    public static QuickWorld Of(
        ImmutableArray<ChainNode> bases, PolicyOracle oracle, ProofFacts facts, Routes routes) => new(
        bases, oracle.Settings, facts, oracle.Snapshot.Vpcs,
        [.. oracle.Snapshot.Vnics.Values.Select(vnic => (vnic.VpcId, vnic.InterfaceName))], routes.Devices);

    public bool Equals(QuickWorld? other) => other is not null
        && Bases.AsSpan().SequenceEqual(other.Bases.AsSpan(), ReferenceEqualityComparer.Instance)
        && Settings == other.Settings && Facts.EpochMask == other.Facts.EpochMask && Facts.Epoch == other.Facts.Epoch
        && Facts.PassedBits == other.Facts.PassedBits && Facts.HookMarks.SetEquals(other.Facts.HookMarks)
        && Facts.Zones.SequenceEqual(other.Facts.Zones)
        && Facts.ManagedInterfaces.SequenceEqual(other.Facts.ManagedInterfaces)
        && Vpcs.SequenceEqual(other.Vpcs) && Vnics.AsSpan().SequenceEqual(other.Vnics.AsSpan())
        && Devices.AsSpan().SequenceEqual(other.Devices.AsSpan());

    public override int GetHashCode() => Bases.Length;
}

/// <summary>
/// What the judgements of a list of groups are made of: as long as they are the same objects, or equal, so are forms.
/// </summary>
internal static class JudgementInputs
{
    public static object?[] Of(PolicyOracle oracle, Vnic vnic)
    {
        PolicySnapshot policy = oracle.Snapshot;
        var inputs = new List<object?>
        {
            oracle.Settings, policy.PrefixLists, policy.PortLists, vnic.GroupIds.IsDefaultOrEmpty,
        };
        var asked = new SortedSet<string>(StringComparer.Ordinal);
        string[] groups = vnic.GroupIds.IsDefaultOrEmpty ? [] : [.. vnic.GroupIds.Order(StringComparer.Ordinal)];
        foreach (string id in groups)
        {
            SecurityGroup? group = policy.Groups.GetValueOrDefault(id);
            inputs.Add(id);
            inputs.Add(group?.Type);
            inputs.Add(group?.InnerAccess);
            inputs.Add(group is null ? null : ImmutableCollectionsMarshal.AsArray(group.Rules));
            asked.Add(id);
            foreach (GroupRule rule in group is null || group.Rules.IsDefault ? [] : group.Rules)
            {
                if (rule.Remote is Remote.Group remote)
                {
                    asked.Add(remote.Id);
                }
            }
        }

        foreach (string id in asked)
        {
            inputs.Add(id);
            inputs.Add(policy.Groups.GetValueOrDefault(id)?.Members);
            foreach (IpFamily family in Claims.Families)
            {
                inputs.Add(AddressFunction.Of(family, oracle.VnicAddressesOf(id)));
            }
        }

        return [.. inputs];
    }

    // Dictionaries and sets of a snapshot are the same objects as long as nothing in them was changed.
    public static bool AreSame(object?[] one, object?[] other)
    {
        if (one.Length != other.Length)
        {
            return false;
        }

        for (int i = 0; i < one.Length; i++)
        {
            if (!ReferenceEquals(one[i], other[i])
                && !(one[i] is AddressFunction or string or PolicySettings or ValueType && one[i]!.Equals(other[i])))
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>Quick proofs from one call to the next.</summary>
internal sealed class QuickCache
{
    private const int ClassesMax = 4096;

    private readonly Dictionary<string, (object?[] Inputs, Judgements Judgements)> judgements =
        new(StringComparer.Ordinal);

    private readonly Dictionary<object, int> numbers = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<string, int> names = new(StringComparer.Ordinal);
    private QuickWorld? world;

    public Dictionary<IntKey, QuickClass> Classes { get; } = [];

    public Dictionary<string, QuickEntry> Entries { get; } = new(StringComparer.Ordinal);

    /// <summary>Classes that were run so far: what a test watches.</summary>
    public int Runs { get; set; }

    public void Enter(QuickWorld next)
    {
        if (!next.Equals(world) || Classes.Count > ClassesMax)
        {
            Classes.Clear();
            Entries.Clear();
            numbers.Clear();
            names.Clear();
        }

        world = next;
    }

    /// <summary>A number for a node, in this world.</summary>
    public int NumberOf(ChainNode node)
    {
        if (!numbers.TryGetValue(node, out int number))
        {
            numbers.Add(node, number = numbers.Count);
        }

        return number;
    }

    /// <summary>A number for a VPC or a chain's name.</summary>
    public int NumberOf(string name)
    {
        if (!names.TryGetValue(name, out int number))
        {
            names.Add(name, number = names.Count);
        }

        return number;
    }

    public int GroupsKnown => judgements.Count;

    public Judgements JudgementsOf(string groups, object?[] inputs, ProofCache cache)
    {
        if (!judgements.TryGetValue(groups, out var found) || !JudgementInputs.AreSame(found.Inputs, inputs))
        {
            judgements[groups] = found = (inputs, new Judgements(cache));
        }

        return found.Judgements;
    }

    /// <summary>Forgets groups that nobody asked for.</summary>
    public void Keep(ICollection<string> groups)
    {
        foreach (string gone in judgements.Keys.Where(key => !groups.Contains(key)).ToArray())
        {
            judgements.Remove(gone);
        }
    }
}
