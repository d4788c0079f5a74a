using Agent.Contract;
using Agent.Policy;
using Google.Protobuf;
using Rule = Agent.V1.Rule;
using Snapshot = Agent.V1.Snapshot;
using SnapshotBegin = Agent.V1.SnapshotBegin;
using SnapshotChunk = Agent.V1.SnapshotChunk;
using SnapshotEnd = Agent.V1.SnapshotEnd;

namespace Agent.Tests.Contract;

/// <summary>Nothing of a snapshot counts before its end is verified.</summary>
public class AssemblerTests
{
    internal static readonly string[] Codes = [Agent.Contract.Codes.Order, Agent.Contract.Codes.Incomplete];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Parts_in_any_order_give_the_snapshot(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 50; i++)
        {
            Snapshot whole = RandomStates.Next(random, revision: 3);
            using var assembler = new SnapshotAssembler(PolicyLimits.Unlimited, new SnapshotBudget(1 << 20));
            Assert.Empty(assembler.Begin(
                new SnapshotBegin { Revision = whole.Revision, IssuedAt = whole.IssuedAt }));
            foreach (SnapshotChunk chunk in Chunks(whole, random))
            {
                Assert.Empty(assembler.Add(chunk));
            }

            (Snapshot? assembled, SnapshotResult read) = assembler.End(EndOf(whole));
            Assert.Empty(read.Faults);
            Assert.Equal(Canonical(whole), Canonical(assembled!));
            Assert.Equal(Canonical(whole), SnapshotWriter.Write(read.Policy!));
        }
    }

    [Theory]
    [InlineData("group_count")]
    [InlineData("prefix_list_count")]
    [InlineData("port_list_count")]
    [InlineData("vnic_count")]
    [InlineData("member_count")]
    [InlineData("state_hash")]
    public void A_wrong_end_is_refused_and_names_what_is_wrong(string field)
    {
        Snapshot whole = Messages.Valid();
        SnapshotEnd end = EndOf(whole);
        switch (field)
        {
            case "group_count": end.GroupCount++; break;
            case "prefix_list_count": end.PrefixListCount--; break;
            case "port_list_count": end.PortListCount++; break;
            case "vnic_count": end.VnicCount--; break;
            case "member_count": end.MemberCount++; break;
            default:
                end.StateHash = ByteString.CopyFrom(
                [.. end.StateHash.Span[..31], (byte)(end.StateHash[31] ^ 1)]); break;
        }

        (Snapshot? assembled, IReadOnlyList<PolicyFault> faults) = Assemble(whole, end);
        Assert.Null(assembled);
        PolicyFault fault = Assert.Single(faults);
        Assert.Equal(($"snapshot_end.{field}", Agent.Contract.Codes.Incomplete), (fault.Path, fault.Code));
        Assert.NotEmpty(fault.Remedy);
    }

    [Fact]
    public void A_part_that_was_lost_is_noticed()
    {
        Snapshot whole = Messages.Valid();
        Snapshot less = whole.Clone();
        less.Group("peers").Members.RemoveAt(0);
        (Snapshot? assembled, IReadOnlyList<PolicyFault> faults) = Assemble(less, EndOf(whole));
        Assert.Null(assembled);
        Assert.Equal(["snapshot_end.member_count", "snapshot_end.state_hash"], faults.Select(fault => fault.Path));
    }

    [Fact]
    public void Without_a_hash_nothing_is_taken()
    {
        SnapshotEnd end = EndOf(Messages.Valid());
        end.StateHash = ByteString.Empty;
        Assert.Equal("snapshot_end.state_hash", Assert.Single(Assemble(Messages.Valid(), end).Faults).Path);
    }

    [Fact]
    public void Faults_of_the_content_are_all_told()
    {
        Snapshot bad = Messages.Valid();
        SnapshotEnd end = EndOf(bad);
        bad.Rule("r1").Priority = 101;
        bad.Vnic("v1").Mac = "";
        (Snapshot? assembled, IReadOnlyList<PolicyFault> faults) = Assemble(bad, end);
        Assert.Null(assembled);
        Assert.Equal(["groups[web].rules[r1].priority", "vnics[v1].mac"], faults.Select(fault => fault.Path));
    }

    [Fact]
    public void A_part_before_the_beginning_and_an_end_without_one_are_refused()
    {
        using var assembler = new SnapshotAssembler(PolicyLimits.Default, new SnapshotBudget(1 << 20));
        Assert.Equal(
            ("snapshot_chunk", Agent.Contract.Codes.Order), Of(Assert.Single(assembler.Add(new SnapshotChunk()))));
        Assert.Equal(("snapshot_end", Agent.Contract.Codes.Order), Of(End(assembler)));

        // An end is one end, also when it was refused.
        assembler.Begin(new SnapshotBegin { Revision = 1 });
        assembler.End(new SnapshotEnd());
        Assert.Equal(("snapshot_end", Agent.Contract.Codes.Order), Of(End(assembler)));

        static (string, string) Of(PolicyFault fault) => (fault.Path, fault.Code);
        static PolicyFault End(SnapshotAssembler assembler) =>
            Assert.Single(assembler.End(new SnapshotEnd()).Read.Faults);
    }

    [Fact]
    public void A_new_beginning_forgets_what_came_before()
    {
        Snapshot whole = Messages.Valid();
        using var assembler = new SnapshotAssembler(PolicyLimits.Default, new SnapshotBudget(1 << 20));
        assembler.Begin(new SnapshotBegin { Revision = 1 });
        assembler.Add(new SnapshotChunk { PortLists = { new V1.PortList { Id = "left" } } });
        assembler.Begin(new SnapshotBegin { Revision = whole.Revision });
        foreach (SnapshotChunk chunk in Chunks(whole, new Random(1)))
        {
            assembler.Add(chunk);
        }

        Assert.Empty(assembler.End(EndOf(whole)).Read.Faults);
    }

    [Fact]
    public void All_that_is_unfinished_shares_one_budget_and_gives_it_back()
    {
        var budget = new SnapshotBudget(1_000_000);
        using var first = new SnapshotAssembler(PolicyLimits.Default, budget);
        using var second = new SnapshotAssembler(PolicyLimits.Default, budget);
        Begin(first);
        Begin(second);
        Assert.Empty(first.Add(Chunk(600_000)));
        Assert.Equal("LimitExceeded", Assert.Single(second.Add(Chunk(600_000))).Code);
        Assert.Equal("UnexpectedMessage", Assert.Single(second.Add(Chunk(1))).Code);

        Begin(first); // what it had is forgotten
        Begin(second);
        Assert.Empty(second.Add(Chunk(600_000)));
        second.End(new SnapshotEnd());
        Assert.Empty(first.Add(Chunk(900_000)));
        first.Dispose(); // the connection broke
        Begin(second);
        Assert.Empty(second.Add(Chunk(900_000)));

        static void Begin(SnapshotAssembler assembler)
        {
            assembler.Begin(new SnapshotBegin { Revision = 1 });
            Assert.True(assembler.IsOpen);
        }

        static SnapshotChunk Chunk(int bytes) => new()
        {
            Groups = { new V1.SecurityGroup { Id = "g", Description = new string('x', bytes) } },
        };
    }

    private static (Snapshot? Snapshot, IReadOnlyList<PolicyFault> Faults) Assemble(Snapshot whole, SnapshotEnd end)
    {
        using var assembler = new SnapshotAssembler(PolicyLimits.Default, new SnapshotBudget(1 << 20));
        assembler.Begin(new SnapshotBegin { Revision = whole.Revision });
        foreach (SnapshotChunk chunk in Chunks(whole, new Random(5)))
        {
            Assert.Empty(assembler.Add(chunk));
        }

        (Snapshot? assembled, SnapshotResult read) = assembler.End(end);
        return (assembled, read.Faults);
    }

    private static SnapshotEnd EndOf(Snapshot whole)
    {
        PolicySnapshot policy = DeltaTests.Read(whole);
        return new SnapshotEnd
        {
            GroupCount = (uint)whole.Groups.Count,
            PrefixListCount = (uint)whole.PrefixLists.Count,
            PortListCount = (uint)whole.PortLists.Count,
            VnicCount = (uint)whole.Vnics.Count,
            MemberCount = (ulong)policy.Groups.Values.Sum(group => group.Members.Count),
            StateHash = ByteString.CopyFrom(StateHash.Of(policy)),
        };
    }

    /// <summary>One resource a part, groups cut at any member and rule, all in a random order.</summary>
    private static SnapshotChunk[] Chunks(Snapshot whole, Random random)
    {
        var chunks = new List<SnapshotChunk>();
        foreach (V1.SecurityGroup group in whole.Groups)
        {
            V1.SecurityGroup head = group.Clone();
            head.Members.Clear();
            head.Rules.Clear();
            foreach (string member in group.Members)
            {
                chunks.Add(new SnapshotChunk { Groups = { new V1.SecurityGroup(head) { Members = { member } } } });
            }

            foreach (Rule rule in group.Rules)
            {
                chunks.Add(new SnapshotChunk { Groups = { new V1.SecurityGroup(head) { Rules = { rule.Clone() } } } });
            }

            chunks.Add(new SnapshotChunk { Groups = { head } });
        }

        chunks.AddRange(whole.PrefixLists.Select(list => new SnapshotChunk { PrefixLists = { list.Clone() } }));
        chunks.AddRange(whole.PortLists.Select(list => new SnapshotChunk { PortLists = { list.Clone() } }));
        chunks.AddRange(whole.Vnics.Select(vnic => new SnapshotChunk { Vnics = { vnic.Clone() } }));
        SnapshotChunk[] shuffled = [.. chunks];
        random.Shuffle(shuffled);
        return shuffled;
    }

    /// <summary>The parts, as a controller streams them.</summary>
    internal static IEnumerable<V1.SyncRequest> Stream(Snapshot whole, Random random) =>
    [
        new() { SnapshotBegin = new SnapshotBegin { Revision = whole.Revision } },
        .. Chunks(whole, random).Select(chunk => new V1.SyncRequest { SnapshotChunk = chunk }),
        new() { SnapshotEnd = EndOf(whole) },
    ];

    private static Snapshot Canonical(Snapshot snapshot) =>
        SnapshotWriter.Write(DeltaTests.Read(snapshot));
}
