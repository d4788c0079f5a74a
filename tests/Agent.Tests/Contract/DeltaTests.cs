using Agent.Contract;
using Agent.Policy;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Contract;

public class DeltaTests
{
    internal static readonly string[] Codes = [Agent.Contract.Codes.StaleBase];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Deltas_lead_to_the_state_and_the_hash_of_the_snapshot(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 25; i++)
        {
            Snapshot state = RandomStates.Next(random, 1);
            PolicySnapshot policy = Read(state);
            for (int step = 0; step < 8; step++)
            {
                Snapshot next = random.Next(6) == 0 ? RandomStates.Next(random, 0) : state.Clone();
                next.Revision = state.Revision + (ulong)random.Next(1, 4);
                for (int change = random.Next(1, 4); change > 0; change--)
                {
                    RandomStates.Change(next, random);
                }

                Delta delta = RandomStates.Between(state, next, random);
                SnapshotResult result = DeltaReader.Apply(policy, delta, PolicyLimits.Unlimited);
                Assert.True(result.Policy is not null, $"{result.Faults.FirstOrDefault()}\n{delta}");
                policy = result.Policy;
                state = next;
                PolicySnapshot expected = Read(state);
                Assert.Equal(SnapshotWriter.Write(expected), SnapshotWriter.Write(policy));
                Assert.Equal(StateHash.Of(expected), StateHash.Of(policy));
            }
        }
    }

    [Fact]
    public void The_time_of_a_delta_is_its_own_and_no_part_of_the_state()
    {
        PolicySnapshot held = Read(Messages.Valid());
        PolicySnapshot timed = held with { IssuedAt = DateTimeOffset.UnixEpoch };
        Assert.Equal(StateHash.Of(held), StateHash.Of(timed));
        var delta = new Delta { BaseRevision = 7, Revision = 8 };
        Assert.Null(DeltaReader.Apply(timed, delta, PolicyLimits.Default).Policy!.IssuedAt);
        delta.IssuedAt = new() { Seconds = -1 };
        Assert.Equal(DateTimeOffset.UnixEpoch.AddSeconds(-1),
            DeltaReader.Apply(held, delta, PolicyLimits.Default).Policy!.IssuedAt);
        delta.IssuedAt.Nanos = -1;
        Assert.Equal(("issued_at", Agent.Contract.Codes.Time),
            DeltaReader.Apply(held, delta, PolicyLimits.Default).Faults.Select(one => (one.Path, one.Code)).Single());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void What_is_written_is_read_the_same(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 100; i++)
        {
            PolicySnapshot policy = Read(RandomStates.Next(random, 1));
            Snapshot written = SnapshotWriter.Write(policy);
            PolicySnapshot again = Read(written);
            Assert.Equal(written, SnapshotWriter.Write(again));
            Assert.Equal(StateHash.Of(policy), StateHash.Of(again));
        }
    }

    [Fact]
    public void Every_field_survives_the_writing() =>
        Assert.Equal(Messages.Valid(), SnapshotWriter.Write(Read(Messages.Valid())));

    [Theory]
    [InlineData(6ul, 9ul)]
    [InlineData(8ul, 9ul)]
    [InlineData(0ul, 1ul)]
    public void A_delta_on_another_base_is_refused(ulong baseRevision, ulong revision)
    {
        SnapshotResult result = Apply(new Delta { BaseRevision = baseRevision, Revision = revision });
        PolicyFault fault = Assert.Single(result.Faults);
        Assert.Equal(("base_revision", Agent.Contract.Codes.StaleBase), (fault.Path, fault.Code));
        Assert.Contains("7", fault.Message);
        Assert.NotEmpty(fault.Remedy);
    }

    [Theory]
    [InlineData(7ul)]
    [InlineData(3ul)]
    public void Revisions_count_upwards(ulong revision)
    {
        SnapshotResult result = Apply(new Delta { BaseRevision = 7, Revision = revision });
        Assert.Equal(("revision", Agent.Contract.Codes.Revision), Of(Assert.Single(result.Faults)));
    }

    [Fact]
    public void All_faults_of_a_delta_are_told_at_once()
    {
        V1.SecurityGroup bad = Messages.Valid().Group("web");
        bad.Rules[0].Priority = 101;
        bad.Rules[1].GroupId = "gone";
        SnapshotResult result = Apply(new Delta
        {
            BaseRevision = 7,
            Revision = 8,
            UpsertGroups = { bad, bad },
            RemovePortLists = { "ports" },
            RemoveVnics = { "v2", "v2" },
            Members = { new MemberChange { GroupId = "nobody", Add = { "10.0.0.1" } } },
        });
        Assert.Null(result.Policy);
        (string, string)[] expected =
        [
            ("groups[web].rules[r1].priority", Agent.Contract.Codes.Priority),
            ("groups[web]", Agent.Contract.Codes.Duplicate),
            ("vnics[v2]", Agent.Contract.Codes.Duplicate),
            ("members[nobody]", Agent.Contract.Codes.GroupNotFound),
            ("groups[web].rules[r2].group_id", Agent.Contract.Codes.SourceNotFound),
            ("groups[web].rules[r3].port_list_id", Agent.Contract.Codes.PortListNotFound),
        ];
        Assert.Empty(expected.Except(result.Faults.Select(Of)));
    }

    [Fact]
    public void What_others_still_name_is_not_removed()
    {
        SnapshotResult result = Apply(new Delta { BaseRevision = 7, Revision = 8, RemoveGroups = { "peers", "web" } });
        Assert.Equal([("vnics[v1].group_ids", Agent.Contract.Codes.GroupNotFound)], result.Faults.Select(Of));
    }

    [Fact]
    public void A_bad_member_is_told_by_its_place()
    {
        SnapshotResult result = Apply(new Delta
        {
            BaseRevision = 7,
            Revision = 8,
            Members = { new MemberChange { GroupId = "web", Add = { "10.0.0.1", "x" }, Remove = { "10.0.0.1/8" } } },
        });
        Assert.Equal(
            ["members[web].add[1]", "members[web].remove[0]"], result.Faults.Select(fault => fault.Path).Order());
    }

    [Fact]
    public void The_limit_of_members_holds_for_deltas()
    {
        PolicyLimits limits = PolicyLimits.Default with { MembersPerBasicGroup = 3 };
        var delta = new Delta
        {
            BaseRevision = 7,
            Revision = 8,
            Members = { new MemberChange { GroupId = "web", Add = { "10.0.0.1" } } },
        };
        SnapshotResult result = DeltaReader.Apply(Read(Messages.Valid()), delta, limits);
        Assert.Equal(("groups[web].members", Agent.Contract.Codes.MembersPerGroup), Of(Assert.Single(result.Faults)));
    }

    [Fact]
    public void A_member_costs_one_hash_however_many_there_are()
    {
        Snapshot large = Messages.Valid();
        large.Group("web")
            .Members.AddRange(
                Enumerable.Range(0, 60_000).Select(i => $"10.{128 + i / 65536}.{i / 256 % 256}.{i % 256}"));
        PolicySnapshot policy = Read(large);
        _ = StateHash.Of(policy);
        long before = StateHash.MemberHashes;
        SnapshotResult result = DeltaReader.Apply(policy, new Delta
        {
            BaseRevision = 7,
            Revision = 8,
            Members = { new MemberChange { GroupId = "web", Add = { "10.200.0.1" } } },
        }, PolicyLimits.Default);
        _ = StateHash.Of(result.Policy!);
        Assert.Equal(1, StateHash.MemberHashes - before);
    }

    private static SnapshotResult Apply(Delta delta) =>
        DeltaReader.Apply(Read(Messages.Valid()), delta, PolicyLimits.Default);

    private static (string Path, string Code) Of(PolicyFault fault) => (fault.Path, fault.Code);

    internal static PolicySnapshot Read(Snapshot snapshot)
    {
        SnapshotResult result = SnapshotReader.Read(snapshot, PolicyLimits.Unlimited);
        Assert.True(result.Policy is not null, $"{string.Join('\n', result.Faults)}\n{snapshot}");
        return result.Policy;
    }
}
