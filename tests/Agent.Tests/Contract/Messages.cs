using Agent.V1;

namespace Agent.Tests.Contract;

/// <summary>A small valid state in which every field of every resource says something, in canonical order.</summary>
internal static class Messages
{
    public static Snapshot Valid() => new()
    {
        Revision = 7,
        Groups = { Advanced(), Peers(), Web() },
        PrefixLists =
        {
            new PrefixList { Id = "pl4", Family = IpFamily.Ipv4, MaxEntries = 4, Name = "offices",
                Entries = { "10.1.2.0/24", "192.0.2.1" } },
            new PrefixList { Id = "pl6", Family = IpFamily.Ipv6, MaxEntries = 2, Name = "v6",
                Entries = { "2001:db8:1::/48" } },
        },
        PortLists =
            { new PortList { Id = "ports", MaxEntries = 5, Name = "services", Entries = { "22/22", "8000/9000" } } },
        Vnics = { Nic(), AdvancedNic() },
    };

    public static SecurityGroup Group(this Snapshot snapshot, string id) =>
        snapshot.Groups.First(group => group.Id == id);

    public static Rule Rule(this Snapshot snapshot, string id) =>
        snapshot.Group("web").Rules.First(rule => rule.Id == id);

    public static Vnic Vnic(this Snapshot snapshot, string id) => snapshot.Vnics.First(vnic => vnic.Id == id);

    public static PrefixList List(this Snapshot snapshot, string id) =>
        snapshot.PrefixLists.First(list => list.Id == id);

    private static SecurityGroup Web() => new()
    {
        Id = "web",
        VpcId = "vpc-1",
        Type = GroupType.Basic,
        InnerAccessPolicy = V1.Policy.Accept,
        Members = { "10.0.7.1", "10.0.8.0/24", "2001:db8::7:1" },
        ServiceManaged = true,
        Name = "front",
        Description = "takes requests",
        Labels = { ["team"] = "a", ["tier"] = "1" },
        Rules =
        {
            new Rule
            {
                Id = "r1", Direction = Direction.Ingress, Protocol = "tcp", Policy = V1.Policy.Accept, Priority = 1,
                PortRange = "80/80", Cidr = "10.0.0.0/8", OwnCidr = "10.0.0.8", Description = "web",
            },
            new Rule
            {
                Id = "r2", Direction = Direction.Ingress, Protocol = "udp", Policy = V1.Policy.Accept, Priority = 2,
                PortRange = "53/53", SourcePortRange = "1024/65535", GroupId = "peers",
            },
            new Rule
            {
                Id = "r3", Direction = Direction.Egress, Protocol = "tcp", Policy = V1.Policy.Drop, Priority = 100,
                PortListId = "ports", PrefixListId = "pl4",
            },
        },
    };

    private static SecurityGroup Peers() => new()
    {
        Id = "peers",
        VpcId = "vpc-1",
        Type = GroupType.Basic,
        InnerAccessPolicy = V1.Policy.Drop,
        Members = { "10.0.9.1", "2001:db8::9" },
    };

    private static SecurityGroup Advanced() => new()
    {
        Id = "adv",
        VpcId = "vpc-1",
        Type = GroupType.Advanced,
        InnerAccessPolicy = V1.Policy.Drop,
        Rules =
        {
            new Rule
            {
                Id = "a1", Direction = Direction.Egress, Protocol = "all", Policy = V1.Policy.Accept, Priority = 5,
                Cidr = "2001:db8::/32",
            },
        },
    };

    private static Vnic Nic() => new()
    {
        Id = "v1",
        InterfaceName = "tap1",
        Mac = "02:00:00:00:00:01",
        VpcId = "vpc-1",
        Addresses = { "10.0.0.8", "2001:db8::8" },
        DelegatedPrefixes = { "10.64.0.0/20" },
        GroupIds = { "web" },
        Timeouts =
            new SessionTimeouts { TcpEstablishedSeconds = 300, TcpClosedAndTimeWaitSeconds = 5, UdpSeconds = 60 },
        DisableSourceDestinationCheck = true,
    };

    private static Vnic AdvancedNic() => new()
    {
        Id = "v2",
        InterfaceName = "tap2",
        Mac = "02:00:00:00:00:02",
        VpcId = "vpc-1",
        Addresses = { "10.0.0.9" },
        GroupIds = { "adv" },
        Timeouts =
            new SessionTimeouts { TcpEstablishedSeconds = 910, TcpClosedAndTimeWaitSeconds = 3, UdpSeconds = 30 },
    };
}
