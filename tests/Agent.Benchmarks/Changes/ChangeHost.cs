using Agent.Compiler;
using Agent.Contract;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.TestNet;
using Agent.V1;
using Google.Protobuf;

namespace Agent.Benchmarks.Changes;

/// <summary>
/// The daemon's way of a change, step by step on one thread and with the real kernel, so that each step can be
/// measured: without gRPC, without the disk.
/// </summary>
internal sealed class ChangeHost : IDisposable
{
    private const uint FirstEpoch = 0x0001_0000;
    private const uint EpochStep = 0x0001_0000;

    private readonly NetNamespace space = NetNamespace.Create("change");
    private readonly NftConnection kernel;
    private readonly ProofCache? proofs;

    private PolicySnapshot policy = PolicySnapshot.Empty;
    private CompiledRuleset? compiled;
    private Ruleset observed = Ruleset.Empty;
    private IReadOnlyList<NftOp> cleanup = [];
    private uint generation;
    private Dictionary<Stage, double> milliseconds = [];
    private Dictionary<Stage, long> allocated = [];

    /// <param name="proves">Each change is proved before it is committed.</param>
    public ChangeHost(bool proves)
    {
        kernel = space.Run(() => new NftConnection());
        generation = kernel.ReadGeneration();
        proofs = proves ? new ProofCache() : null;
    }

    /// <summary>Messages and bytes of the ruleset from nothing.</summary>
    public ChangeCost Load(Snapshot snapshot)
    {
        byte[] message = snapshot.ToByteArray();
        return Take(() => SnapshotReader.Read(Snapshot.Parser.ParseFrom(message), PolicyLimits.Unlimited));
    }

    /// <summary>Commits a delta, and what it leaves behind is removed beforehand next time.</summary>
    public ChangeCost Change(Delta delta)
    {
        Clean();
        byte[] message = delta.ToByteArray();
        return Take(() => DeltaReader.Apply(policy, Delta.Parser.ParseFrom(message), PolicyLimits.Unlimited));
    }

    /// <summary>Compiles what is in force, with nothing remembered.</summary>
    public ChangeCost CompileAnew()
    {
        (milliseconds, allocated) = ([], []);
        Measure(Stage.Compile, () => RulesetCompiler.Compile(compiled!.Request));
        return new ChangeCost(milliseconds, allocated, 0, 0);
    }

    public void Dispose()
    {
        kernel.Dispose();
        space.Dispose();
    }

    private ChangeCost Take(Func<SnapshotResult> read)
    {
        (milliseconds, allocated) = ([], []);
        SnapshotResult result = Measure(Stage.Read, read);
        PolicySnapshot next = result.Policy
            ?? throw new InvalidOperationException($"refused: {result.Faults.FirstOrDefault()}");
        Measure(Stage.Hash, () => StateHash.Of(next));
        uint epoch = compiled?.Request.Epoch ?? FirstEpoch;
        CompiledRuleset fresh = Measure(Stage.Compile, () => RulesetCompiler.Compile(new CompileRequest(
            next, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, epoch)
        { Previous = compiled }));
        if (!fresh.Failed.IsEmpty)
        {
            throw new InvalidOperationException($"not compiled: {fresh.Failed.First()}");
        }

        fresh = Measure(Stage.Judge, () => compiled is not null && Restriction.Between(compiled, fresh)
            ? fresh.WithEpoch(unchecked(epoch + EpochStep)) : fresh);
        Prove(fresh);
        Plan plan = Measure(Stage.Plan, () => Plan.Between(observed, fresh.Ruleset));
        int messages = 0;
        long bytes = 0;
        NftOp[][] parts = [.. plan.Prepare.Chunk(2000), .. plan.Switch.Count > 0 ? [[.. plan.Switch]] : (NftOp[][])[]];
        foreach (NftOp[] part in parts)
        {
            CommitOutcome outcome = Measure(Stage.Commit, () => kernel.Commit(part, generation));
            CommitOutcome.Committed committed = outcome as CommitOutcome.Committed
                ?? throw new InvalidOperationException($"not committed: {outcome}");
            generation = committed.Generation;
            messages += committed.Messages;
            bytes += committed.Bytes;
        }

        NftOp[] done = [.. parts.SelectMany(part => part)];
        Ruleset? held = Measure(Stage.ReadBack, () => kernel.ReadBack(fresh.Ruleset, done));
        if (held is not null && !ReferenceEquals(held, fresh.Ruleset))
        {
            throw new InvalidOperationException("the kernel holds something else");
        }

        (policy, compiled, observed, cleanup) = (next, fresh, fresh.Ruleset, plan.Cleanup);
        return new ChangeCost(milliseconds, allocated, messages, bytes);
    }

    private void Prove(CompiledRuleset fresh)
    {
        if (proofs is not null && !Measure(Stage.Prove, () => Prover.Prove(
            fresh.Ruleset, fresh.Request.Policy, fresh.Request.PolicySettings, new ProofFacts
            {
                EpochMask = fresh.Request.Settings.EpochMask,
                Epoch = fresh.Request.Epoch,
                Zones = fresh.Zones,
                ManagedInterfaces = fresh.Request.Settings.ManagedInterfaces,
            },
            proofs)).IsProved)
        {
            throw new InvalidOperationException("not proved: what was measured is something else");
        }
    }

    private void Clean()
    {
        if (cleanup.Count > 0 && kernel.Commit(cleanup, generation) is CommitOutcome.Committed committed)
        {
            generation = committed.Generation;
        }

        cleanup = [];
    }

    private T Measure<T>(Stage stage, Func<T> step)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        TimeSpan began = CpuClock.OfThread;
        T result = step();
        milliseconds[stage] = milliseconds.GetValueOrDefault(stage) + (CpuClock.OfThread - began).TotalMilliseconds;
        allocated[stage] = allocated.GetValueOrDefault(stage) + GC.GetAllocatedBytesForCurrentThread() - before;
        return result;
    }
}
