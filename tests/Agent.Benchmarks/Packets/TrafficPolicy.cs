using System.Collections.Immutable;
using System.Globalization;
using Agent.Policy;

namespace Agent.Benchmarks.Packets;

/// <summary>One accept rule, in words that every firewall has.</summary>
/// <param name="Group">Name of the group on the other side; null: <paramref name="Prefix"/> is meant.</param>
/// <param name="Prefix">IPv4.</param>
/// <param name="Protocol">tcp or udp.</param>
/// <param name="Ports">Destination ports.</param>
internal sealed record TrafficRule(string? Group, IpPrefix Prefix, byte Protocol, PortRange Ports)
{
    public string ProtocolName => Protocol == IpProtocol.Tcp ? "tcp" : "udp";

    public bool IsRange => Ports.First != Ports.Last;

    /// <summary>The ports as nft and firewalld write them; iptables has a colon.</summary>
    public string PortsText(char between) => string.Create(
        CultureInfo.InvariantCulture, $"{Ports.First}{(IsRange ? $"{between}{Ports.Last}" : "")}");
}

/// <summary>A guest: a port of the host, and what it may call its own.</summary>
internal sealed record TrafficPort(int Number)
{
    public string Device => string.Create(CultureInfo.InvariantCulture, $"tap-{Number}");

    public string Address => string.Create(CultureInfo.InvariantCulture, $"10.0.{Number / 250}.{Number % 250 + 1}");

    public string Mac => string.Create(
        CultureInfo.InvariantCulture, $"02:00:00:00:{Number / 256:x2}:{Number % 256:x2}");

    public static MacAddress ParseMac(string text) =>
        MacAddress.TryParse(text, out MacAddress mac) ? mac : throw new FormatException(text);
}

/// <summary>
/// What is measured: accept lists, one egress and one ingress, that every port of a host has, and ten ports share.
/// </summary>
/// <remarks>
/// Half of the rules name a group of 256 addresses, half a prefix; three of four are TCP; one in 16 is a range of 40
/// ports. The last two, TCP and UDP port 7777 for members of the first group, admit the traffic: lists that are walked
/// are walked whole. What no rule admits is dropped, both ways.
/// </remarks>
/// <param name="Rules">In each direction.</param>
/// <param name="PortCount">Ports of the host, at least two.</param>
internal sealed record TrafficPolicy(int Rules, int PortCount)
{
    public const ushort OpenPort = 7777;
    public const int MembersPerGroup = 256;
    public const int PortsPerPolicy = 10;
    private const int Groups = 5;

    /// <summary>The first port sends, the last one receives; churn is about the second.</summary>
    public static TrafficPort Sender => new(0);

    public TrafficPort Receiver => new(PortCount - 1);

    public IEnumerable<TrafficPort> Ports => Enumerable.Range(0, PortCount).Select(number => new TrafficPort(number));

    public static IEnumerable<string> GroupNames => Enumerable.Range(0, Groups).Select(GroupName);

    /// <summary>The list of a direction, in order.</summary>
    public IReadOnlyList<TrafficRule> List() =>
    [
        .. Enumerable.Range(0, Rules - 2).Select(RuleAt),
        new(GroupName(0), default, IpProtocol.Tcp, new PortRange(OpenPort, OpenPort)),
        new(GroupName(0), default, IpProtocol.Udp, new PortRange(OpenPort, OpenPort)),
    ];

    /// <summary>Addresses of a group; the sender and the receiver are in the first one.</summary>
    public IReadOnlyList<string> Members(string group)
    {
        int number = int.Parse(group[^1..], CultureInfo.InvariantCulture);
        List<string> all =
        [
            .. Enumerable.Range(0, MembersPerGroup).Select(i =>
                string.Create(CultureInfo.InvariantCulture, $"10.{20 + number}.7.{i}")),
        ];
        if (number == 0)
        {
            all[0] = Sender.Address;
            all[1] = Receiver.Address;
        }

        return all;
    }

