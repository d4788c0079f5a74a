using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.Tests.Nftables;

namespace Agent.KernelTests.Nftables;

public class CommitTests
{
    private const NftFamily Inet = NftFamily.Inet;
    private static readonly (NftFamily, string)[] Tables = [(Inet, Samples.Table)];

    public CommitTests() => Namespace.MustBeThrowaway();

    private static NftRule Accept => Samples.Rule(new NftExpr.VerdictIs(NftVerdict.Accept));

    private static NftOp.AddTable AddTable => new(Inet, Samples.Table);

    private static CommitOutcome.Committed Commit(NftConnection nft, params IReadOnlyList<NftOp> ops) =>
        Assert.IsType<CommitOutcome.Committed>(nft.Commit(ops, nft.ReadGeneration()));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_set_of_65536_elements_loads_and_reads_back(bool interval)
    {
        using NftConnection nft = Namespace.Clean();
        NftSet set = Samples.Set(
            "big", [NftType.Ipv4Addr], interval, NftSetKind.MarkMap, interval ? null : 65536, false);
        set = set with { Elements = Samples.Addresses(set, 65536, step: 4, width: 2) };
        CommitOutcome.Committed done = Commit(
            nft, AddTable, new NftOp.AddSet(Inet, Samples.Table, set),
            new NftOp.AddElements(Inet, Samples.Table, set, set.Elements));
        Assert.True(done.Bytes > 1 << 20 && done.Messages > 10);
        NftTable read = Assert.Single(nft.ReadRuleset(Tables).Ruleset.Tables);
        Assert.Equal(set, Assert.Single(read.Sets));

        Commit(nft, new NftOp.DeleteElements(Inet, Samples.Table, set, set.Elements));
        read = Assert.Single(nft.ReadRuleset(Tables).Ruleset.Tables);
        Assert.Equal(0, Assert.Single(read.Sets).Elements.Count);
    }

    [Fact]
    public void A_hundred_thousand_rules_commit_at_once()
    {
        using NftConnection nft = Namespace.Clean();
        List<NftOp> ops = [AddTable];
        for (int chain = 0; chain < 100; chain++)
        {
            ops.Add(new NftOp.AddChain(Inet, Samples.Table, $"c{chain}", null));
            ops.AddRange(Enumerable.Repeat(new NftOp.AddRule(Inet, Samples.Table, $"c{chain}", Accept), 1000));
        }

        Assert.Equal(ops.Count + 2, Commit(nft, ops).Messages);
        Assert.Equal(100_000, nft.ReadRuleset(Tables).Ruleset.Tables[0].Chains.Sum(chain => chain.Rules.Count));
    }

    /// <summary>The kernel takes any bytes for a name, and lists the chains of all tables of a family together.
    /// </summary>
    [Fact]
    public void Names_of_others_that_are_no_text_hide_nothing()
    {
        using NftConnection nft = Namespace.Clean();
        Commit(nft, AddTable, new NftOp.AddChain(Inet, Samples.Table, "c", null),
            new NftOp.AddRule(Inet, Samples.Table, "c", Accept));
        var hook = new BaseHook(NftHook.Forward, 0);
        CommitAsBytes(
            "QQ", [0xe9, 0xff], new NftOp.AddTable(Inet, "others"),
            new NftOp.AddChain(Inet, "others", "chain-QQ", hook),
            new NftOp.AddRule(Inet, "others", "chain-QQ", Accept));
        Assert.Equal(Accept, nft.ReadRuleset(Tables).Ruleset.Tables[0].Chains[0].Rules[0]);
        NftTable foreign = Assert.Single(nft.ReadForeign((_, name) => name == Samples.Table));
        NftChain chain = Assert.Single(foreign.Chains);
        Assert.Equal(("chain-\\xe9\\xff", 1), (chain.Name, chain.Rules.Count));
    }

    // As a program that writes to the socket itself.
    private static void CommitAsBytes(string placeholder, byte[] bytes, params IReadOnlyList<NftOp> ops)
    {
        var writer = new NlWriter();
        BatchWriter.Write(writer, ops, 1, null, 0, dryRun: false);
        byte[] batch = writer.Written.ToArray();
        byte[] text = System.Text.Encoding.ASCII.GetBytes(placeholder);
        for (int at; (at = batch.AsSpan().IndexOf(text)) >= 0;)
        {
            bytes.CopyTo(batch, at);
        }

        using var socket = new NetlinkSocket(NetlinkProtocol.Netfilter);
        Assert.Null(socket.Send(batch));
    }

