using System.Diagnostics;
using Agent.Compiler;
using Agent.Evaluator;
using Agent.Evaluator.Proof;
using Agent.KernelTests.Faults;
using Agent.Nftables;
using Agent.Policy;
using Agent.TestNet;
using Agent.Tests.Evaluator;
using Agent.Tests.Guards;

namespace Agent.KernelTests.Spoofing;

/// <summary>
/// A guard with a fault stands in the kernel, and the frame that refutes it is sent: the kernel does with it what the
/// counterexample says.
/// </summary>
public sealed class GuardFaultTests : IDisposable
{
    private const string Table = "sg_agent";
    private const string Behind = "behind_the_guard";

    /// <summary>What a device of MTU 1500 can send.</summary>
    private const int FrameMax = 1514;

    private static readonly GuestSpec Spec = new(
        "one", "tap-one", "02:00:00:00:00:01", "10.0.0.8", "10.0.0.9", "2001:db8:1::8", "2001:db8:1::9");

    private readonly TestNetwork network = TestNetwork.Create(
        new TestNetworkOptions { Topology = Topology.Routed }, Spec);

    private readonly NftConnection kernel;
    private readonly HeldTable table;
    private readonly Guest guest;

    public GuardFaultTests()
    {
        guest = network.Guests["one"];
        kernel = network.Host.Run(() => new NftConnection());
        table = new HeldTable(kernel, NftFamily.Netdev, Table);
        guest.Place.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1");
        guest.Place.IpBatch(["addr flush dev eth0"]);
        network.Host.Nft($$"""
            table netdev {{Behind}} {
              counter passed { }
              chain watch {
                type filter hook ingress device "{{Spec.Device}}" priority 0; policy accept;
                counter name "passed"
              }
            }

            """);
    }

    public void Dispose()
    {
        kernel.Dispose();
        network.Dispose();
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public async Task The_frame_that_refutes_a_guard_is_treated_as_the_counterexample_says(int seed, bool check)
    {
        var random = new Random(seed);
        CompileRequest request = Request(check);
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        int sent = 0;
        table.Commit(compiled.Ruleset);
        Assert.Null(Refute(request, compiled)); // what the kernel holds of the genuine one
        for (int i = 0; i < 60; i++)
        {
            (Ruleset faulty, string what) = GuardFaults.Seed(random, compiled.Ruleset);
            if (!table.Commit(faulty) || Refute(request, compiled) is not { } refuted)
            {
                continue; // no kernel takes it, or it makes no difference
            }

            byte[] frame = [.. refuted.Input.Packet.Link, .. refuted.Input.Packet.Network];
            if (frame.Length <= FrameMax)
            {
                string[] expected = Counted(faulty, refuted);
                Assert.True((await SendAsync(frame)).SequenceEqual(expected), $"{what}\n{refuted}");
                sent++;
            }
        }

        Assert.True(sent > 20, $"only {sent} frames");
    }

    private static CompileRequest Request(bool check) => new(
        new PolicyBuilder().Basic("a", Verdict.Accept)
            .Nic("one", string.Join(' ', Spec.Addresses), "a", vnic => vnic with
            {
                InterfaceName = Spec.Device,
                Mac = MacAddress.TryParse(Spec.Mac, out MacAddress mac) ? mac : throw new FormatException(Spec.Mac),
                SourceDestinationCheck = check,
            }).Build(),
        PolicySettings.Default, CompilerSettings.Default,
        HostFacts.Default with { NetdevHooksByName = false, PresentInterfaces = [Spec.Device] }, 0x00010000);

    /// <summary>Proves what the kernel holds.</summary>
    private Counterexample? Refute(CompileRequest request, CompiledRuleset compiled)
    {
        var facts = new ProofFacts { EpochMask = request.Settings.EpochMask, Epoch = request.Epoch };
        ProofReport report = Prover.Prove(
            table.Among(compiled.Ruleset), request.Policy, request.PolicySettings, facts,
            only: new HashSet<string> { "one" });
        return (report.Vnics["one"] as VnicProof.Refuted)?.Example;
    }

    /// <summary>Counters that the counterexample's way leads by.</summary>
    private static string[] Counted(Ruleset ruleset, Counterexample example)
    {
        NftTable table = ruleset.Tables.Single(one => one.Family == NftFamily.Netdev);
        IEnumerable<string> kinds = example.Trace.Steps.SelectMany(step => table.Chains
            .Single(chain => chain.Name == step.Chain).Rules[step.Rule].Exprs.OfType<NftExpr.ObjectRef>())
            .Select(item => item.Name);
        return [.. kinds.Concat(example.Trace.Verdict == HookVerdict.Accept ? ["passed"] : []).Order()];
    }

    private async Task<string[]> SendAsync(byte[] frame)
    {
        Dictionary<string, ulong> before = Counters();
        guest.Wire.Send(frame);
        Stopwatch waited = Stopwatch.StartNew();
        while (true)
        {
            string[] moved = [.. Counters().Where(now => now.Value > before[now.Key]).Select(now => now.Key).Order()];
            if (moved.Length > 0 || waited.Elapsed > TimeSpan.FromMilliseconds(500))
            {
                return moved;
            }

            await Task.Delay(1);
        }
    }

    private Dictionary<string, ulong> Counters() => kernel.ReadCounters(NftFamily.Netdev, Table).Objects
        .Concat(kernel.ReadCounters(NftFamily.Netdev, Behind).Objects)
        .ToDictionary(one => one.Key, one => one.Value.Packets, StringComparer.Ordinal);
}
