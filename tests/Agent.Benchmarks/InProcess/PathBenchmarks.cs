using Agent.Compiler;
using Agent.Contract;
using Agent.Evaluator;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.Policy;
using BenchmarkDotNet.Attributes;
using Google.Protobuf;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Benchmarks.InProcess;

/// <summary>The steps from a message to netlink's bytes, each alone, and one verdict of the policy.</summary>
public class PathBenchmarks
{
    internal const string Usual = "usual";
    internal const string Large = "large";

    private readonly NlWriter writer = new(64 * 1024);
    private byte[] message = [];
    private byte[] dump = [];
    private PolicySnapshot policy = PolicySnapshot.Empty;
    private CompiledRuleset compiled = null!;
    private CompiledRuleset otherMember = null!;
    private CompiledRuleset otherRule = null!;
    private NftOp[] operations = [];
    private NftSet large = null!;
    private PolicyOracle oracle = null!;
    private Vnic vnic = null!;
    private PacketTuple packet;

    [Params(Usual, Large)]
    public string Host { get; set; } = Usual;

    [GlobalSetup]
    public void Prepare()
    {
        PolicySnapshot host = Host == Usual
            ? BenchmarkHost.Of(20, 5, 100, 2000)
            : BenchmarkHost.Of(500, 50, 200, BenchmarkHost.Members);
        Snapshot snapshot = SnapshotWriter.Write(host);
        message = snapshot.ToByteArray();
        policy = SnapshotReader.Read(snapshot, PolicyLimits.Unlimited).Policy!;
        compiled = BenchmarkHost.Compile(policy, null);
        otherMember = Changed(new FlowState(snapshot).Member(0));
        otherRule = Changed(new FlowState(snapshot).Rule(0));
        Plan plan = Plan.Between(Ruleset.Empty, compiled.Ruleset);
        operations = [.. plan.Prepare, .. plan.Switch];
        large = compiled.Ruleset.Tables.SelectMany(table => table.Sets).MaxBy(set => set.Elements.Count)!;
        var list = new NlWriter(64 * 1024);
        ElementWriter.Write(
            list, NftMsg.NewSetElem, NlmF.Create, 1, NftFamily.Inet, "t", large, large.Elements);
        dump = list.Written.ToArray();
        oracle = new PolicyOracle(policy, PolicySettings.Default);
        vnic = policy.Vnics.Values.First();
        packet = PacketTuple.Of("198.51.100.7", vnic.Addresses[0].ToString()!, 6, 40_000, 443);
    }

    [Benchmark(Description = "read and validate a snapshot")]
    public object Read() => SnapshotReader.Read(Snapshot.Parser.ParseFrom(message), PolicyLimits.Unlimited);

    [Benchmark(Description = "hash the state")]
    public object Hash() => StateHash.Of(policy);

    [Benchmark(Description = "compile, nothing remembered")]
    public object CompileCold() => BenchmarkHost.Compile(policy, null);

    [Benchmark(Description = "compile another member")]
    public object CompileMember() => BenchmarkHost.Compile(otherMember.Request.Policy, compiled);

    [Benchmark(Description = "compile another rule")]
    public object CompileRule() => BenchmarkHost.Compile(otherRule.Request.Policy, compiled);

    [Benchmark(Description = "plan another member")]
    public object PlanMember() => Plan.Between(compiled.Ruleset, otherMember.Ruleset);

    [Benchmark(Description = "plan another rule")]
    public object PlanRule() => Plan.Between(compiled.Ruleset, otherRule.Ruleset);

    [Benchmark(Description = "write the whole ruleset as netlink")]
    public int Write()
    {
        writer.Clear();
        BatchWriter.Write(writer, operations, 1, 1, 0, dryRun: false);
        return writer.MessageCount;
    }

    [Benchmark(Description = "read the elements of the largest set")]
    public object ReadElements()
    {
        var reader = new ElementReader(large);
        foreach (NlMessage part in new NlMessages(dump))
        {
            reader.Read(part.Attrs(NfMessage.HeaderBytes));
        }

        return reader.Build();
    }

    [Benchmark(Description = "judge a packet by the policy")]
    public PolicyVerdict Judge() => oracle.Judge(vnic, Direction.Ingress, packet);

    private CompiledRuleset Changed(Agent.V1.Delta delta) =>
        BenchmarkHost.Compile(DeltaReader.Apply(policy, delta, PolicyLimits.Unlimited).Policy!, compiled);
}
