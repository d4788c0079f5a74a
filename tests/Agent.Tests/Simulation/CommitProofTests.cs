using Agent.Compiler;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Evaluator;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Simulation;

/// <summary>A compiler that errs, and what the proof before a commit makes of it.</summary>
public sealed class CommitProofTests : IDisposable
{
    private static readonly PolicySnapshot First = Policy(1, 80);
    private static readonly PolicySnapshot Second = Policy(2, 8080);

    private readonly SimulatedFirewall kernel = new();
    private readonly Verifier verifier = new(TimeProvider.System);
    private readonly List<ProofOutcome> told = [];

    /// <summary>What the compiler makes of a table that was right.</summary>
    private Func<CompileRequest, NftTable, NftTable> fault = (_, table) => table;

    private static string Web => CompiledRuleset.ProfileOf(First.Vnics["one"]);

    public void Dispose() => verifier.Dispose();

    [Fact]
    public void What_is_proved_is_committed_and_said_to_be_proved()
    {
        Enforcer enforcer = Start();
        Assert.Equal(ProofOutcome.Proved, Enforce(enforcer, First).Outcome);
        ProofResult second = Enforce(enforcer, Second);
        Assert.Equal((ProofOutcome.Proved, 2), (second.Outcome, second.Vnics.Count));
        Assert.Same(enforcer.Enforced, second.Of);
    }

    [Fact]
    public void A_profile_that_is_compiled_wrongly_keeps_its_rules_and_nobody_else_waits()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        fault = (request, table) => request.Policy.Revision == 2 ? Open(request, table) : table;
        kernel.BeforeCommit = () => Assert.False(Passes(4711, "one"));
        ProofResult result = Enforce(enforcer, Second);
        Assert.Equal("one", Assert.Single(enforcer.Enforced!.Failed).Key);
        Assert.Contains("not proved", enforcer.Enforced.Failed["one"]);
        Assert.Contains("expected Dropped", enforcer.Enforced.Failed["one"]);
        Assert.Equal(ProofOutcome.Proved, result.Outcome); // older rules, and those are what it has
        Assert.DoesNotContain("one", enforcer.Enforced.Closed);
        Assert.True(Passes(80, "one"));
        Assert.False(Passes(8080, "one"));
        Assert.True(Passes(8080, "two"));

