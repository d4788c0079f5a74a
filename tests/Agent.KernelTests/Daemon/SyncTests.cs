using Agent.V1;
using Google.Protobuf;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>The stream: what is refused changes nothing, what is accepted is in force.</summary>
public sealed class SyncTests(SharedLab shared) : IClassFixture<SharedLab>
{
    private readonly DaemonLab lab = shared.Lab;

    [Fact]
    public async Task A_snapshot_in_chunks_is_enforced_and_held()
    {
        await using SyncClient sync = SyncClient.Open(lab);
        Held held = await sync.HelloAsync();
        Snapshot snapshot = DaemonLab.OneWayIn();
        snapshot.Revision = held.Revision + 1;
        snapshot.Groups[0].Members.AddRange(
            Enumerable.Range(0, 25_000).Select(i => $"10.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}"));
        SyncResponse answer = await sync.SnapshotAsync(snapshot, end => end.ConfirmMassChange = true);

        Assert.True(answer.Accepted is not null, $"{answer}");
        Assert.Equal(snapshot.Revision, answer.Accepted.Revision);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        Held now = await sync.HelloAsync();
        Assert.Equal((snapshot.Revision, answer.Accepted.StateHash), (now.Revision, now.StateHash));
        Assert.Equal(SyncClient.EndOf(snapshot).StateHash, now.StateHash);
    }

    public static TheoryData<string, Action<SnapshotEnd>> Lies => new()
    {
        { "group_count", end => end.GroupCount++ },
        { "prefix_list_count", end => end.PrefixListCount++ },
        { "port_list_count", end => end.PortListCount++ },
        { "vnic_count", end => end.VnicCount-- },
        { "member_count", end => end.MemberCount++ },
        { "state_hash", end => end.StateHash = ByteString.CopyFrom(new byte[32]) },
        { "state_hash", end => end.StateHash = ByteString.Empty },
    };

    [Theory]
    [MemberData(nameof(Lies), DisableDiscoveryEnumeration = true)]
    public async Task A_snapshot_that_is_not_what_its_end_says_changes_nothing(string field, Action<SnapshotEnd> lie)
    {
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        Snapshot before = await lab.StateAsync();
        await using SyncClient sync = SyncClient.Open(lab);
        Held held = await sync.HelloAsync();
        Snapshot fewer = DaemonLab.OneWayIn();
        fewer.Vnics.RemoveAt(0);
        fewer.Revision = held.Revision + 1;
        Refused refused = (await sync.SnapshotAsync(fewer, lie)).Refused;

        Assert.Equal($"snapshot_end.{field}", Assert.Single(refused.Faults).Path);
        Assert.Equal((held.Revision, held.StateHash), (refused.HeldRevision, refused.HeldStateHash));
        Assert.Equal(before, await lab.StateAsync());
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.NotNull((await sync.SnapshotAsync(fewer)).Accepted);
    }

    [Fact]
    public async Task A_stream_cut_in_mid_snapshot_changes_nothing()
    {
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        Snapshot before = await lab.StateAsync();
        Snapshot next = DaemonLab.OneWayIn();
        next.Vnics.Clear();
        next.Revision = before.Revision + 1;
        foreach (bool orderly in (bool[])[true, false])
        {
            SyncClient sync = SyncClient.Open(lab);
            await sync.SendAsync(new SyncRequest { SnapshotBegin = new SnapshotBegin { Revision = next.Revision } });
            foreach (SnapshotChunk chunk in SyncClient.ChunksOf(next))
            {
                await sync.SendAsync(new SyncRequest { SnapshotChunk = chunk });
            }

            await sync.HelloAsync(); // so far it has been read
            if (orderly)
            {
                await sync.DisposeAsync();
            }
            else
            {
                sync.Cut();
            }

            Assert.Equal(before, await lab.StateAsync());
            Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        }

        await using SyncClient another = SyncClient.Open(lab);
        Refused refused = (await another.AskAsync(new SyncRequest { SnapshotEnd = SyncClient.EndOf(next) })).Refused;
        Assert.Equal("UnexpectedMessage", Assert.Single(refused.Faults).Code);
    }

    [Fact]
    public async Task A_delta_on_another_base_is_refused_with_what_is_held_and_the_controller_resumes()
    {
        Accepted first = await lab.ApplyAsync(DaemonLab.OneWayIn());
        await using SyncClient sync = SyncClient.Open(lab);
        foreach (ulong wrong in (ulong[])[0, first.Revision - 1, first.Revision + 1, ulong.MaxValue])
        {
            Refused refused = await sync.RefusedAsync(MemberDelta(wrong, "sg-a", add: "10.9.0.1"));
            Assert.Equal("StaleBaseRevision", Assert.Single(refused.Faults).Code);
            Assert.Equal((first.Revision, first.StateHash), (refused.HeldRevision, refused.HeldStateHash));
        }

        Accepted next = await sync.AcceptedAsync(MemberDelta(first.Revision, "sg-a", add: "10.9.0.1"));
        Assert.Equal(first.Revision + 1, next.Revision);
        Assert.NotEqual(first.StateHash, next.StateHash);
    }

