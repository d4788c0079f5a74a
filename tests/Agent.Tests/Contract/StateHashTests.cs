using Agent.Contract;
using Agent.V1;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Tests.Contract;

public class StateHashTests
{
    /// <summary>A change of each field of each resource, by the field's full name in the proto.</summary>
    private static readonly Dictionary<string, Action<Snapshot>> Changes = new()
    {
        ["SecurityGroup.id"] = s =>
        {
            s.Group("peers").Id = "pairs";
            s.Rule("r2").GroupId = "pairs";
        },
        ["SecurityGroup.vpc_id"] = s =>
        {
            s.Group("adv").VpcId = "vpc-2";
            s.Vnic("v2").VpcId = "vpc-2";
        },
        ["SecurityGroup.type"] = s => s.Group("adv").Type = GroupType.Basic,
        ["SecurityGroup.inner_access_policy"] = s => s.Group("peers").InnerAccessPolicy = V1.Policy.Accept,
        ["SecurityGroup.rules"] = s => s.Group("adv").Rules.Clear(),
        ["SecurityGroup.members"] = s => s.Group("peers").Members[0] = "10.0.9.2",
        ["SecurityGroup.service_managed"] = s => s.Group("web").ServiceManaged = false,
        ["SecurityGroup.name"] = s => s.Group("web").Name = "back",
        ["SecurityGroup.description"] = s => s.Group("web").Description = "",
        ["SecurityGroup.labels"] = s => s.Group("web").Labels["tier"] = "2",
        ["Rule.id"] = s => s.Rule("r1").Id = "r9",
        ["Rule.direction"] = s => s.Rule("r2").Direction = Direction.Egress,
        ["Rule.protocol"] = s => s.Rule("r1").Protocol = "udp",
        ["Rule.policy"] = s => s.Rule("r1").Policy = V1.Policy.Drop,
        ["Rule.priority"] = s => s.Rule("r1").Priority = 2,
        ["Rule.port_range"] = s => s.Rule("r1").PortRange = "80/81",
        ["Rule.port_list_id"] = s =>
        {
            s.PortLists.Add(new PortList(s.PortLists[0]) { Id = "twin" });
            s.Rule("r3").PortListId = "twin";
        },
        ["Rule.source_port_range"] = s => s.Rule("r2").SourcePortRange = "",
        ["Rule.cidr"] = s => s.Rule("r1").Cidr = "10.0.0.0/9",
        ["Rule.prefix_list_id"] = s => s.Rule("r3").PrefixListId = "pl6",
        ["Rule.group_id"] = s => s.Rule("r3").GroupId = "peers",
        ["Rule.own_cidr"] = s => s.Rule("r1").OwnCidr = "10.0.0.9",
        ["Rule.description"] = s => s.Rule("r1").Description = "",
        ["PrefixList.id"] = s => s.List("pl6").Id = "pl7",
        ["PrefixList.family"] = s =>
        {
            s.List("pl6").Family = IpFamily.Ipv4;
            s.List("pl6").Entries.Clear();
        },
        ["PrefixList.max_entries"] = s => s.List("pl4").MaxEntries = 5,
        ["PrefixList.entries"] = s => s.List("pl4").Entries[0] = "10.1.2.0/25",
        ["PrefixList.name"] = s => s.List("pl4").Name = "",
        ["PortList.id"] = s =>
        {
            s.PortLists[0].Id = "other";
            s.Rule("r3").PortListId = "other";
        },
        ["PortList.max_entries"] = s => s.PortLists[0].MaxEntries = 6,
        ["PortList.entries"] = s => s.PortLists[0].Entries[0] = "22/23",
        ["PortList.name"] = s => s.PortLists[0].Name = "",
        ["Vnic.id"] = s => s.Vnic("v1").Id = "v9",
        ["Vnic.interface_name"] = s => s.Vnic("v1").InterfaceName = "tap9",
        ["Vnic.mac"] = s => s.Vnic("v1").Mac = "02:00:00:00:00:09",
        ["Vnic.vpc_id"] = s =>
        {
            s.Vnic("v2").VpcId = "vpc-2";
            s.Group("adv").VpcId = "vpc-2";
        },
        ["Vnic.addresses"] = s => s.Vnic("v1").Addresses[1] = "2001:db8::7",
        ["Vnic.delegated_prefixes"] = s => s.Vnic("v1").DelegatedPrefixes.Clear(),
        ["Vnic.group_ids"] = s => s.Vnic("v1").GroupIds.Add("peers"),
        ["Vnic.max_sessions"] = s => s.Vnic("v1").MaxSessions = 7,
        ["Vpc.id"] = s => s.Vpcs.Add(new Vpc { Id = "vpc-7" }),
        ["Vpc.uplink_interfaces"] = s => s.Vpcs.Add(new Vpc { Id = "vpc-1", UplinkInterfaces = { "up1" } }),
        ["Vnic.timeouts"] = s => s.Vnic("v1").Timeouts = null,
        ["Vnic.disable_source_destination_check"] = s => s.Vnic("v1").DisableSourceDestinationCheck = false,
        ["SessionTimeouts.tcp_established_seconds"] = s => s.Vnic("v1").Timeouts.TcpEstablishedSeconds = 301,
        ["SessionTimeouts.tcp_closed_and_time_wait_seconds"] = s =>
            s.Vnic("v1").Timeouts.TcpClosedAndTimeWaitSeconds = 6,
        ["SessionTimeouts.udp_seconds"] = s => s.Vnic("v1").Timeouts.UdpSeconds = 61,
    };