    /// <summary>The same in the agent's own terms.</summary>
    /// <param name="edit">Another number is another rule of the second port, and another member of a group.</param>
    public PolicySnapshot Snapshot(int edit = 0)
    {
        var groups = ImmutableSortedDictionary.CreateBuilder<string, SecurityGroup>(StringComparer.Ordinal);
        foreach (string name in GroupNames)
        {
            string[] more = edit > 0 && name == GroupName(1)
                ? [string.Create(CultureInfo.InvariantCulture, $"10.99.{edit / 256}.{edit % 256}")] : [];
            groups.Add(name, Group(name) with { Members = [.. Members(name).Concat(more).Select(IpPrefix.Parse)] });
        }

        foreach (string name in Ports.Select(PolicyOf).Distinct())
        {
            GroupRule[] rules = [.. RulesBothWays()];
            rules[0] = name == PolicyOf(new TrafficPort(1)) && edit > 0
                ? rules[0] with { DestinationPorts = new PortRange((ushort)(9000 + edit), (ushort)(9000 + edit)) }
                : rules[0];
            groups.Add(name, Group(name) with { Rules = [.. rules] });
        }

        return new PolicySnapshot
        {
            Revision = 1,
            Groups = groups.ToImmutable(),
            Vnics = Ports.Select(port => new Vnic
            {
                Id = port.Device,
                InterfaceName = port.Device,
                Mac = TrafficPort.ParseMac(port.Mac),
                VpcId = BenchmarkHost.Vpc,
                Addresses = [IpPrefix.Parse($"{port.Address}/32")],
                GroupIds = [PolicyOf(port)],
            }).ToImmutableSortedDictionary(vnic => vnic.Id, vnic => vnic, StringComparer.Ordinal),
        };
    }

    // The sender, the second port and the receiver are never of one policy.
    public string PolicyOf(TrafficPort port) => string.Create(CultureInfo.InvariantCulture,
        $"sg-p{(port.Number < 2 ? port.Number : port == Receiver ? 2 : 3 + port.Number / PortsPerPolicy)}");

    private static string GroupName(int number) => string.Create(CultureInfo.InvariantCulture, $"sg-r{number}");

    private static SecurityGroup Group(string name) => new()
    {
        Id = name,
        VpcId = BenchmarkHost.Vpc,
        Type = GroupType.Basic,
        InnerAccess = Verdict.Drop,
    };

    private static TrafficRule RuleAt(int i)
    {
        ushort port = (ushort)(i % 16 == 5 ? 20_000 + i * 40 : 10_000 + i);
        return new TrafficRule(
            i % 2 == 0 ? GroupName(i / 2 % Groups) : null,
            new IpPrefix(IpFamily.V4, 0x0a40_0000u + ((uint)(i % 64) << 16), 16),
            i % 4 < 3 ? IpProtocol.Tcp : IpProtocol.Udp,
            new PortRange(port, (ushort)(i % 16 == 5 ? port + 39 : port)));
    }

    private IEnumerable<GroupRule> RulesBothWays()
    {
        IReadOnlyList<TrafficRule> list = List();
        foreach (Direction direction in (Direction[])[Direction.Ingress, Direction.Egress])
        {
            for (int i = 0; i < list.Count; i++)
            {
                yield return new GroupRule
                {
                    Id = (direction == Direction.Egress ? "e" : "i") + i.ToString(CultureInfo.InvariantCulture),
                    Direction = direction,
                    Protocol = list[i].Protocol,
                    DestinationPorts = list[i].Ports,
                    Remote = list[i].Group is string group
                        ? new Remote.Group(group) : new Remote.Cidr(list[i].Prefix),
                };
            }
        }

        // A basic group lets out what no rule names.
        foreach (string all in (string[])["0.0.0.0/0", "::/0"])
        {
            yield return new GroupRule
            {
                Id = all == "::/0" ? "e6-rest" : "e4-rest",
                Direction = Direction.Egress,
                Verdict = Verdict.Drop,
                Priority = 100,
                Remote = new Remote.Cidr(IpPrefix.Parse(all)),
            };
        }
    }
}
