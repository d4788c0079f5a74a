using Agent.Contract;
using Agent.Policy;

namespace Agent.Tests.Contract;

/// <summary>Listed VPCs and session limits: on the wire, in the hash, and what is refused.</summary>
public sealed class VpcTests
{
    [Fact]
    public void A_state_with_vpcs_and_limits_comes_back_as_it_went()
    {
        V1.Snapshot state = State("vpc-a", "vpc-b");
        state.Vpcs.Add(new V1.Vpc { Id = "vpc-b", UplinkInterfaces = { "up-b1", "up-b0" } });
        state.Vnics[0].MaxSessions = 0;
        state.Vnics[1].MaxSessions = 500;
        PolicySnapshot policy = Accepted(state);
        Assert.Equal(0, policy.Vnics["eni-0"].MaxSessions);
        Assert.Equal(["up-b0", "up-b1"], policy.Vpcs["vpc-b"].UplinkInterfaces);
        PolicySnapshot again = Accepted(SnapshotWriter.Write(policy));
        Assert.Equal(StateHash.Of(policy), StateHash.Of(again));
        Assert.Equal(SnapshotWriter.Write(policy), SnapshotWriter.Write(again));
    }

    [Fact]
    public void Vpcs_uplinks_and_limits_are_part_of_the_hash()
    {
        byte[][] hashes =
        [
            Hash(_ => { }),
            Hash(state => state.Vpcs.Add(new V1.Vpc { Id = "vpc-b" })),
            Hash(state => state.Vpcs.Add(new V1.Vpc { Id = "vpc-b", UplinkInterfaces = { "up" } })),
            Hash(state => state.Vnics[0].MaxSessions = 0),
            Hash(state => state.Vnics[0].MaxSessions = 1),
            Hash(state => state.Vnics[1].MaxSessions = 1),
        ];
        Assert.Equal(hashes.Length, hashes.Select(Convert.ToHexString).Distinct().Count());
    }

    [Fact]
    public void Overlapping_vpcs_are_refused_until_all_but_one_are_listed()
    {
        V1.Snapshot state = State("vpc-a", "vpc-b", "vpc-c");
        state.Vnics[0].Addresses.Add(["10.0.0.1", "2001:db8::1"]);
        state.Vnics[1].DelegatedPrefixes.Add("10.0.0.0/24");
        state.Vnics[2].DelegatedPrefixes.Add("2001:db8::/64");
        Assert.Equal(
            ["vnics[eni-0].addresses", "vnics[eni-0].addresses"],
            Refused(state, "VpcAddressOverlap"));
        state.Vpcs.Add(new V1.Vpc { Id = "vpc-b" });
        Assert.Equal(["vnics[eni-0].addresses"], Refused(state, "VpcAddressOverlap"));
        state.Vpcs.Add(new V1.Vpc { Id = "vpc-c" });
        Accepted(state);
    }

    [Fact]
    public void A_prefix_between_others_is_found_behind_a_neighbour_of_its_own_vpc()
    {
        V1.Snapshot state = State("vpc-a", "vpc-b", "vpc-b");
        state.Vnics[0].DelegatedPrefixes.Add("10.0.0.0/8");
        state.Vnics[1].DelegatedPrefixes.Add("10.1.0.0/16");
        state.Vnics[2].Addresses.Add("10.1.2.3");
        Assert.Equal(
            ["vnics[eni-1].addresses", "vnics[eni-2].addresses"], Refused(state, "VpcAddressOverlap"));
    }

    [Fact]
    public void Every_fault_of_vpcs_is_reported()
    {
        V1.Snapshot state = State("vpc-a", "vpc-b");
        state.Vnics[0].MaxSessions = uint.MaxValue;
        state.Vpcs.Add(
            new V1.Vpc { Id = "no good", UplinkInterfaces = { "up", "up", "far too long a name", "tap-0" } });
        state.Vpcs.Add(new V1.Vpc { Id = "vpc-b", UplinkInterfaces = { "up" } });
        state.Vpcs.Add(new V1.Vpc { Id = "vpc-b" });
        SnapshotResult result = SnapshotReader.Read(state, PolicyLimits.Default);
        Assert.Null(result.Policy);
        Assert.Equal(
            [
                "vnics[eni-0].max_sessions LimitExceeded",
                "vpcs[no good].id InvalidId",
                "vpcs[no good].uplink_interfaces Duplicate",
                "vpcs[no good].uplink_interfaces[1] Duplicate",
                "vpcs[no good].uplink_interfaces[2] InvalidInterfaceName",
                "vpcs[vpc-b] Duplicate",
                "vpcs[vpc-b].uplink_interfaces Duplicate",
            ],
            result.Faults.Select(fault => $"{fault.Path} {fault.Code}").Order(StringComparer.Ordinal));
        Assert.All(result.Faults, fault => Assert.NotEmpty(fault.Remedy));
    }

