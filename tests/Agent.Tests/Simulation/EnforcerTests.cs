using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Evaluator;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Simulation;

public class EnforcerTests
{
    private static readonly PolicySnapshot First = Policy(1, web: ["in 1 accept tcp 80/80 0.0.0.0/0"]);
    private static readonly PolicySnapshot Wider = Policy(
        2, web: ["in 1 accept tcp 80/80 0.0.0.0/0", "in 1 accept tcp 443/443 0.0.0.0/0"]);
    private static readonly PolicySnapshot Narrower = Policy(3, web: []);

    private readonly SimulatedFirewall kernel = new();

    private static string WebProfile => CompiledRuleset.ProfileOf(First.Vnics["one"]);

    private static string DataProfile => CompiledRuleset.ProfileOf(First.Vnics["two"]);

    [Fact]
    public void What_is_enforced_is_what_was_compiled()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        AssertHolds(enforcer, First);
        Assert.Empty(enforcer.Enforced!.Failed);
    }

    [Fact]
    public void The_epoch_moves_only_when_something_is_taken_away()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        uint epoch = enforcer.Epoch;
        Assert.False(enforcer.Enforce(Wider, HostFacts.Default).Revalidated);
        Assert.Equal(epoch, enforcer.Epoch);
        Assert.True(enforcer.Enforce(Narrower, HostFacts.Default).Revalidated);
        Assert.NotEqual(epoch, enforcer.Epoch);
        Assert.Equal(enforcer.Epoch, EpochReader.Find(kernel.Ruleset, CompilerSettings.Default));
        epoch = enforcer.Epoch;
        Assert.False(enforcer.Enforce(First, HostFacts.Default).Revalidated);
        Assert.Equal(epoch, enforcer.Epoch);
    }

    [Fact]
    public void The_same_policy_again_commits_nothing()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        int before = kernel.Committed.Count;
        EnforcementReport report = enforcer.Enforce(First with { Revision = 9 }, HostFacts.Default);
        Assert.Equal((0, 0, false), (report.Messages, report.Transactions, report.Revalidated));
        Assert.Equal(before, kernel.Committed.Count);
    }

    /// <summary>Once, before anything is put into zones: at the start, and after somebody has flushed it.</summary>
    [Fact]
    public void Sessions_of_zones_are_tracked_anew_where_nothing_was_put_into_them()
    {
        string vpc = First.Vnics["one"].VpcId;
        PolicySnapshot listed = First with { Vpcs = First.Vpcs.Add(vpc, new Vpc { Id = vpc }) };
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        Assert.Empty(kernel.Retracked);
        enforcer.Enforce(listed, HostFacts.Default);
        enforcer.Cleanup();
        Assert.Single(kernel.Retracked);

        Enforcer next = Start(out _);
        next.Enforce(listed with { Revision = 2 }, HostFacts.Default);
        Assert.Single(kernel.Retracked);
        kernel.Foreign([.. kernel.Ruleset.Tables.Select(table => new NftOp.DeleteTable(table.Family, table.Name))]);
        next.Distrust();
        next.Enforce(listed with { Revision = 2 }, HostFacts.Default);
        Assert.Equal(2, kernel.Retracked.Count);
        Assert.All(kernel.Retracked, one =>
        {
            Assert.True(one.Zones.SetEquals(next.Enforced!.Zones.Values));
            Assert.False(ZoneNumbers.AreAssigned(one.Meanwhile, CompilerSettings.Default));
        });
    }

    [Fact]
    public void A_restart_adopts_and_writes_nothing()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Enforce(Narrower, HostFacts.Default);
        enforcer.Cleanup();
        (uint epoch, int before, Ruleset held) = (enforcer.Epoch, kernel.Committed.Count, kernel.Ruleset);

        Enforcer next = Start(out bool adopted);
        Assert.True(adopted);
        EnforcementReport report = next.Enforce(Narrower, HostFacts.Default);
        next.Cleanup();
        Assert.Equal((epoch, 0, false), (next.Epoch, report.Transactions, report.Revalidated));
        Assert.Equal(before, kernel.Committed.Count);
        Assert.Equal(held, kernel.Ruleset);
    }

    [Fact]
    public void A_restart_with_a_newer_policy_judges_sessions_again()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        uint epoch = enforcer.Epoch;
        Enforcer next = Start();
        Assert.True(next.Enforce(Wider, HostFacts.Default).Revalidated); // what the kernel enforced before is not known
        Assert.NotEqual(epoch, next.Epoch);
    }

    [Fact]
    public void An_epoch_that_the_state_file_remembers_is_not_used_again()
    {
        var enforcer = new Enforcer(
            kernel, CompilerSettings.Default, PolicySettings.Default, TimeProvider.System, NullLogger.Instance);
        Assert.False(enforcer.Adopt(0x00070000));
        enforcer.Enforce(First, HostFacts.Default);
        Assert.True(enforcer.Epoch > 0x00070000, $"{enforcer.Epoch:x}");
    }

    [Fact]
    public void Foreign_commits_make_it_read_again_and_go_on()
    {
        Enforcer enforcer = Start();
        int left = 5;
        kernel.BeforeCommit = () =>
        {
            if (left-- > 0)
            {
                kernel.Foreign();
            }
        };
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        Assert.Equal(5, kernel.StaleAnswers);
        AssertHolds(enforcer, First);
    }

    [Fact]
    public void Foreign_commits_without_end_hold_up_none_of_ours()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        kernel.BeforeCommit = () => kernel.Foreign();
        kernel.BeforeReadBack = () => kernel.Foreign();
        EnforcementReport report = enforcer.Enforce(Narrower, HostFacts.Default);
        Assert.Equal((VerifyOutcome.Verified, null), (report.Verification!.Outcome, report.Drift));
        Assert.Equal(kernel.ReadGeneration(), enforcer.Generation);
        kernel.BeforeCommit = () => { };
        enforcer.Cleanup();
        AssertHolds(enforcer, Narrower);
    }

    [Fact]
    public void Others_who_undo_each_commit_are_reported_and_the_next_one_wins()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        kernel.BeforeReadBack = () => kernel.Foreign(
            new NftOp.FlushChain(NftFamily.Inet, "sg_agent", WebProfile + "_in"));
        Assert.Throws<EnforcementFailedException>(() => enforcer.Enforce(Narrower, HostFacts.Default));
        Assert.Contains(WebProfile, enforcer.Found!.ToString(), StringComparison.Ordinal);
        kernel.BeforeReadBack = () => { };
        enforcer.Distrust();
        Assert.NotNull(enforcer.Enforce(Narrower, HostFacts.Default).Drift);
        Assert.Null(enforcer.Found);
        enforcer.Cleanup();
        AssertHolds(enforcer, Narrower);
    }

    [Fact]
    public void A_refused_object_of_a_profile_holds_back_that_profile_only_and_keeps_its_rules()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        kernel.Refuses = op => op.ObjectName == WebProfile + "_in_port" ? "not supported" : null;
        PolicySnapshot next = Policy(
            2, web: ["in 1 accept tcp 8080/8080 0.0.0.0/0"], data: ["in 1 accept tcp 5432/5432 10.0.0.0/8"]);
        enforcer.Enforce(next, HostFacts.Default);
        Assert.Equal(["one"], enforcer.Enforced!.Failed.Keys);
        Assert.Contains("not supported", enforcer.Enforced.Failed["one"]);
        AssertRules(WebProfile, First);
        AssertRules(DataProfile, next);

        // And it stays with the rules it has, however many policies come, until one is taken.
        for (ulong revision = 3; revision < 6; revision++)
        {
            enforcer.Enforce(
                Policy(revision, web: [$"in 1 accept tcp {8080 + revision}/{8080 + revision} 0.0.0.0/0"]),
                HostFacts.Default);
            Assert.Equal(["one"], enforcer.Enforced!.Failed.Keys);
            AssertRules(WebProfile, First);
        }

        kernel.Refuses = _ => null;
        enforcer.Enforce(Narrower, HostFacts.Default);
        enforcer.Cleanup();
        Assert.Empty(enforcer.Enforced!.Failed);
        AssertHolds(enforcer, Narrower);
    }

    [Fact]
    public void A_new_profile_that_is_refused_is_closed_and_nobody_else_waits()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        PolicySnapshot next = new PolicyBuilder()
            .Basic("web", "in 1 accept tcp 81/81 0.0.0.0/0").Basic("data")
            .Basic("new", "in 1 accept tcp 22/22 0.0.0.0/0")
            .Nic("one", "10.0.0.1", "web").Nic("two", "10.0.0.2", "data").Nic("three", "10.0.0.3", "new").Build(2);
        string profile = CompiledRuleset.ProfileOf(next.Vnics["three"]);
        kernel.Refuses = op => op.ObjectName.StartsWith(profile, StringComparison.Ordinal) ? "no" : null;
        enforcer.Enforce(next, HostFacts.Default);
        Assert.Equal(["three"], enforcer.Enforced!.Failed.Keys);
        AssertRules(WebProfile, next);
        Assert.Equal("drop_to_closed", DispatchOf("tap-three"));
        Assert.Equal("vnic_tap-one_in", DispatchOf("tap-one"));
    }

    [Fact]
    public void A_refused_object_at_the_very_start_closes_its_own_vnics_only()
    {
        Enforcer enforcer = Start();
        kernel.Refuses = op => op.ObjectName.StartsWith(WebProfile, StringComparison.Ordinal) ? "no" : null;
        enforcer.Enforce(First, HostFacts.Default);
        Assert.Equal(["one"], enforcer.Enforced!.Failed.Keys);
        Assert.Equal("drop_to_closed", DispatchOf("tap-one"));
        Assert.Equal("vnic_tap-two_in", DispatchOf("tap-two"));
    }

    [Fact]
    public void A_refused_object_of_a_vnic_closes_that_vnic_and_ends_its_sessions()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        uint epoch = enforcer.Epoch;
        kernel.Refuses = op => op.ObjectName == "guard4_tap-one" && op is NftOp.AddRule or NftOp.AddChain ? "no" : null;
        PolicySnapshot next = First with
        {
            Vnics = First.Vnics.SetItem(
                "one", First.Vnics["one"] with { DelegatedPrefixes = [IpPrefix.Parse("10.9.0.0/24")] }),
        };
        enforcer.Enforce(next, HostFacts.Default);
        Assert.Equal(["one"], enforcer.Enforced!.Failed.Keys);
        Assert.Equal("drop_to_closed", DispatchOf("tap-one"));
        Assert.Equal("vnic_tap-two_in", DispatchOf("tap-two"));
        Assert.NotEqual(epoch, enforcer.Epoch);
    }

    [Fact]
    public void A_refusal_of_what_all_share_leaves_the_old_ruleset_whole()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        Ruleset before = kernel.Ruleset;
        kernel.Refuses = op => op.ObjectName == "stamp" ? "no" : null;
        Assert.Throws<EnforcementFailedException>(() => enforcer.Enforce(Narrower, HostFacts.Default));
        Assert.Equal(before.Tables[0].Chains.Single(chain => chain.Name == "stamp"),
            kernel.Ruleset.Tables[0].Chains.Single(chain => chain.Name == "stamp"));
        AssertRules(WebProfile, First);
    }

    [Fact]
    public void Drift_is_repaired_and_what_it_let_in_is_judged_again()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        uint epoch = enforcer.Epoch;
        kernel.Foreign(new NftOp.FlushChain(NftFamily.Inet, "sg_agent", WebProfile + "_in"));
        enforcer.Distrust();
        EnforcementReport report = enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        Assert.True(report.Transactions > 0);
        AssertHolds(enforcer, First);
        Assert.NotEqual(epoch, enforcer.Epoch);
    }

    [Fact]
    public void A_foreign_commit_elsewhere_does_not_disturb_sessions()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        uint epoch = enforcer.Epoch;
        kernel.Foreign();
        enforcer.Distrust();
        Assert.Equal(0, enforcer.Enforce(First, HostFacts.Default).Transactions);
        Assert.Equal(epoch, enforcer.Epoch);
    }

    [Fact]
    public void A_cleaning_up_that_came_too_late_is_made_up_for()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Enforce(First with { Vnics = First.Vnics.Remove("two"), Revision = 2 }, HostFacts.Default);
        Assert.True(enforcer.CleanupDue);
        kernel.Foreign();
        enforcer.Cleanup();
        PolicySnapshot next = First with { Vnics = First.Vnics.Remove("two"), Revision = 3 };
        enforcer.Enforce(next, HostFacts.Default);
        enforcer.Cleanup();
        AssertHolds(enforcer, next);
    }

    [Fact]
    public void A_cleaning_up_that_is_put_off_is_no_drift()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        PolicySnapshot less = First with { Vnics = First.Vnics.Remove("two"), Revision = 2 };
        enforcer.Enforce(less, HostFacts.Default);
        uint epoch = enforcer.Epoch;
        kernel.Foreign();
        enforcer.Cleanup();
        Assert.Equal(VerifyOutcome.Verified, enforcer.Verify().Outcome);
        EnforcementReport report = enforcer.Enforce(less with { Revision = 3 }, HostFacts.Default);
        Assert.Equal((null, epoch), (report.Drift, enforcer.Epoch));
        enforcer.Cleanup();
        AssertHolds(enforcer, less);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_others_change_while_a_change_is_on_its_way_is_drift(bool beforeCleanup)
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        NftOp foreign = new NftOp.FlushChain(NftFamily.Inet, "sg_agent", DataProfile + "_in");
        int commits = 0;
        kernel.BeforeCommit = () =>
        {
            if (!beforeCleanup && ++commits == 2) // what is prepared is there
            {
                kernel.Foreign(foreign);
            }
        };
        PolicySnapshot second = beforeCleanup ? First with { Vnics = First.Vnics.Remove("one"), Revision = 2 }
            : Policy(2, web: ["in 1 accept udp 53/53 192.0.2.0/24"]);
        Drift? seen = enforcer.Enforce(second, HostFacts.Default).Drift;
        kernel.BeforeCommit = () => { };
        if (beforeCleanup)
        {
            Assert.Null(seen);
            Assert.True(enforcer.CleanupDue);
            kernel.Foreign(foreign);
            enforcer.Cleanup();
            seen = enforcer.Enforce(second, HostFacts.Default).Drift;
        }

        string only = Assert.Single(seen!.Objects);
        Assert.Contains($"chain inet sg_agent {DataProfile}_in", only, StringComparison.Ordinal);
        enforcer.Cleanup();
        AssertHolds(enforcer, second);
    }

    [Fact]
    public void What_a_change_let_in_that_was_given_up_half_way_is_judged_again()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        uint epoch = enforcer.Epoch;
        kernel.BeforeReadBack = () => throw new CrashException(); // the wider rules are in force by now
        Assert.Throws<CrashException>(() => enforcer.Enforce(Wider, HostFacts.Default));
        kernel.BeforeReadBack = () => { };
        enforcer.Distrust();

        EnforcementReport report = enforcer.Enforce(First with { Revision = 3 }, HostFacts.Default);
        Assert.Equal((true, null), (report.Revalidated, report.Drift)); // nobody else wrote
        Assert.NotEqual(epoch, enforcer.Epoch);
        enforcer.Cleanup();
        AssertHolds(enforcer, First);
    }

    /// <summary>The transaction that moved the epoch was taken, and its answer lost: sessions may carry it since.
    /// </summary>
    [Fact]
    public void An_epoch_that_was_sent_is_not_sent_again_whatever_was_answered()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        uint epoch = enforcer.Epoch;
        uint? Now() => EpochReader.Find(kernel.Ruleset, CompilerSettings.Default);
        kernel.AfterCommit = () => _ = Now() == epoch ? 0
            : throw new NetlinkException("read generation", new KernelError(KernelError.Enobufs));
        Assert.Throws<NetlinkException>(() => enforcer.Enforce(Narrower, HostFacts.Default));
        kernel.AfterCommit = () => { };
        uint lost = Assert.NotNull(Now());
        Assert.NotEqual(epoch, lost);

        enforcer.Distrust();
        Assert.Null(enforcer.Enforce(Policy(9, web: []), HostFacts.Default).Drift); // nobody else wrote
        Assert.DoesNotContain(Assert.NotNull(Now()), (uint[])[epoch, lost]);
    }

    [Fact]
    public void A_crash_between_the_rules_and_the_epoch_is_finished_by_the_next_process()
    {
        // An interval map is edited in place: the epoch moves in a transaction of its own behind it.
        PolicySnapshot before = Policy(
            1, web: ["in 1 accept tcp 80/80 group:data"], members: ["10.5.0.0/24", "10.6.0.0/24"]);
        PolicySnapshot after = Policy(2, web: ["in 1 accept tcp 80/80 group:data"], members: ["10.5.0.0/24"]);
        Enforcer enforcer = Start();
        enforcer.Enforce(before, HostFacts.Default);
        enforcer.Cleanup();
        uint epoch = enforcer.Epoch;
        int commits = 0;
        kernel.BeforeCommit = () =>
        {
            if (EpochReader.Find(kernel.Ruleset, CompilerSettings.Default) == epoch
                && SealMark.IsOn(kernel.Ruleset, CompilerSettings.Default))
            {
                throw new CrashException();
            }

            commits++;
        };
        Assert.Throws<CrashException>(() => enforcer.Enforce(after, HostFacts.Default));
        Assert.True(commits > 0);
        kernel.BeforeCommit = () => { };

        Enforcer next = Start();
        Assert.True(next.Enforce(after, HostFacts.Default).Revalidated);
        next.Cleanup();
        Assert.NotEqual(epoch, next.Epoch);
        AssertHolds(next, after);
    }

    internal static PolicySnapshot Policy(
        ulong revision, string[] web, string[]? data = null, string[]? members = null) =>
        new PolicyBuilder()
            .Basic("web", Verdict.Drop, web)
            .Group("data", GroupType.Basic, Verdict.Drop, members ?? [], data ?? [])
            .Nic("one", "10.0.0.1", "web").Nic("two", "10.0.0.2", "data").Build(revision);

    private Enforcer Start() => Start(out _);

    private Enforcer Start(out bool adopted)
    {
        var enforcer = new Enforcer(
            kernel, CompilerSettings.Default, PolicySettings.Default, TimeProvider.System, NullLogger.Instance);
        adopted = enforcer.Adopt(0);
        return enforcer;
    }

    private void AssertHolds(Enforcer enforcer, PolicySnapshot policy)
    {
        Ruleset expected = RulesetCompiler.Compile(new CompileRequest(
            policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, enforcer.Epoch)).Ruleset;
        Assert.Equal(NftText.Print(expected), NftText.Print(kernel.Ruleset));
        Assert.Equal(expected, kernel.Ruleset);
    }

    private void AssertRules(string profile, PolicySnapshot policy)
    {
        Ruleset expected = RulesetCompiler.Compile(new CompileRequest(
            policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, 0x00010000)).Ruleset;
        Assert.Equal(Of(expected), Of(kernel.Ruleset));

        // What stands in the maps; sets and chains that nothing refers to any more may still be there.
        NftSet[] Of(Ruleset ruleset) =>
            [.. ruleset.Tables[0].Sets.Where(set => set.Name.StartsWith(profile, StringComparison.Ordinal))];
    }

    private string DispatchOf(string device)
    {
        NftSet map = kernel.Ruleset.Tables[0].Sets.Single(set => set.Name == "vnic_to");
        for (int i = 0; i < map.Elements.Count; i++)
        {
            if (NftElements.GetName(map.Elements[i][..16]) == device)
            {
                return NftElements.GetVerdict(map.Elements[i][16..]).Chain!;
            }
        }

        return "";
    }
}