    [Fact]
    public void A_stale_generation_applies_nothing()
    {
        using NftConnection nft = Namespace.Clean();
        uint planned = nft.ReadGeneration();
        Namespace.Run("nft", "add table inet foreign");
        Assert.IsType<CommitOutcome.Stale>(nft.Commit([AddTable], planned));
        Assert.Empty(nft.ReadRuleset(Tables).Ruleset.Tables);
    }

    [Fact]
    public void Every_refused_operation_is_named_with_the_place_of_its_fault()
    {
        using NftConnection nft = Namespace.Clean();
        NftOp[] ops =
        [
            AddTable,
            new NftOp.AddRule(Inet, Samples.Table, "missing", Accept),
            new NftOp.AddChain(Inet, Samples.Table, "c", null),
            new NftOp.AddRule(Inet, Samples.Table, "c", Samples.Rule(new NftExpr.Lookup("missing", NftReg.R0))),
        ];
        CommitOutcome.Refused refused = Assert.IsType<CommitOutcome.Refused>(nft.Commit(ops, nft.ReadGeneration()));
        Assert.Equal([1, 3], refused.Refusals.Select(one => one.OpIndex));
        Assert.All(refused.Refusals, one => Assert.Equal("ENOENT", one.Error.Name));
        Assert.All(refused.Refusals, one => Assert.NotNull(one.Error.Offset));
        Assert.Empty(nft.ReadRuleset(Tables).Ruleset.Tables);
    }

    [Fact]
    public void A_check_refuses_and_accepts_without_a_trace()
    {
        using NftConnection nft = Namespace.Clean();
        uint before = nft.ReadGeneration();
        Assert.Empty(nft.Check(Samples.Build(Samples.Everything())));
        NftOp[] bad = [AddTable, new NftOp.DeleteSet(Inet, Samples.Table, "missing")];
        Assert.Equal(1, Assert.Single(nft.Check(bad)).OpIndex);
        Assert.Equal(before, nft.ReadGeneration());
    }

    [Fact]
    public void Ten_thousand_refusals_are_all_reported()
    {
        using NftConnection nft = Namespace.Clean();
        NftOp[] ops = [AddTable, .. Enumerable.Repeat(new NftOp.DeleteChain(Inet, Samples.Table, "missing"), 10_000)];
        CommitOutcome.Refused refused = Assert.IsType<CommitOutcome.Refused>(nft.Commit(ops, nft.ReadGeneration()));
        Assert.Equal(10_000, refused.Refusals.Count);
    }

    [Fact]
    public async Task A_read_under_concurrent_commits_is_of_one_generation()
    {
        using NftConnection nft = Namespace.Clean();
        NftSet set = Samples.Set("s", [NftType.Ipv4Addr], false, NftSetKind.Set, null, false);
        NftElements all = Samples.Addresses(set, 500, step: 4, width: 2);
        Commit(nft, AddTable, new NftOp.AddSet(Inet, Samples.Table, set),
            new NftOp.AddElements(Inet, Samples.Table, set, all));
        using var stop = new CancellationTokenSource();
        Task churn = Task.Run(
            () =>
            {
                using var other = new NftConnection();
                var timer = new ManualResetEventSlim();
                while (!stop.IsCancellationRequested)
                {
                    other.Commit([new NftOp.DeleteElements(Inet, Samples.Table, set, all)], other.ReadGeneration());
                    timer.Wait(3);
                    other.Commit([new NftOp.AddElements(Inet, Samples.Table, set, all)], other.ReadGeneration());
                    timer.Wait(3);
                }
            },
            TestContext.Current.CancellationToken);
        for (int i = 0; i < 50; i++)
        {
            // Half a set would be a torn read.
            int count = nft.ReadRuleset(Tables).Ruleset.Tables[0].Sets[0].Elements.Count;
            Assert.True(count is 0 or 500, $"{count} elements");
        }

        await stop.CancelAsync();
        await churn;
    }