    [Fact]
    public void Deltas_list_and_unlist_vpcs()
    {
        PolicySnapshot held = Accepted(State("vpc-a", "vpc-b"));
        SnapshotResult listed = DeltaReader.Apply(held, new V1.Delta
        {
            BaseRevision = 1,
            Revision = 2,
            UpsertVpcs = { new V1.Vpc { Id = "vpc-b", UplinkInterfaces = { "up" } } },
        }, PolicyLimits.Default);
        Assert.Equal(["up"], listed.Policy!.Vpcs["vpc-b"].UplinkInterfaces);
        SnapshotResult gone = DeltaReader.Apply(
            listed.Policy, new V1.Delta { BaseRevision = 2, Revision = 3, RemoveVpcs = { "vpc-b" } },
            PolicyLimits.Default);
        Assert.Empty(gone.Policy!.Vpcs);
        Assert.Equal(StateHash.Of(held), StateHash.Of(gone.Policy));
        SnapshotResult wrong = DeltaReader.Apply(held, new V1.Delta
        {
            BaseRevision = 1,
            Revision = 2,
            UpsertVpcs = { new V1.Vpc { Id = "vpc-b", UplinkInterfaces = { "tap-0" } } },
        }, PolicyLimits.Default);
        Assert.Null(wrong.Policy);
    }

    [Fact]
    public void A_snapshot_in_parts_counts_its_vpcs()
    {
        V1.Snapshot state = State("vpc-a");
        state.Vpcs.Add(new V1.Vpc { Id = "vpc-a" });
        var end = new V1.SnapshotEnd
        {
            GroupCount = 1,
            VnicCount = 1,
            StateHash = Google.Protobuf.ByteString.CopyFrom(StateHash.Of(Accepted(state))),
        };
        Assert.Equal("snapshot_end.vpc_count", Assert.Single(Assemble(state, end)).Path);
        end.VpcCount = 1;
        Assert.Empty(Assemble(state, end));
    }

    private static System.Collections.Immutable.ImmutableArray<PolicyFault> Assemble(
        V1.Snapshot state, V1.SnapshotEnd end)
    {
        using var assembler = new SnapshotAssembler(PolicyLimits.Default, new SnapshotBudget(1 << 20));
        assembler.Begin(new V1.SnapshotBegin { Revision = state.Revision });
        assembler.Add(
            new V1.SnapshotChunk { Groups = { state.Groups }, Vnics = { state.Vnics }, Vpcs = { state.Vpcs } });
        return assembler.End(end).Read.Faults;
    }

    /// <summary>One vNIC for each VPC named, without addresses.</summary>
    private static V1.Snapshot State(params string[] vpcs)
    {
        var state = new V1.Snapshot { Revision = 1 };
        foreach (string vpc in vpcs.Distinct())
        {
            state.Groups.Add(new V1.SecurityGroup { Id = $"sg-{vpc}", VpcId = vpc });
        }

        for (int i = 0; i < vpcs.Length; i++)
        {
            state.Vnics.Add(new V1.Vnic
            {
                Id = $"eni-{i}",
                InterfaceName = $"tap-{i}",
                Mac = $"02:00:00:00:00:0{i}",
                VpcId = vpcs[i],
                GroupIds = { $"sg-{vpcs[i]}" },
            });
        }

        return state;
    }

    private static byte[] Hash(Action<V1.Snapshot> change)
    {
        V1.Snapshot state = State("vpc-a", "vpc-b");
        change(state);
        return StateHash.Of(Accepted(state));
    }

    private static PolicySnapshot Accepted(V1.Snapshot state)
    {
        SnapshotResult result = SnapshotReader.Read(state, PolicyLimits.Default);
        Assert.True(result.Policy is not null, string.Join('\n', result.Faults));
        return result.Policy;
    }

    private static IEnumerable<string> Refused(V1.Snapshot state, string code)
    {
        SnapshotResult result = SnapshotReader.Read(state, PolicyLimits.Default);
        Assert.All(result.Faults, fault => Assert.Equal(code, fault.Code));
        return result.Faults.Select(fault => fault.Path).Order(StringComparer.Ordinal);
    }
}
