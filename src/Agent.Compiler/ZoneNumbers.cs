using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Which conntrack zone each listed VPC has.</summary>
/// <remarks>
/// A number that is in use stays, whatever other VPCs come and go: sessions live in it. A new VPC takes the number that
/// its id hashes to, or the next free one. What is in use is read from the ruleset in the kernel, which lives exactly
/// as long as the sessions do: after a reboot there are neither, and the hashes alone decide.
/// </remarks>
public static class ZoneNumbers
{
    public static readonly ImmutableSortedDictionary<string, ushort> None =
        ImmutableSortedDictionary.Create<string, ushort>(StringComparer.Ordinal);

    /// <summary>Numbers the listed VPCs of a policy.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="settings">Bounds of the numbers.</param>
    /// <param name="known">Numbers in use; of other VPCs too.</param>
    /// <returns>By VPC id. A VPC for which no number is left is not in it.</returns>
    public static ImmutableSortedDictionary<string, ushort> Of(
        PolicySnapshot policy, CompilerSettings settings, IReadOnlyDictionary<string, ushort> known)
    {
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(known);
        var numbers = None.ToBuilder();
        var taken = new HashSet<int>();
        foreach (string id in policy.Vpcs.Keys)
        {
            if (known.TryGetValue(id, out ushort zone) && zone >= settings.ZoneFirst && zone <= settings.ZoneLast
                && taken.Add(zone))
            {
                numbers.Add(id, zone);
            }
        }

        int size = settings.ZoneLast - settings.ZoneFirst + 1;
        foreach (string id in policy.Vpcs.Keys.Where(id => !numbers.ContainsKey(id)))
        {
            if (taken.Count == size)
            {
                break;
            }

            int offset = (int)(StableHash.Of(id) % (ulong)size);
            while (!taken.Add(settings.ZoneFirst + offset))
            {
                offset = (offset + 1) % size;
            }

            numbers.Add(id, (ushort)(settings.ZoneFirst + offset));
        }

        return numbers.ToImmutable();
    }

    /// <summary>Numbers that a ruleset in the kernel uses, by the interfaces that it puts into them.</summary>
    /// <remarks>
    /// If interfaces of a VPC are in several zones (one has moved between VPCs while nobody was looking), the zone with
    /// most of them is the VPC's.
    /// </remarks>
    public static ImmutableSortedDictionary<string, ushort> Find(
        Ruleset ruleset, PolicySnapshot policy, CompilerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(settings);
        NftSet? map = ruleset.Find(NftFamily.Inet, settings.Table)
            ?.Sets.FirstOrDefault(set => set.Name == Datapath.ZoneMap);
        if (map is null || map.Kind != NftSetKind.ZoneMap || map.KeyBytes != NftElements.InterfaceBytes)
        {
            return None;
        }

        var votes = new Dictionary<(string Vpc, ushort Zone), int>();
        Dictionary<string, string> owners = Interfaces(policy);
        for (int i = 0; i < map.Elements.Count; i++)
        {
            ReadOnlySpan<byte> row = map.Elements[i];
            if (owners.TryGetValue(NftElements.GetName(row[..NftElements.InterfaceBytes]), out string? vpc))
            {
                (string, ushort) vote = (vpc, MemoryMarshal.Read<ushort>(row[NftElements.InterfaceBytes..]));
                votes[vote] = votes.GetValueOrDefault(vote) + 1;
            }
        }

        var numbers = None.ToBuilder();
        var taken = new HashSet<ushort>();
        foreach (((string vpc, ushort zone), _) in votes
            .OrderByDescending(vote => vote.Value)
            .ThenBy(vote => vote.Key.Vpc, StringComparer.Ordinal)
            .ThenBy(vote => vote.Key.Zone))
        {
            if (!numbers.ContainsKey(vpc) && taken.Add(zone))
            {
                numbers.Add(vpc, zone);
            }
        }

        return numbers.ToImmutable();
    }

    /// <summary>Whether a ruleset in the kernel puts packets into zones at all.</summary>
    public static bool AreAssigned(Ruleset ruleset, CompilerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        ArgumentNullException.ThrowIfNull(settings);
        return ruleset.Find(NftFamily.Inet, settings.Table)?.Chains
            .Where(chain => chain.Hook is { Hook: NftHook.Prerouting })
            .SelectMany(chain => chain.Rules)
            .Any(rule => rule.Exprs.OfType<NftExpr.CtSet>().Any(set => set.Key == NftCtKey.Zone)) == true;
    }

    /// <summary>Every interface of a listed VPC, vNICs and uplinks, and its VPC.</summary>
    internal static Dictionary<string, string> Interfaces(PolicySnapshot policy)
    {
        var owners = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (Vnic vnic in policy.Vnics.Values.Where(vnic => policy.Vpcs.ContainsKey(vnic.VpcId)))
        {
            owners.TryAdd(vnic.InterfaceName, vnic.VpcId);
        }

        foreach (Vpc vpc in policy.Vpcs.Values)
        {
            foreach (string uplink in vpc.UplinkInterfaces)
            {
                owners.TryAdd(uplink, vpc.Id);
            }
        }

        return owners;
    }

    /// <summary>Zone by interface: what the kernel's map holds.</summary>
    internal static SortedDictionary<string, ushort> ByInterface(
        PolicySnapshot policy, IReadOnlyDictionary<string, ushort> zones)
    {
        var found = new SortedDictionary<string, ushort>(StringComparer.Ordinal);
        foreach ((string name, string vpc) in Interfaces(policy))
        {
            if (zones.TryGetValue(vpc, out ushort zone))
            {
                found.Add(name, zone);
            }
        }

        return found;
    }
}
