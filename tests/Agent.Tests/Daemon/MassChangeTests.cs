using Agent.Contract;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Policy;
using Agent.Tests.Contract;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;

namespace Agent.Tests.Daemon;

/// <summary>Which steps remove so much that they are held.</summary>
public sealed class MassChangeTests
{
    private static readonly MassChangeConfig Defaults = new();

    [Theory]
    [InlineData(20, 10, false)] // half is no more than half
    [InlineData(20, 9, true)]
    [InlineData(12, 3, false)] // three quarters, but fewer than ten
    [InlineData(12, 2, true)]
    [InlineData(9, 1, false)]
    [InlineData(500, 251, false)]
    [InlineData(500, 249, true)]
    [InlineData(500, 500, false)]
    [InlineData(0, 500, false)] // the first state
    public void Each_kind_has_a_share_and_a_floor(int before, int after, bool isMass)
    {
        PolicySnapshot full = Policy(vnics: 600, groups: 1, members: 0);
        AssertKind("vNICs", full with { Vnics = Take(full.Vnics, before) },
            full with { Vnics = Take(full.Vnics, after) }, before, after, isMass);
        AssertKind("members", Policy(1, 1, before), Policy(1, 1, after), before, after, isMass);

        // Groups without members: those of a group that goes count too.
        PolicySnapshot groups = Policy(vnics: 1, groups: 600, members: 0);
        AssertKind("groups", groups with { Groups = Take(groups.Groups, before) },
            groups with { Groups = Take(groups.Groups, after) }, before, after, isMass);
    }

    [Fact]
    public void What_comes_does_not_make_up_for_what_goes()
    {
        PolicySnapshot before = Policy(vnics: 1, groups: 1, members: 100);
        PolicySnapshot after = Policy(vnics: 1, groups: 1, members: 100, firstMember: 60);
        MassChange change = Assert.IsType<MassChange>(MassChange.Of(before, after, Defaults));
        Assert.Equal([new Removal("members", 60, 100, 100, IsReason: true)], change.Removals);
        Assert.Equal("would remove 60 of 100 members (60 %)", change.Summary);
        Assert.Null(MassChange.Of(before, before with { Revision = 2 }, Defaults));
        Assert.Null(MassChange.Of(before, Policy(vnics: 9, groups: 9, members: 900), Defaults));
    }

    [Fact]
    public void Every_kind_is_told_and_the_reasons_are_marked()
    {
        PolicySnapshot before = Policy(vnics: 40, groups: 40, members: 10);
        PolicySnapshot after = before with
        {
            Revision = 9,
            Vnics = Take(before.Vnics, 4),
            Groups = Take(before.Groups, 30),
        };
        MassChange change = Assert.IsType<MassChange>(MassChange.Of(before, after, Defaults));
        Assert.Equal(
            [
                new Removal("vNICs", 36, 40, 4, IsReason: true), new Removal("groups", 10, 40, 30, IsReason: false),
                new Removal("members", 100, 400, 300, IsReason: false),
            ],
            change.Removals);
        Assert.Equal("would remove 36 of 40 vNICs (90 %)", change.Summary);
        Assert.Contains("--revision 9", change.Remedy, StringComparison.Ordinal);
    }

    [Fact]
    public void An_empty_snapshot_after_a_full_one_is_one_whatever_the_settings()
    {
        var lenient = new MassChangeConfig { RemovalPercent = 100, Floor = 1000 };
        PolicySnapshot one = Policy(vnics: 1, groups: 1, members: 0);
        PolicySnapshot empty = PolicySnapshot.Empty with { Revision = 2, PortLists = one.PortLists };
        MassChange change = Assert.IsType<MassChange>(MassChange.Of(one, empty, lenient));
        Assert.Equal(
            "would leave no vNIC and no group: it removes 1 of 1 vNICs (100 %) and 1 of 1 groups (100 %)",
            change.Summary);
        Assert.Null(MassChange.Of(PolicySnapshot.Empty, empty, lenient));
        Assert.Null(MassChange.Of(one, one with { Vnics = empty.Vnics }, lenient)); // its groups stay

        // A host's last guest goes by a delta: that is how hosts are emptied.
        var delta = new Delta { BaseRevision = 1, Revision = 2, RemoveVnics = { "v000" }, RemoveGroups = { "g000" } };
        Assert.Null(MassChange.Of(one, empty, delta, Defaults));
    }

    [Theory]
    [InlineData(0, 1, 1, 20, true)]
    [InlineData(0, 20, 1, 20, false)]
    [InlineData(99, 10, 20, 20, true)]
    [InlineData(100, 1, 20, 20, false)]
    public void Settings_move_the_bounds(int percent, int floor, int removed, int of, bool isMass)
    {
        var bounds = new MassChangeConfig { RemovalPercent = percent, Floor = floor };
        Assert.Equal(
            isMass, MassChange.Of(Policy(1, 1, of), Policy(1, 1, of, firstMember: removed), bounds) is not null);
    }

