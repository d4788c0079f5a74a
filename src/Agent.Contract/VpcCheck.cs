using Agent.Policy;
using static Agent.Contract.FaultList;

namespace Agent.Contract;

/// <summary>
/// Checks that conntrack can tell the sessions of different VPCs apart: by its zone where a VPC is listed, by their
/// addresses where it is not.
/// </summary>
internal sealed class VpcCheck(PolicySnapshot policy, FaultList faults)
{
    public void Run()
    {
        CheckUplinks();
        foreach (IpFamily family in (IpFamily[])[IpFamily.V4, IpFamily.V6])
        {
            CheckOverlaps(family);
        }
    }

    private void CheckUplinks()
    {
        Dictionary<string, string> vnics = new(StringComparer.Ordinal);
        foreach (Vnic vnic in policy.Vnics.Values)
        {
            vnics.TryAdd(vnic.InterfaceName, vnic.Id);
        }

        Dictionary<string, string> uplinks = new(StringComparer.Ordinal);
        foreach (Vpc vpc in policy.Vpcs.Values)
        {
            string path = $"vpcs[{Place(vpc.Id)}].uplink_interfaces";
            foreach (string uplink in vpc.UplinkInterfaces)
            {
                if (!uplinks.TryAdd(uplink, vpc.Id))
                {
                    faults.Add(path, Codes.Duplicate,
                        $"{Show(uplink)} is an uplink of VPC {Place(uplinks[uplink])} already",
                        "Give each VPC its own uplink, such as a VLAN device.");
                }

                if (vnics.TryGetValue(uplink, out string? vnic))
                {
                    faults.Add(path, Codes.Duplicate, $"{Show(uplink)} is the interface of vNIC {Place(vnic)}",
                        "List only devices that lead out of this host.");
                }
            }
        }
    }

    // Prefixes contain each other or are apart. In this order whatever contains a prefix comes before it, and what
    // contains the present one is a stack.
    private void CheckOverlaps(IpFamily family)
    {
        IEnumerable<(IpPrefix Prefix, Vnic Vnic)> claims = policy.Vnics.Values
            .Where(vnic => !policy.Vpcs.ContainsKey(vnic.VpcId))
            .SelectMany(vnic => vnic.Addresses.Concat(vnic.DelegatedPrefixes).Select(prefix => (prefix, vnic)))
            .Where(claim => claim.prefix.Family == family)
            .OrderBy(claim => claim.prefix.Bits).ThenBy(claim => claim.prefix.Length)
            .ThenBy(claim => claim.vnic.Id, StringComparer.Ordinal);
        var around = new Stack<(IpPrefix Prefix, Vnic Vnic)>();
        foreach ((IpPrefix prefix, Vnic vnic) in claims)
        {
            while (around.TryPeek(out (IpPrefix Prefix, Vnic Vnic) last) && !last.Prefix.Contains(prefix))
            {
                around.Pop();
            }

            (IpPrefix Prefix, Vnic Vnic) other = around.FirstOrDefault(claim => claim.Vnic.VpcId != vnic.VpcId);
            if (other.Vnic is not null)
            {
                faults.Add($"vnics[{Place(vnic.Id)}].addresses", Codes.AddressOverlap,
                    $"{prefix} of VPC {Place(vnic.VpcId)} overlaps {other.Prefix} "
                    + $"of vNIC {Place(other.Vnic.Id)} in VPC {Place(other.Vnic.VpcId)}, "
                    + "and neither VPC is listed",
                    "List one of the VPCs with its uplink interfaces in vpcs, "
                    + "so that it gets a conntrack zone of its own.");
            }

            around.Push((prefix, vnic));
        }
    }
}