    [Fact]
    public async Task Deltas_change_each_kind_of_resource_and_single_members()
    {
        Snapshot state = DaemonLab.OneWayIn();
        state.Vnics.RemoveAt(2);
        ulong at = (await lab.ApplyAsync(state)).Revision;
        await using SyncClient sync = SyncClient.Open(lab);
        async Task<Changes> Step(Delta delta)
        {
            delta.BaseRevision = at;
            delta.Revision = ++at;
            Accepted accepted = await sync.AcceptedAsync(delta);
            Assert.Equal(SyncClient.EndOf(await lab.StateAsync()).StateHash, accepted.StateHash);
            return accepted.Changes;
        }

        Task<bool> E3Reaches(bool expected) => lab.UdpArrivesAsync(lab.E3, lab.E2, expected);

        Assert.False(await E3Reaches(false)); // e3's device is in no policy
        Assert.Equal(1u, (await Step(new Delta { UpsertVnics = { Nic("e3", "sg-c") } })).VnicsAdded);
        Assert.False(await E3Reaches(false));
        await Step(new Delta { Members = { new MemberChange { GroupId = "sg-a", Add = { $"{lab.E3.V4}" } } } });
        Assert.True(await E3Reaches(true));
        await Step(new Delta { Members = { new MemberChange { GroupId = "sg-a", Remove = { $"{lab.E3.V4}" } } } });
        Assert.False(await E3Reaches(false));

        PrefixList list =
            new() { Id = "pl-1", Family = IpFamily.Ipv4, MaxEntries = 5, Entries = { $"{lab.E3.V4}/32" } };
        SecurityGroup byList = Isolating("sg-b", "in 1 accept udp 1/65535 pl-1");
        Changes both = await Step(new Delta { UpsertPrefixLists = { list }, UpsertGroups = { byList } });
        Assert.Equal((1u, 1u), (both.ListsAdded, both.GroupsChanged));
        Assert.True(await E3Reaches(true));
        list = list.Clone();
        list.Entries[0] = "10.0.0.99/32";
        Assert.Equal(1u, (await Step(new Delta { UpsertPrefixLists = { list } })).ListsChanged);
        Assert.False(await E3Reaches(false));

        PortList ports = new() { Id = "prl-1", MaxEntries = 5, Entries = { "1/65535" } };
        SecurityGroup byPorts = Isolating("sg-b", "in 1 accept udp prl-1 10.0.0.0/24");
        await Step(
            new Delta { UpsertPortLists = { ports }, UpsertGroups = { byPorts }, RemovePrefixLists = { "pl-1" } });
        Assert.True(await E3Reaches(true));
        ports = ports.Clone();
        ports.Entries[0] = "1/9";
        await Step(new Delta { UpsertPortLists = { ports } });
        Assert.False(await E3Reaches(false));

        Changes gone = await Step(new Delta
        {
            UpsertGroups = { Accepting("sg-b", "in 1 accept udp 1/65535 0.0.0.0/0") },
            RemovePortLists = { "prl-1" },
        });
        Assert.Equal(1u, gone.ListsRemoved);
        Assert.True(await E3Reaches(true));
        Assert.Equal((1u, 1u), await RemovalAsync());
        Assert.False(await E3Reaches(false));

        async Task<(uint, uint)> RemovalAsync()
        {
            Changes removed = await Step(new Delta { RemoveVnics = { "eni-e3" }, RemoveGroups = { "sg-c" } });
            return (removed.VnicsRemoved, removed.GroupsRemoved);
        }
    }

    [Fact]
    public async Task An_upserted_group_keeps_its_members_unless_the_delta_replaces_them()
    {
        Snapshot state = DaemonLab.OneWayIn();
        state.Groups[0].Members.Add("10.9.0.1");
        ulong at = (await lab.ApplyAsync(state)).Revision;
        await using SyncClient sync = SyncClient.Open(lab);
        SecurityGroup group = Isolating("sg-a");
        group.Members.Add("10.9.0.2");
        await sync.AcceptedAsync(new Delta { BaseRevision = at, Revision = at + 1, UpsertGroups = { group } });
        Assert.Equal(["10.9.0.1", "10.9.0.2"], await MembersAsync());
        await sync.AcceptedAsync(new Delta
        {
            BaseRevision = at + 1,
            Revision = at + 2,
            UpsertGroups = { group },
            ReplaceMembersOf = { "sg-a" },
        });
        Assert.Equal(["10.9.0.2"], await MembersAsync());

        async Task<IEnumerable<string>> MembersAsync() =>
            (await lab.StateAsync()).Groups.Single(g => g.Id == "sg-a").Members.Order(StringComparer.Ordinal);
    }

