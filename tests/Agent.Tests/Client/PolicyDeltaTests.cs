using Agent.Client;
using Agent.Contract;
using Agent.Policy;
using Agent.Tests.Contract;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Client;

/// <summary>The delta between two states leads from one to the other, and says nothing that it need not.</summary>
public sealed class PolicyDeltaTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void It_leads_from_any_state_to_any_other_and_is_never_longer_than_it_must(int seed)
    {
        var random = new Random(seed);
        Snapshot before = RandomStates.Next(random, 1);
        for (int i = 0; i < 600; i++)
        {
            Snapshot after = random.Next(3) == 0 ? RandomStates.Next(random, 0) : before.Clone();
            after.Revision = before.Revision + (ulong)random.Next(1, 4);
            for (int change = random.Next(0, 5); change > 0; change--)
            {
                RandomStates.Change(after, random);
            }

            Delta delta = Delta(before, after);
            AssertLeads(before, delta, after);
            Delta another = RandomStates.Between(before, after, random);
            Assert.True(delta.CalculateSize() <= another.CalculateSize(), $"{delta}\nis longer than\n{another}");
            Assert.Equal(Nothing(before, after), Delta(before, RandomStates.Shuffled(Copy(before, after), random)));
            before = after;
        }
    }

    [Fact]
    public void Each_field_that_changes_is_sent()
    {
        Snapshot before = Full();
        Action<Snapshot>[] changes =
        [
            s => s.Group("web").Name = "other",
            s => s.Group("web").Labels["team"] = "b",
            s => s.Group("web").InnerAccessPolicy = V1.Policy.Drop,
            s => s.Rule("r1").Description = "other",
            s => s.Rule("r1").Priority = 9,
            s => s.Group("web").Rules.RemoveAt(0),
            s => s.List("pl4").Name = "other",
            s => s.List("pl4").Entries.RemoveAt(0),
            s => s.PortLists[0].Entries.Add("9100/9200"),
            s => s.Vnic("v1").Mac = "02:00:00:00:00:77",
            s => s.Vnic("v1").Timeouts.UdpSeconds = 61,
            s => s.Vnic("v1").MaxSessions = 5,
            s => s.Vnics.RemoveAt(0),
            s => s.Vpcs[0].UplinkInterfaces.Add("eth8"),
            s => s.Vpcs.Clear(),
        ];
        foreach (Action<Snapshot> change in changes)
        {
            Snapshot after = Next(before, change);
            Delta delta = Delta(before, after);
            AssertLeads(before, delta, after);
            Assert.NotEqual(Nothing(before, after), delta);
            AssertLeads(after, Delta(after, Next(after, s => Undo(s, before))), Next(after, s => Undo(s, before)));
        }
    }

    [Fact]
    public void One_member_of_a_large_group_is_one_address()
    {
        Snapshot before = Next(Messages.Valid(), state => state.Group("web").Members.AddRange(
            Enumerable.Range(0, 20_000).Select(i => $"10.64.{i >> 8}.{i & 255}")));
        Snapshot after = Next(before, state =>
        {
            state.Group("web").Members.Remove("10.64.1.1");
            state.Group("web").Members.Add("10.200.0.1");
        });
        Delta delta = Delta(before, after);
        Assert.Equal(
            Nothing(before, after, new MemberChange
            {
                GroupId = "web",
                Add = { "10.200.0.1" },
                Remove = { "10.64.1.1" },
            }),
            delta);
    }

    [Fact]
    public void Where_most_members_go_the_few_that_stay_are_sent_instead()
    {
        Snapshot before = Next(Messages.Valid(), state => state.Group("web").Members.AddRange(
            Enumerable.Range(0, 2000).Select(i => $"10.64.{i >> 8}.{i & 255}")));
        Snapshot after = Next(before, state =>
        {
            state.Group("web").Members.Clear();
            state.Group("web").Members.Add("10.64.0.1");
        });
        Delta delta = Delta(before, after);
        Assert.Equal("web", Assert.Single(delta.ReplaceMembersOf));
        Assert.Equal("10.64.0.1", Assert.Single(Assert.Single(delta.UpsertGroups).Members));
        AssertLeads(before, delta, after);
    }

    [Fact]
    public void A_changed_group_carries_new_members_and_the_others_stay_unsaid()
    {
        Snapshot before = Messages.Valid();
        Snapshot after = Next(before, state =>
        {
            state.Group("web").Description = "other";
            state.Group("web").Members.Add("10.200.0.1");
        });
        Delta delta = Delta(before, after);
        Assert.Equal("10.200.0.1", Assert.Single(Assert.Single(delta.UpsertGroups).Members));
        Assert.Empty(delta.Members);
        AssertLeads(before, delta, after);
    }

    [Fact]
    public void A_state_with_faults_is_refused_with_all_of_them()
    {
        Snapshot wrong = Next(Messages.Valid(), state =>
        {
            state.Rule("r1").PortRange = "80";
            state.Vnics[0].Mac = "no";
        });
        InvalidPolicyException refused =
            Assert.Throws<InvalidPolicyException>(() => PolicyDelta.Between(Messages.Valid(), wrong));
        Assert.Equal(2, refused.Faults.Count);
        Assert.All(refused.Faults, fault => Assert.NotEmpty(fault.Remedy));
    }

    [Fact]
    public void A_state_moves_on_by_deltas()
    {
        DesiredState before = DesiredState.Of(Messages.Valid());
        Snapshot next = Next(Messages.Valid(), state => state.Group("web").Members.Clear());
        DesiredState after = before.After(Delta(Messages.Valid(), next));
        Assert.Equal(DesiredState.Of(next).Hash, after.Hash);
        Assert.Equal(next.Revision, after.Revision);
        Assert.Equal(before.Hash, before.At(99).Hash);
        Assert.Throws<InvalidPolicyException>(() => after.After(Delta(Messages.Valid(), next)));
    }

    [Fact]
    public void A_hosts_part_of_a_state_has_what_its_vnics_need_and_shares_it()
    {
        Snapshot region = Messages.Valid();
        V1.Vnic nic = region.Vnic("v1");
        region.Vnics.Clear();
        DesiredState whole = DesiredState.Of(region);
        DesiredState part = whole.For([nic]);
        Assert.Equal(["peers", "web"], part.Groups);
        Assert.Equal((whole.Revision, 1, 1), (part.Revision, part.Policy.PrefixLists.Count, part.Policy.Vnics.Count));
        Assert.Same(whole.Policy.Groups["web"], part.Policy.Groups["web"]);
        Assert.Empty(whole.For([]).Groups);
        nic.GroupIds.Add("nowhere");
        Assert.Throws<InvalidPolicyException>(() => whole.For([nic]));
    }

    private static Delta Delta(Snapshot before, Snapshot after) => PolicyDelta.Between(before, after);

    private static Delta Nothing(Snapshot before, Snapshot after, params MemberChange[] members) =>
        new()
        {
            BaseRevision = before.Revision,
            Revision = after.Revision,
            IssuedAt = after.IssuedAt,
            Members = { members },
        };

    private static Snapshot Copy(Snapshot state, Snapshot at) =>
        new(state) { Revision = at.Revision, IssuedAt = at.IssuedAt };

    private static Snapshot Next(Snapshot before, Action<Snapshot> change)
    {
        Snapshot after = before.Clone();
        after.Revision++;
        change(after);
        return after;
    }

    private static void Undo(Snapshot state, Snapshot to)
    {
        ulong revision = state.Revision;
        state.Groups.Clear();
        state.PrefixLists.Clear();
        state.PortLists.Clear();
        state.Vnics.Clear();
        state.Vpcs.Clear();
        state.MergeFrom(to);
        state.Revision = revision;
    }

    private static Snapshot Full()
    {
        Snapshot state = Messages.Valid();
        state.Vpcs.Add(new V1.Vpc { Id = "vpc-9", UplinkInterfaces = { "eth9" } });
        return state;
    }

    private static void AssertLeads(Snapshot before, Delta delta, Snapshot after)
    {
        SnapshotResult result = DeltaReader.Apply(Read(before), delta, PolicyLimits.Unlimited);
        Assert.True(result.Policy is not null, $"{result.Faults.FirstOrDefault()}\n{delta}");
        PolicySnapshot expected = Read(after);
        Assert.Equal((expected.Revision, expected.IssuedAt), (result.Policy.Revision, result.Policy.IssuedAt));
        Assert.Equal(StateHash.Of(expected), StateHash.Of(result.Policy));
    }

    private static PolicySnapshot Read(Snapshot snapshot)
    {
        SnapshotResult read = SnapshotReader.Read(snapshot, PolicyLimits.Unlimited);
        return read.Policy ?? throw new InvalidOperationException(read.Faults[0].ToString());
    }
}
