using Agent.Policy;

namespace Agent.Evaluator.Sessions;

/// <summary>Finds the vNIC that an end of a session is, by the session's zone and the end's address.</summary>
/// <remarks>
/// A guest has its addresses, its delegated prefixes, and the link-local address of its MAC. A lookup asks once per
/// prefix length that occurs. Safe for concurrent use.
/// </remarks>
public sealed class SessionOwners
{
    private readonly PolicySnapshot policy;
    private readonly IReadOnlyDictionary<string, ushort> zones;
    private readonly Dictionary<(ushort Zone, IpPrefix Prefix), Vnic> owners = [];
    private readonly byte[] lengthsV4;
    private readonly byte[] lengthsV6;

    /// <param name="policy">The vNICs.</param>
    /// <param name="zones">Conntrack zones of the listed VPCs, by VPC id.</param>
    public SessionOwners(PolicySnapshot policy, IReadOnlyDictionary<string, ushort> zones)
    {
        ArgumentNullException.ThrowIfNull(policy);
        (this.policy, this.zones) = (policy, zones);
        foreach (Vnic vnic in policy.Vnics.Values)
        {
            ushort zone = ZoneOf(vnic);
            IpPrefix linkLocal = IpPrefix.Host(IpFamily.V6, PolicyOracle.LinkLocal(vnic.Mac));
            foreach (IpPrefix prefix in vnic.Addresses.Concat(vnic.DelegatedPrefixes).Append(linkLocal))
            {
                owners.TryAdd((zone, prefix), vnic);
            }
        }

        lengthsV4 = Lengths(IpFamily.V4);
        lengthsV6 = Lengths(IpFamily.V6);
    }

    /// <summary>The conntrack zone in which the vNIC's sessions are.</summary>
    public ushort ZoneOf(Vnic vnic)
    {
        ArgumentNullException.ThrowIfNull(vnic);
        return policy.Vpcs.ContainsKey(vnic.VpcId) ? zones.GetValueOrDefault(vnic.VpcId) : (ushort)0;
    }

    /// <returns>Null: nobody here has the address.</returns>
    public Vnic? Of(ushort zone, IpFamily family, UInt128 address)
    {
        foreach (byte length in family == IpFamily.V4 ? lengthsV4 : lengthsV6)
        {
            if (owners.TryGetValue((zone, new IpPrefix(family, address, length)), out Vnic? vnic))
            {
                return vnic;
            }
        }

        return null;
    }

    /// <summary>Longest first.</summary>
    private byte[] Lengths(IpFamily family) =>
        [.. owners.Keys.Where(key => key.Prefix.Family == family).Select(key => key.Prefix.Length)
            .Distinct().OrderDescending()];
}