    public static TheoryData<string> Fields => [.. Changes.Keys];

    [Theory]
    [MemberData(nameof(Fields))]
    public void A_change_of_any_field_changes_the_hash(string field)
    {
        Snapshot changed = Messages.Valid();
        Changes[field](changed);
        Assert.NotEqual(Hash(Messages.Valid()), Hash(changed));
    }

    [Fact]
    public void Every_field_of_the_proto_has_its_change()
    {
        var fields = new List<string>();
        var waiting = new Queue<MessageDescriptor>([Snapshot.Descriptor]);
        HashSet<string> seen = [Timestamp.Descriptor.FullName]; // issued_at: when it was made is no part of the state
        while (waiting.TryDequeue(out MessageDescriptor? message))
        {
            if (!seen.Add(message.FullName) || message.FullName.EndsWith("Entry", StringComparison.Ordinal))
            {
                continue;
            }

            foreach (FieldDescriptor field in message.Fields.InDeclarationOrder())
            {
                if (message != Snapshot.Descriptor)
                {
                    fields.Add($"{message.Name}.{field.Name}");
                }

                if (field.FieldType == FieldType.Message)
                {
                    waiting.Enqueue(field.MessageType);
                }
            }
        }

        Assert.Equal(fields.Order(), Changes.Keys.Order());
    }

    [Fact]
    public void The_revision_is_not_part_of_the_state()
    {
        Snapshot later = Messages.Valid();
        later.Revision++;
        Assert.Equal(Hash(Messages.Valid()), Hash(later));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Order_does_not_matter(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 60; i++)
        {
            Snapshot state = i == 0 ? Messages.Valid() : RandomStates.Next(random, 1);
            Snapshot other = RandomStates.Shuffled(state, random);
            Assert.Equal(Hash(state), Hash(other));
        }
    }

    [Fact]
    public void The_first_address_is_the_primary_one()
    {
        Snapshot other = Messages.Valid();
        (other.Vnic("v1").Addresses[0], other.Vnic("v1").Addresses[1]) = ("2001:db8::8", "10.0.0.8");
        Assert.NotEqual(Hash(Messages.Valid()), Hash(other));
    }

    /// <summary>Controllers compute it too, and those of yesterday are still there.</summary>
    [Fact]
    public void The_hash_of_a_state_is_what_it_was() => Assert.StartsWith(
        "15056a97c6059b3b293006372d8f2a1487d975872922ef74d2", Convert.ToHexStringLower(Hash(Messages.Valid())));

    private static byte[] Hash(Snapshot snapshot) => StateHash.Of(DeltaTests.Read(snapshot));
}
