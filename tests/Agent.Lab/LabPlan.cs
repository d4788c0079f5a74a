using System.Net;
using Agent.TestNet;
using Agent.V1;
using Verdict = Agent.V1.Policy;

namespace Agent.Lab;

internal enum FlowKind
{
    Tcp,
    Udp,
    Ping,
}

/// <summary>One line of the table: who calls whom, and what must come of it.</summary>
internal sealed record Flow(FlowKind Kind, string From, string Source, string To, string Target, int Port, bool Passes)
{
    public string Text
    {
        get
        {
            string caller = From == LabPlan.Outside ? $"{From} {Source}" : From;
            return Kind == FlowKind.Ping
                ? $"{caller} -> {To}  ping {Target}"
                : $"{caller} -> {To}  {(Kind == FlowKind.Tcp ? "tcp" : "udp")} "
                    + new IPEndPoint(IPAddress.Parse(Target), Port);
        }
    }
}

/// <summary>The lab as data: five guests, two groups, a policy, and what follows from it.</summary>
internal static class LabPlan
{
    internal const string Outside = "outside";
    private const string Vpc = "vpc-lab";
    private const string WebGroup = "sg-web";
    private const string DatabaseGroup = "sg-db";
    private const string Office = "198.51.100.7";
    private const string OfficeV6 = "2001:db8:ffff::7";
    private const string Crook = "203.0.113.9";
    private const string Resolver = "8.8.8.8";
    private const string Metadata = "100.100.100.200";

    internal static readonly GuestSpec[] Guests =
    [
        new("web1", "tap-web1", "02:00:00:00:01:01", "10.0.1.11", "2001:db8:1:1::11"),
        new("web2", "tap-web2", "02:00:00:00:01:02", "10.0.1.12", "2001:db8:1:1::12"),
        new("web3", "tap-web3", "02:00:00:00:01:03", "10.0.1.13", "2001:db8:1:1::13"),
        new("db1", "tap-db1", "02:00:00:00:02:01", "10.0.2.21", "2001:db8:1:2::21"),
        new("db2", "tap-db2", "02:00:00:00:02:02", "10.0.2.22", "2001:db8:1:2::22"),
    ];

    internal static readonly string[] OutsideAddresses = [Office, Crook, Resolver, Metadata, OfficeV6];

    internal static readonly Flow[] Flows =
    [
        new(FlowKind.Tcp, Outside, Office, "web1", "10.0.1.11", 80, true),
        new(FlowKind.Tcp, Outside, OfficeV6, "web1", "2001:db8:1:1::11", 80, true),
        new(FlowKind.Tcp, Outside, Crook, "web1", "10.0.1.11", 80, false),
        new(FlowKind.Tcp, Outside, Office, "web2", "10.0.1.12", 22, true),
        new(FlowKind.Tcp, Outside, Crook, "web2", "10.0.1.12", 22, false),
        new(FlowKind.Udp, Outside, Office, "web1", "10.0.1.11", 53, false),
        new(FlowKind.Ping, Outside, Office, "web3", "10.0.1.13", 0, true),
        new(FlowKind.Ping, Outside, OfficeV6, "web3", "2001:db8:1:1::13", 0, false),
        new(FlowKind.Tcp, Outside, Office, "db1", "10.0.2.21", 5432, false),
        new(FlowKind.Tcp, Outside, OfficeV6, "db1", "2001:db8:1:2::21", 5432, false),
        new(FlowKind.Tcp, "web1", "10.0.1.11", "db1", "10.0.2.21", 5432, true),
        new(FlowKind.Tcp, "web2", "2001:db8:1:1::12", "db2", "2001:db8:1:2::22", 5432, true),
        new(FlowKind.Tcp, "web1", "10.0.1.11", "db1", "10.0.2.21", 22, false),
        new(FlowKind.Udp, "web1", "10.0.1.11", "web2", "10.0.1.12", 4000, true),
        new(FlowKind.Ping, "web2", "2001:db8:1:1::12", "web3", "2001:db8:1:1::13", 0, true),
        new(FlowKind.Tcp, "db1", "10.0.2.21", "db2", "10.0.2.22", 5432, false),
        new(FlowKind.Ping, "db2", "2001:db8:1:2::22", "db1", "2001:db8:1:2::21", 0, false),
        new(FlowKind.Tcp, "db1", "10.0.2.21", "web1", "10.0.1.11", 80, false),
        new(FlowKind.Udp, "db1", "10.0.2.21", Outside, Resolver, 53, true),
        new(FlowKind.Tcp, "db1", "10.0.2.21", Outside, Resolver, 443, false),
        new(FlowKind.Tcp, "db1", "10.0.2.21", Outside, Metadata, 80, true),
        new(FlowKind.Tcp, "web3", "10.0.1.13", Outside, Office, 443, true),
        new(FlowKind.Tcp, "web3", "2001:db8:1:1::13", Outside, OfficeV6, 443, true),
        new(FlowKind.Tcp, "web3", "10.0.1.13", Outside, Office, 25, false),
    ];

