using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>What follows from a policy's vNICs alone: the same object as long as they are the same.</summary>
internal sealed class VnicIndex
{
    private readonly ImmutableSortedDictionary<string, Vnic> vnics;
    private readonly Dictionary<string, ImmutableArray<IpPrefix>> addresses = new(StringComparer.Ordinal);

    private VnicIndex(ImmutableSortedDictionary<string, Vnic> vnics, VnicIndex? earlier)
    {
        this.vnics = vnics;
        var byGroup = new Dictionary<string, List<IpPrefix>>(StringComparer.Ordinal);
        var profiles = new HashSet<Profile>();
        var times = new HashSet<SessionTimeouts>();
        foreach (Vnic vnic in vnics.Values)
        {
            profiles.Add(Profile.Of(vnic));
            times.Add(vnic.Timeouts);
            foreach (string group in vnic.GroupIds)
            {
                if (!byGroup.TryGetValue(group, out List<IpPrefix>? its))
                {
                    byGroup.Add(group, its = []);
                }

                its.AddRange(vnic.Addresses);
                its.AddRange(vnic.DelegatedPrefixes);
            }
        }

        foreach ((string group, List<IpPrefix> its) in byGroup)
        {
            its.Sort();
            ImmutableArray<IpPrefix> same = earlier?.AddressesOf(group) ?? [];
            addresses.Add(group, same.AsSpan().SequenceEqual([.. its]) ? same : [.. its]);
        }

        Interfaces = [.. vnics.Values.Select(vnic => vnic.InterfaceName)];
        Times = [.. times.OrderBy(SessionTimes.ChainName, StringComparer.Ordinal)];
        Vpcs =
        [
            .. profiles.GroupBy(profile => profile.VpcId, StringComparer.Ordinal)
                .OrderBy(vpc => vpc.Key, StringComparer.Ordinal)
                .Select(vpc => (vpc.Key, vpc.OrderBy(profile => profile.Name, StringComparer.Ordinal)
                    .ToImmutableArray())),
        ];
    }

    /// <summary>Profiles by VPC, in the order of their names.</summary>
    public ImmutableArray<(string Id, ImmutableArray<Profile> Profiles)> Vpcs { get; }

    /// <summary>In the order of the vNICs' ids.</summary>
    public string[] Interfaces { get; }

    /// <summary>All idle times that there are.</summary>
    public ImmutableArray<SessionTimeouts> Times { get; }

    /// <param name="policy">Whose vNICs.</param>
    /// <param name="earlier">This one if they are the same; otherwise its equal parts are in the new one.</param>
    public static VnicIndex Of(PolicySnapshot policy, VnicIndex? earlier) =>
        earlier is not null && ReferenceEquals(earlier.vnics, policy.Vnics) ? earlier
            : new VnicIndex(policy.Vnics, earlier);

    /// <summary>Sorted; the same array as long as they are the same.</summary>
    public ImmutableArray<IpPrefix> AddressesOf(string group) => addresses.GetValueOrDefault(group, []);
}
