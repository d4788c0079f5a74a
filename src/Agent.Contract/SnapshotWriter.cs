using Agent.Policy;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Contract;

/// <summary>A policy as the message that would make it, in canonical order.</summary>
public static class SnapshotWriter
{
    public static V1.Snapshot Write(PolicySnapshot policy)
    {
        ArgumentNullException.ThrowIfNull(policy);
        var snapshot = new V1.Snapshot { Revision = policy.Revision, IssuedAt = policy.IssuedAt?.ToTimestamp() };
        snapshot.Groups.AddRange(policy.Groups.Values.Select(Group));
        snapshot.PrefixLists.AddRange(policy.PrefixLists.Values.Select(PrefixList));
        snapshot.PortLists.AddRange(policy.PortLists.Values.Select(PortList));
        snapshot.Vnics.AddRange(policy.Vnics.Values.Select(Vnic));
        snapshot.Vpcs.AddRange(policy.Vpcs.Values.Select(Vpc));
        return snapshot;
    }

    /// <summary>One group with its members.</summary>
    public static V1.SecurityGroup Group(SecurityGroup group)
    {
        V1.SecurityGroup message = GroupWithoutMembers(group);
        message.Members.AddRange(group.Members.Select(member => member.ToString()));
        return message;
    }

    /// <summary>One group as a delta has it that changes anything but who is in it.</summary>
    public static V1.SecurityGroup GroupWithoutMembers(SecurityGroup group)
    {
        ArgumentNullException.ThrowIfNull(group);
        var message = new V1.SecurityGroup
        {
            Id = group.Id,
            VpcId = group.VpcId,
            Type = group.Type == GroupType.Basic ? V1.GroupType.Basic : V1.GroupType.Advanced,
            InnerAccessPolicy = PolicyOf(group.InnerAccess),
            ServiceManaged = group.ServiceManaged,
            Name = group.Name,
            Description = group.Description,
        };
        message.Rules.AddRange(group.Rules.OrderBy(rule => rule.Id, StringComparer.Ordinal).Select(Rule));
        message.Labels.Add(group.Labels);
        return message;
    }

    /// <summary>One rule, as a snapshot has it.</summary>
    public static V1.Rule Rule(GroupRule rule)
    {
        var message = new V1.Rule
        {
            Id = rule.Id,
            Direction = DirectionOf(rule.Direction),
            Protocol = rule.Protocol switch
            {
                null => "all",
                IpProtocol.Tcp => "tcp",
                IpProtocol.Udp => "udp",
                IpProtocol.Icmp => "icmp",
                IpProtocol.Icmpv6 => "icmpv6",
                IpProtocol.Gre => "gre",
                byte number => number.ToString(null, null),
            },
            Policy = PolicyOf(rule.Verdict),
            Priority = rule.Priority,
            PortRange = rule.DestinationPorts?.ToString() ?? "",
            PortListId = rule.PortListId ?? "",
            SourcePortRange = rule.SourcePorts?.ToString() ?? "",
            OwnCidr = rule.OwnSide?.ToString() ?? "",
            Description = rule.Description,
        };
        switch (rule.Remote)
        {
            case Remote.Cidr cidr: message.Cidr = cidr.Prefix.ToString(); break;
            case Remote.PrefixList list: message.PrefixListId = list.Id; break;
            case Remote.Group group: message.GroupId = group.Id; break;
        }

        return message;
    }

    public static V1.PrefixList PrefixList(PrefixList list)
    {
        ArgumentNullException.ThrowIfNull(list);
        var message = new V1.PrefixList
        {
            Id = list.Id,
            Family = list.Family == IpFamily.V4 ? V1.IpFamily.Ipv4 : V1.IpFamily.Ipv6,
            MaxEntries = (uint)list.MaxEntries,
            Name = list.Name,
        };
        message.Entries.AddRange(list.Entries.Select(entry => entry.ToString()));
        return message;
    }

    public static V1.PortList PortList(PortList list)
    {
        ArgumentNullException.ThrowIfNull(list);
        var message = new V1.PortList { Id = list.Id, MaxEntries = (uint)list.MaxEntries, Name = list.Name };
        message.Entries.AddRange(list.Entries.Select(range => range.ToString()));
        return message;
    }

    public static V1.Vnic Vnic(Vnic vnic)
    {
        ArgumentNullException.ThrowIfNull(vnic);
        var message = new V1.Vnic
        {
            Id = vnic.Id,
            InterfaceName = vnic.InterfaceName,
            Mac = vnic.Mac.ToString(),
            VpcId = vnic.VpcId,
            DisableSourceDestinationCheck = !vnic.SourceDestinationCheck,
            Timeouts = new V1.SessionTimeouts
            {
                TcpEstablishedSeconds = (uint)vnic.Timeouts.TcpEstablishedSeconds,
                TcpClosedAndTimeWaitSeconds = (uint)vnic.Timeouts.TcpClosedAndTimeWaitSeconds,
                UdpSeconds = (uint)vnic.Timeouts.UdpSeconds,
            },
        };
        message.Addresses.AddRange(vnic.Addresses.Select(address => address.ToString()));
        message.DelegatedPrefixes.AddRange(vnic.DelegatedPrefixes.Select(prefix => prefix.ToString()));
        message.GroupIds.AddRange(vnic.GroupIds);
        if (vnic.MaxSessions is int sessions)
        {
            message.MaxSessions = (uint)sessions;
        }

        return message;
    }

    public static V1.Vpc Vpc(Vpc vpc)
    {
        ArgumentNullException.ThrowIfNull(vpc);
        var message = new V1.Vpc { Id = vpc.Id };
        message.UplinkInterfaces.AddRange(vpc.UplinkInterfaces);
        return message;
    }

    public static V1.Direction DirectionOf(Direction direction) =>
        direction == Direction.Ingress ? V1.Direction.Ingress : V1.Direction.Egress;

    public static V1.Policy PolicyOf(Verdict verdict) => verdict == Verdict.Accept ? V1.Policy.Accept : V1.Policy.Drop;
}