    internal static Snapshot Policy => new()
    {
        Groups =
        {
            new SecurityGroup
            {
                Id = WebGroup,
                VpcId = Vpc,
                Type = GroupType.Basic,
                InnerAccessPolicy = Verdict.Accept,
                Name = "web",
                Description = "Open to the world on 80, to the office on 22; members reach each other.",
                Rules =
                {
                    Inbound("http", "tcp", "80/80", "0.0.0.0/0"),
                    Inbound("http6", "tcp", "80/80", "::/0"),
                    Inbound("no-crooks", "tcp", "80/80", "203.0.113.0/24", Verdict.Drop),
                    Inbound("ssh-office", "tcp", "22/22", "198.51.100.0/24"),
                    Inbound("ping", "icmp", "-1/-1", "0.0.0.0/0"),
                },
            },
            new SecurityGroup
            {
                Id = DatabaseGroup,
                VpcId = Vpc,
                Type = GroupType.Basic,
                InnerAccessPolicy = Verdict.Drop,
                Name = "db",
                Description = "Serves the web group and resolves names; nothing else, not even its own members.",
                Rules =
                {
                    new Rule
                    {
                        Id = "postgres-from-web",
                        Direction = Direction.Ingress,
                        Protocol = "tcp",
                        Policy = Verdict.Accept,
                        Priority = 1,
                        PortRange = "5432/5432",
                        GroupId = WebGroup,
                    },
                    Outbound("resolver", "udp", "53/53", $"{Resolver}/32", 1, Verdict.Accept),
                    Outbound("nothing-else", "all", "-1/-1", "0.0.0.0/0", 100, Verdict.Drop),
                    Outbound("nothing-else6", "all", "-1/-1", "::/0", 100, Verdict.Drop),
                },
            },
        },
        Vnics = { Guests.Select(Nic) },
    };

    private static Vnic Nic(GuestSpec guest) => new()
    {
        Id = $"eni-{guest.Name}",
        InterfaceName = guest.Device,
        Mac = guest.Mac,
        VpcId = Vpc,
        Addresses = { guest.Addresses },
        GroupIds = { guest.Name.StartsWith("web", StringComparison.Ordinal) ? WebGroup : DatabaseGroup },
    };

    private static Rule Inbound(
        string id, string protocol, string ports, string cidr, Verdict verdict = Verdict.Accept) =>
        new()
        {
            Id = id,
            Direction = Direction.Ingress,
            Protocol = protocol,
            Policy = verdict,
            Priority = 1,
            PortRange = ports,
            Cidr = cidr,
        };

    private static Rule Outbound(
        string id, string protocol, string ports, string cidr, uint priority, Verdict verdict) =>
        new()
        {
            Id = id,
            Direction = Direction.Egress,
            Protocol = protocol,
            Policy = verdict,
            Priority = priority,
            PortRange = ports,
            Cidr = cidr,
        };
}
