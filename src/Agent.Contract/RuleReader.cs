using Agent.Policy;

namespace Agent.Contract;

/// <summary>
/// Reads one rule (semantics.md 3.1 to 3.3). References are checked later, when all resources are known.
/// </summary>
internal sealed class RuleReader(FaultList faults, Fields fields)
{
    public GroupRule? Read(string path, V1.Rule message)
    {
        int before = faults.Count;
        fields.Id($"{path}.id", message.Id);
        Direction direction = message.Direction switch
        {
            V1.Direction.Ingress => Direction.Ingress,
            V1.Direction.Egress => Direction.Egress,
            _ => default,
        };
        if (direction == default)
        {
            faults.Add($"{path}.direction", Codes.Enumeration, "no direction", "Set ingress or egress.");
        }

        byte? protocol = fields.Protocol($"{path}.protocol", message.Protocol, out bool knownProtocol);
        (PortRange? ports, string? list) = Ports(path, message, protocol, knownProtocol);
        Remote? remote = ReadRemote(path, message, direction);
        IpPrefix? own = Own(path, message, direction);
        CheckFamilies(path, protocol, remote, own);
        var rule = new GroupRule
        {
            Id = message.Id,
            Direction = direction,
            Protocol = protocol,
            Verdict = PolicyOf($"{path}.policy", message.Policy),
            Priority = Priority($"{path}.priority", message.Priority),
            Remote = remote ?? new Remote.Group(""),
            DestinationPorts = ports,
            PortListId = list,
            SourcePorts = SourcePorts(path, message, protocol, knownProtocol),
            OwnSide = own,
            Description = fields.Text($"{path}.description", message.Description, 512, Codes.Description),
        };
        return faults.Count == before ? rule : null;
    }

    private (PortRange? Ports, string? List) Ports(string path, V1.Rule message, byte? protocol, bool known)
    {
        bool hasPorts = protocol is byte number && IpProtocol.HasPorts(number);
        string at = $"{path}.port_range";
        if (!hasPorts)
        {
            if (known && message.PortRange is not ("" or "-1/-1"))
            {
                faults.Add(
                    at, Codes.PortMismatch, $"ports {FaultList.Show(message.PortRange)} for a protocol without ports",
                    "Write -1/-1, or use tcp or udp.");
            }

            if (known && message.PortListId.Length > 0)
            {
                faults.Add(
                    $"{path}.port_list_id", Codes.PortListProtocol, "a port list for a protocol without ports",
                    "Use tcp or udp.");
            }

            return (null, null);
        }

        if (message.PortRange.Length == 0 && message.PortListId.Length > 0)
        {
            return (null, message.PortListId);
        }

        return (fields.Ports(at, message.PortRange, Codes.PortRange), null);
    }

    private PortRange? SourcePorts(string path, V1.Rule message, byte? protocol, bool known)
    {
        if (message.SourcePortRange is "" or "-1/-1")
        {
            return null;
        }

        string at = $"{path}.source_port_range";
        if (known && !(protocol is byte number && IpProtocol.HasPorts(number)))
        {
            faults.Add(
                at, Codes.PortMismatch, "source ports for a protocol without ports",
                "Leave it out, or use tcp or udp.");
            return null;
        }

        return fields.Ports(at, message.SourcePortRange, Codes.SourcePortRange);
    }

    private Remote? ReadRemote(string path, V1.Rule message, Direction direction)
    {
        bool ingress = direction != Direction.Egress;
        switch (message.RemoteCase)
        {
            case V1.Rule.RemoteOneofCase.Cidr:
                string code = CidrCode(isSource: ingress, message.Cidr);
                IpPrefix? prefix = fields.Prefix($"{path}.cidr", message.Cidr, code, canonical: false);
                return prefix is IpPrefix cidr ? new Remote.Cidr(cidr) : null;
            case V1.Rule.RemoteOneofCase.PrefixListId when message.PrefixListId.Length > 0:
                return new Remote.PrefixList(message.PrefixListId);
            case V1.Rule.RemoteOneofCase.GroupId when message.GroupId.Length > 0:
                return new Remote.Group(message.GroupId);
            default:
                faults.Add($"{path}.cidr", ingress ? Codes.MissingSource : Codes.MissingDest, "no remote side",
                    "Set one of cidr, prefix_list_id, group_id.");
                return null;
        }
    }

    private IpPrefix? Own(string path, V1.Rule message, Direction direction) => message.OwnCidr.Length == 0 ? null
        : fields.Prefix($"{path}.own_cidr", message.OwnCidr,
            CidrCode(isSource: direction == Direction.Egress, message.OwnCidr), canonical: false);

    private static string CidrCode(bool isSource, string text) =>
        (isSource, IsV6: text.Contains(':', StringComparison.Ordinal)) switch
        {
            (true, false) => Codes.SourceCidr,
            (true, true) => Codes.SourceCidrV6,
            (false, false) => Codes.DestCidr,
            (false, true) => Codes.DestCidrV6,
        };

    private void CheckFamilies(string path, byte? protocol, Remote? remote, IpPrefix? own)
    {
        IpFamily? family = (remote as Remote.Cidr)?.Prefix.Family ?? own?.Family;
        if (family is not null && protocol is IpProtocol.Icmp or IpProtocol.Icmpv6
            && family != (protocol == IpProtocol.Icmp ? IpFamily.V4 : IpFamily.V6))
        {
            faults.Add(
                $"{path}.protocol", Codes.ProtocolFamily, "ICMP is IPv4 only, ICMPv6 is IPv6 only",
                "Use the other one.");
        }

        if (own is IpPrefix ownSide && remote is Remote.Cidr cidr)
        {
            if (ownSide.Family != cidr.Prefix.Family)
            {
                faults.Add(
                    $"{path}.own_cidr", Codes.ProtocolFamily, "own side and remote side are of different families",
                    "Make two rules.");
            }
            else if (ownSide == cidr.Prefix)
            {
                faults.Add(
                    $"{path}.own_cidr", Codes.SameCidr, "own side and remote side are equal", "Correct one of them.");
            }
        }
    }

    private Verdict PolicyOf(string path, V1.Policy policy)
    {
        if (policy is not (V1.Policy.Unspecified or V1.Policy.Accept or V1.Policy.Drop))
        {
            faults.Add(path, Codes.Policy, $"{(int)policy} is not a policy", "Set accept or drop.");
        }

        return policy == V1.Policy.Drop ? Verdict.Drop : Verdict.Accept;
    }

    private byte Priority(string path, uint priority)
    {
        if (priority > 100)
        {
            faults.Add(path, Codes.Priority, $"priority {priority}", "Use 1 (strongest) to 100.");
            return 1;
        }

        return priority == 0 ? (byte)1 : (byte)priority;
    }
}