    [Fact]
    public async Task A_state_that_names_what_is_not_there_is_refused_whole_with_every_fault()
    {
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        Snapshot before = await lab.StateAsync();
        await lab.SettledAsync();
        uint generation = lab.Generation();
        SecurityGroup foreign = Isolating("sg-far");
        foreign.VpcId = "vpc-2";
        Snapshot wrong = Apply(
            [
                Isolating("sg-a", "in 1 accept udp 1/65535 sg-none", "out 1 accept udp 1/65535 sg-nil",
                    "in 2 accept udp 1/65535 pl-none",
                    "in 3 accept udp prl-none 0.0.0.0/0", "in 4 accept all -1/-1 sg-far"),
                foreign,
            ],
            Nic("e1", "sg-a", "sg-gone"),
            Nic("e2", "sg-far")).State;
        wrong.Revision = before.Revision + 1;
        string[] expected =
        [
            "groups[sg-a].rules[r1].group_id InvalidSourceGroupId.NotFound",
            "groups[sg-a].rules[r2].group_id InvalidDestGroupId.NotFound",
            "groups[sg-a].rules[r3].prefix_list_id InvalidPrefixListId.NotFound",
            "groups[sg-a].rules[r4].port_list_id InvalidPortRangeListId.NotFound",
            "groups[sg-a].rules[r5].group_id InvalidSourceGroupId.Mismatch",
            "vnics[eni-e1].group_ids InvalidSecurityGroupId.NotFound",
            "vnics[eni-e2].group_ids InvalidOperation.VpcMismatch",
        ];

        await using SyncClient sync = SyncClient.Open(lab);
        await sync.SendAsync(new SyncRequest { SnapshotBegin = new SnapshotBegin { Revision = wrong.Revision } });
        foreach (SnapshotChunk chunk in SyncClient.ChunksOf(wrong))
        {
            await sync.SendAsync(new SyncRequest { SnapshotChunk = chunk });
        }

        Refused byStream = (await sync.AskAsync(new SyncRequest { SnapshotEnd = new SnapshotEnd() })).Refused;
        ApplyResponse byCall = await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = wrong }, cancellationToken: TestContext.Current.CancellationToken);
        Refused byDelta = await sync.RefusedAsync(new Delta
        {
            BaseRevision = before.Revision,
            Revision = before.Revision + 1,
            UpsertGroups = { wrong.Groups },
            UpsertVnics = { wrong.Vnics },
        });
        foreach (Refused refused in (Refused[])[byStream, byCall.Refused, byDelta])
        {
            Assert.Equal(expected, refused.Faults.Select(f => $"{f.Path} {f.Code}").Order(StringComparer.Ordinal));
            Assert.All(refused.Faults, fault => Assert.NotEmpty(fault.Remedy));
            Assert.Equal(before.Revision, refused.HeldRevision);
        }

        Assert.Equal(before, await lab.StateAsync());
        Assert.Equal(generation, lab.Generation());
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
    }

    [Fact]
    public async Task Two_streams_at_once_lose_no_step_of_either()
    {
        const int Steps = 25;
        await lab.ApplyAsync(DaemonLab.OneWayIn());

        async Task DriveAsync(int who)
        {
            await using SyncClient sync = SyncClient.Open(lab);
            ulong held = (await sync.HelloAsync()).Revision;
            for (int step = 0; step < Steps;)
            {
                SyncResponse answer = await sync.AskAsync(
                    new SyncRequest { Delta = MemberDelta(held, "sg-a", add: $"10.9.{who}.{step}") });
                step += answer.Accepted is null ? 0 : 1;
                held = answer.Accepted?.Revision ?? answer.Refused.HeldRevision;
            }
        }

        await Task.WhenAll(DriveAsync(1), DriveAsync(2));
        Snapshot state = await lab.StateAsync();
        Assert.Equal(2 * Steps, state.Groups.Single(g => g.Id == "sg-a").Members.Count);
        Assert.Equal(state.Revision, (await lab.StatusAsync()).AppliedRevision);
    }

    [Fact]
    public async Task Deltas_sent_without_waiting_are_answered_in_order_and_what_builds_on_a_refused_one_is_refused()
    {
        const int Count = 200;
        const int Wrong = 150;
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        await using SyncClient sync = SyncClient.Open(lab);
        for (int i = 0; i < Count; i++)
        {
            string address = i == Wrong ? "10.9.0.999" : $"10.9.0.{i}";
            await sync.SendAsync(new SyncRequest { Delta = MemberDelta(held + (ulong)i, "sg-a", add: address) });
        }

        for (int i = 0; i < Count; i++)
        {
            SyncResponse answer = await sync.AnswerAsync();
            if (i < Wrong)
            {
                Assert.Equal(held + (ulong)i + 1, answer.Accepted.Revision);
                continue;
            }

            string expected = i == Wrong ? "InvalidAddress" : "StaleBaseRevision";
            Assert.Equal(expected, Assert.Single(answer.Refused.Faults).Code);
            Assert.Equal(held + Wrong, answer.Refused.HeldRevision);
        }

        Assert.Equal(Wrong, (await lab.StateAsync()).Groups.Single(g => g.Id == "sg-a").Members.Count);
    }

    private static Delta MemberDelta(ulong at, string group, string add) => new()
    {
        BaseRevision = at,
        Revision = unchecked(at + 1),
        Members = { new MemberChange { GroupId = group, Add = { add } } },
    };
}