        fault = (_, table) => table;
        Assert.Equal(ProofOutcome.Proved, Enforce(enforcer, Second).Outcome);
        Assert.Empty(enforcer.Enforced.Failed);
        Assert.True(Passes(8080, "one"));
    }

    [Fact]
    public void A_new_profile_that_is_compiled_wrongly_is_closed()
    {
        Enforcer enforcer = Start();
        fault = Open;
        ProofResult result = Enforce(enforcer, First);
        Assert.Equal("one", Assert.Single(enforcer.Enforced!.Failed).Key);
        Assert.Contains("one", enforcer.Enforced.Closed);
        Assert.Equal(ProofOutcome.Proved, result.Outcome);
        Assert.Equal([ProofOutcome.Refuted, ProofOutcome.Proved], told); // what it is about, and what came of it
        Assert.False(Passes(80, "one"));
        Assert.True(Passes(80, "two"));
    }

    [Fact]
    public void What_all_share_and_is_wrong_stays_out_of_the_kernel_as_a_whole()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        enforcer.Cleanup();
        Ruleset before = kernel.Ruleset;
        fault = (_, table) => ErringCompiler.Prepend(table, "sg_forward", new NftExpr.VerdictIs(NftVerdict.Accept));
        EnforcementFailedException refused = Assert.Throws<EnforcementFailedException>(
            () => enforcer.Enforce(Policy(2, 80, 81), HostFacts.Default)); // takes nothing away: the epoch stays
        Assert.Contains("not proved", refused.Message);
        Assert.Equal(before, kernel.Ruleset);
        Assert.Equal(ProofOutcome.Refuted, told[^1]);
    }

    [Fact]
    public void With_report_it_is_in_force_and_said_to_be_wrong()
    {
        Enforcer enforcer = Start(VerifyMode.Report);
        fault = Open;
        ProofResult result = Enforce(enforcer, First);
        Assert.Equal(ProofOutcome.Refuted, result.Outcome);
        Assert.Equal("one", Assert.Single(result.Faults).VnicId);
        Assert.Empty(enforcer.Enforced!.Failed);
        Assert.True(Passes(4711, "one"));
    }

    [Fact]
    public void With_off_nobody_asks()
    {
        Enforcer enforcer = Start(VerifyMode.Off);
        fault = Open;
        Assert.Null(enforcer.Enforce(First, HostFacts.Default).Proof);
        Assert.Empty(enforcer.Enforced!.Failed);
    }

    [Fact]
    public async Task What_takes_too_long_is_committed_and_closed_when_it_proves_to_be_wrong()
    {
        Enforcer enforcer = Start(budget: TimeSpan.Zero);
        fault = Open;
        Assert.Equal(ProofOutcome.Pending, Enforce(enforcer, First).Outcome);
        Assert.True(Passes(4711, "one"));
        CompiledRuleset wrong = enforcer.Enforced!;
        ProofResult late = await verifier.ProveAtLeisureAsync(
            wrong, wrong.Ruleset, only: null, TestContext.Current.CancellationToken);
        Assert.Equal(ProofOutcome.Refuted, late.Outcome);
        enforcer.Condemned = late;
        enforcer.Enforce(First, HostFacts.Default);
        Assert.Contains("one", enforcer.Enforced!.Closed);
        Assert.False(Passes(4711, "one"));
        Assert.True(Passes(80, "two"));
    }

    [Fact]
    public async Task What_was_proved_and_others_changed_is_put_right_before_it_is_proved_again()
    {
        Enforcer enforcer = Start();
        Enforce(enforcer, First);
        for (int round = 0; round < 2; round++)
        {
            uint epoch = enforcer.Epoch;
            kernel.Foreign(new NftOp.FlushChain(NftFamily.Inet, "sg_agent", Web + "_in"));
            enforcer.Distrust();
            EnforcementReport report = enforcer.Enforce(First, HostFacts.Default);
            Assert.NotEqual(epoch, enforcer.Epoch);
            Assert.NotNull(report.Drift);
            Assert.Equal((TimeSpan.Zero, true), (report.Prove, report.Proof!.IsPending));
            Assert.True(Passes(80, "one"));
            enforcer.Know(await verifier.ProveAtLeisureAsync(
                enforcer.Enforced!, kernel.Ruleset, only: null, TestContext.Current.CancellationToken));
        }
    }

    [Fact]
    public async Task Whoever_commits_goes_before_whoever_proves_at_leisure()
    {
        Enforcer enforcer = Start();
        enforcer.Enforce(First, HostFacts.Default);
        CompiledRuleset compiled = enforcer.Enforced!;
        for (int i = 0; i < 50; i++)
        {
            Task<ProofResult> leisure = verifier.ProveAtLeisureAsync(
                compiled, compiled.Ruleset, only: null, TestContext.Current.CancellationToken);
            Assert.Equal(
                ProofOutcome.Proved,
                verifier.ProveNow(enforcer.Compile(Policy(2, i + 1), HostFacts.Default), TimeSpan.FromMinutes(1))
                    .Outcome);
            Assert.Equal(ProofOutcome.Proved, (await leisure).Outcome);
        }
    }

    [Fact]
    public async Task Where_proofs_are_cut_off_again_and_again_ever_fewer_changes_wait()
    {
        CompiledRuleset compiled = Compile(new CompileRequest(
            First, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, 0x00010000));
        for (int ahead = 1; ahead <= 8; ahead *= 2)
        {
            Assert.NotEqual(TimeSpan.Zero, verifier.ProveNow(compiled, TimeSpan.Zero).Took);
            for (int i = 0; i < ahead; i++)
            {
                ProofResult now = verifier.ProveNow(compiled, TimeSpan.FromMinutes(1));
                Assert.Equal((ProofOutcome.Pending, TimeSpan.Zero), (now.Outcome, now.Took));
                ProofResult done = await verifier.ProveAtLeisureAsync(
                    compiled, compiled.Ruleset, only: null, TestContext.Current.CancellationToken);
                Assert.Equal(ProofOutcome.Proved, done.Outcome);
            }
        }

        Assert.Equal(ProofOutcome.Proved, verifier.ProveNow(compiled, TimeSpan.FromMinutes(1)).Outcome);
        Assert.NotEqual(TimeSpan.Zero, verifier.ProveNow(compiled, TimeSpan.FromMinutes(1)).Took);
    }

    [Fact]
    public async Task Where_a_proof_was_cut_off_the_next_change_does_not_wait_in_vain()
    {
        CompiledRuleset compiled = Compile(new CompileRequest(
            First, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, 0x00010000));
        var soon = TimeSpan.FromTicks(1);
        Assert.Equal(ProofOutcome.Pending, verifier.ProveNow(compiled, soon).Outcome);
        Assert.Equal((ProofOutcome.Pending, TimeSpan.Zero),
            (verifier.ProveNow(compiled, soon).Outcome, verifier.ProveNow(compiled, soon).Took));
        await verifier.ProveAtLeisureAsync(
            compiled, compiled.Ruleset, only: null, TestContext.Current.CancellationToken);
        Assert.Equal(ProofOutcome.Proved, verifier.ProveNow(compiled, TimeSpan.FromMinutes(1)).Outcome);
    }

    private static PolicySnapshot Policy(ulong revision, int port, int? last = null) => new PolicyBuilder()
        .Basic("web", Verdict.Drop, $"in 1 accept tcp {port}/{last ?? port} 0.0.0.0/0")
        .Basic("data", Verdict.Drop, $"in 1 accept tcp {port}/{last ?? port} 0.0.0.0/0")
        .Nic("one", "10.0.0.1", "web").Nic("two", "10.0.0.2", "data").Build(revision);

    private static NftTable Open(CompileRequest request, NftTable table) => ErringCompiler.Open(request, table, Web);

    private Enforcer Start(VerifyMode mode = VerifyMode.Enforce, TimeSpan? budget = null)
    {
        var enforcer = new Enforcer(
            kernel, CompilerSettings.Default, PolicySettings.Default, TimeProvider.System, NullLogger.Instance)
        {
            Verifier = verifier,
            Mode = mode,
            VerifyBudget = budget ?? TimeSpan.FromMinutes(1),
            Compiler = Compile,
            OnProved = result => told.Add(result.Outcome),
        };
        enforcer.Adopt(0);
        return enforcer;
    }

    private CompiledRuleset Compile(CompileRequest request) => ErringCompiler.Compile(request, fault);

    private static ProofResult Enforce(Enforcer enforcer, PolicySnapshot policy)
    {
        EnforcementReport report = enforcer.Enforce(policy, HostFacts.Default);
        enforcer.Cleanup();
        return report.Proof!;
    }

    private bool Passes(ushort port, string vnic)
    {
        IpPrefix own = First.Vnics[vnic].Addresses[0];
        var packet = new PacketTuple(
            IpFamily.V4, IpPrefix.Parse("198.51.100.7").First, own.First, IpProtocol.Tcp, 40000, port);
        return RulesetEvaluator.Evaluate(kernel.Ruleset, new HookInput
        {
            Family = NftFamily.Inet,
            Hook = NftHook.Forward,
            Packet = PacketBytes.Of(packet),
            InInterface = "uplink",
            OutInterface = First.Vnics[vnic].InterfaceName,
            InIndex = 3,
            OutIndex = 4,
            Ct = new CtInput(CtState.New),
        }).Verdict == HookVerdict.Accept;
    }
}