    [Fact]
    public void A_delta_is_judged_by_what_it_does_not_by_what_it_says()
    {
        PolicySnapshot before = Policy(vnics: 30, groups: 2, members: 15);
        Delta vain = Step();
        vain.Members.Add(new MemberChange { GroupId = "g000", Remove = { Addresses(100, 100) } });
        Assert.Null(Judge(before, vain));

        Delta away = Step();
        away.Members.Add(new MemberChange { GroupId = "g000", Remove = { Addresses(0, 15) } });
        Assert.Null(Judge(before, away)); // half
        away.Members.Add(new MemberChange { GroupId = "g001", Remove = { Addresses(0, 1) } });
        Assert.Equal("would remove 16 of 30 members (53.3 %)", Judge(before, away)?.Summary);

        Delta replaced = Step();
        replaced.UpsertGroups.Add(SnapshotWriter.Write(before).Groups);
        replaced.UpsertGroups[0].Members.Clear();
        replaced.UpsertGroups[1].Members.Clear();
        Assert.Null(Judge(before, replaced)); // without replace_members_of they stay
        replaced.ReplaceMembersOf.Add("g000");
        replaced.ReplaceMembersOf.Add("g001");
        Assert.Equal("would remove 30 of 30 members (100 %)", Judge(before, replaced)?.Summary);

        Delta vnics = Step();
        vnics.RemoveVnics.Add(before.Vnics.Keys.Skip(14));
        Assert.Equal("would remove 16 of 30 vNICs (53.3 %)", Judge(before, vnics)?.Summary);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_delta_is_judged_as_the_snapshot_that_it_leads_to(int seed)
    {
        var random = new Random(seed);
        int held = 0;
        for (int i = 0; i < 300; i++)
        {
            V1.Snapshot from = RandomStates.Next(random, 1);
            V1.Snapshot to = random.Next(2) == 0 ? RandomStates.Next(random, 2) : from.Clone();
            to.Revision = 2;
            RandomStates.Change(to, random);
            PolicySnapshot before = Read(from);
            PolicySnapshot after = Read(to);
            var bounds = new MassChangeConfig { RemovalPercent = random.Next(101), Floor = random.Next(1, 5) };
            MassChange? whole = MassChange.Of(before, after, bounds);
            MassChange? step = MassChange.Of(before, after, RandomStates.Between(from, to, random), bounds);
            if (whole is not { Empties: true })
            {
                Assert.Equal(whole?.Removals, step?.Removals);
            }

            held += step is null ? 0 : 1;
        }

        Assert.InRange(held, 30, 270);
    }

    private static void AssertKind(
        string kind, PolicySnapshot before, PolicySnapshot after, int had, int has, bool isMass)
    {
        MassChange? change = MassChange.Of(before, after, Defaults);
        Assert.Equal(isMass, change is not null);
        if (isMass)
        {
            Removal removal = Assert.Single(change!.Removals);
            Assert.Equal((kind, had - has, had, has, true),
                (removal.Kind, removal.Removed, removal.Before, removal.After, removal.IsReason));
        }
    }

    private static MassChange? Judge(PolicySnapshot before, Delta delta)
    {
        SnapshotResult read = DeltaReader.Apply(before, delta, PolicyLimits.Unlimited);
        Assert.True(read.Policy is not null, string.Join('\n', read.Faults));
        return MassChange.Of(before, read.Policy, delta, Defaults);
    }

    private static Delta Step() => new() { BaseRevision = 1, Revision = 2 };

    private static System.Collections.Immutable.ImmutableSortedDictionary<string, T> Take<T>(
        System.Collections.Immutable.ImmutableSortedDictionary<string, T> all, int count) =>
        all.RemoveRange(all.Keys.Skip(count));

    private static PolicySnapshot Policy(int vnics, int groups, int members, int firstMember = 0)
    {
        var snapshot = new V1.Snapshot { Revision = 1 };
        snapshot.Groups.Add(Enumerable.Range(0, groups).Select(i => new V1.SecurityGroup
        {
            Id = $"g{i:000}",
            VpcId = "vpc-1",
            Members = { Addresses(firstMember, members) },
        }));
        snapshot.Vnics.Add(Enumerable.Range(0, vnics).Select(i => new V1.Vnic
        {
            Id = $"v{i:000}",
            InterfaceName = $"tap{i}",
            Mac = $"02:00:00:00:{i / 256:x2}:{i % 256:x2}",
            VpcId = "vpc-1",
            Addresses = { $"10.1.{i / 250}.{i % 250}" },
            GroupIds = { "g000" },
        }));
        return Read(snapshot);
    }

    private static IEnumerable<string> Addresses(int first, int count) =>
        Enumerable.Range(first, count).Select(i => $"10.2.{i / 250}.{i % 250}");

    private static PolicySnapshot Read(V1.Snapshot snapshot)
    {
        SnapshotResult read = SnapshotReader.Read(snapshot, PolicyLimits.Unlimited);
        Assert.True(read.Policy is not null, string.Join('\n', read.Faults));
        return read.Policy;
    }
}