    [Fact]
    public void An_owned_table_survives_its_socket_and_a_flush_and_is_adopted_again()
    {
        KernelNeeds.Feature(KernelFeature.OwnerPersist);
        using (NftConnection owner = Namespace.Clean(TableOwnership.OwnedAndPersistent))
        {
            Commit(owner, AddTable, new NftOp.AddChain(Inet, Samples.Table, "c", null));
            Namespace.Run("nft", "flush ruleset");
            Assert.Single(owner.ReadRuleset(Tables).Ruleset.Tables);
            using var stranger = new NftConnection();
            CommitOutcome.Refused refused = Assert.IsType<CommitOutcome.Refused>(
                stranger.Commit([new NftOp.DeleteTable(Inet, Samples.Table)], stranger.ReadGeneration()));
            Assert.Equal("EPERM", refused.Refusals[0].Error.Name);
        }

        using var next = new NftConnection(TableOwnership.OwnedAndPersistent);
        Assert.Single(next.ReadRuleset(Tables).Ruleset.Tables);
        Commit(next, AddTable, new NftOp.AddRule(Inet, Samples.Table, "c", Accept));
        Namespace.Run("nft", "flush ruleset");
        Assert.Single(next.ReadRuleset(Tables).Ruleset.Tables[0].Chains[0].Rules);
        Commit(next, new NftOp.DeleteTable(Inet, Samples.Table));
    }

    [Fact]
    public void Counters_of_elements_and_objects_are_read()
    {
        using NftConnection nft = Namespace.Clean();
        NftSet set = Samples.Set(
            "hits", [NftType.Ipv4Addr], false, NftSetKind.Set, 16, true, [127, 0, 0, 2], [127, 0, 0, 3]);
        Commit(
            nft,
            AddTable,
            new NftOp.AddObject(Inet, Samples.Table, new NftObject.Counter("total")),
            new NftOp.AddSet(Inet, Samples.Table, set),
            new NftOp.AddElements(Inet, Samples.Table, set, set.Elements),
            new NftOp.AddChain(Inet, Samples.Table, "out", new BaseHook(NftHook.Output, 0)),
            new NftOp.AddRule(Inet, Samples.Table, "out", Samples.Rule(
            [
                .. Samples.IsV4, new NftExpr.ObjectRef(1, "total"),
                new NftExpr.Payload(NftPayloadBase.Network, 16, 4, NftReg.R0),
                new NftExpr.Lookup("hits", NftReg.R0),
            ])));
        Namespace.Run("ip", "link set lo up");
        using (var socket = new System.Net.Sockets.UdpClient())
        {
            socket.Send([1, 2, 3], 3, "127.0.0.2", 9);
        }

        CounterReadings read = nft.ReadCounters(Inet, Samples.Table);
        Assert.True(read.Objects["total"].Packets >= 1);
        Assert.Equal(
            [new ElementReading([127, 0, 0, 2], new PacketCount(1, 31)), new ElementReading([127, 0, 0, 3], default)],
            read.Sets["hits"].OrderBy(element => element.Key[3]));
    }

    [Fact]
    public void Foreign_changes_that_a_ruleset_cannot_say_are_unequal()
    {
        using NftConnection nft = Namespace.Clean();
        Namespace.Run("nft", "-f -", """
            table inet sg_agent {
                set timed { type ipv4_addr; timeout 1h; }
                set odd { type ipv4_addr . uid; }
                chain base { type filter hook input priority 0; policy drop; meta skuid 0 reject; }
            }
            """);
        NftTable read = Assert.Single(nft.ReadRuleset(Tables).Ruleset.Tables);
        Assert.All(read.Sets, set => Assert.NotNull(set.Unexpected));
        NftChain chain = Assert.Single(read.Chains);
        Assert.True(chain.Hook!.PolicyDrop);
        Assert.Contains(chain.Rules[0].Exprs, expr => expr is NftExpr.Opaque);
    }

    [Fact]
    public void Features_are_probed_without_a_trace()
    {
        using NftConnection nft = Namespace.Clean();
        uint before = nft.ReadGeneration();
        NftFeatures features = NftFeatures.Probe();
        Assert.Equal(before, nft.ReadGeneration());
        TestContext.Current.SendDiagnosticMessage(features.ToString());
        Assert.True(features.ConnLimit.Available, features.ConnLimit.Detail);
        Assert.True(features.CtTimeout.Available, features.CtTimeout.Detail);
    }
}
