using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Proof;
using Agent.Policy;
using Agent.Tests.Compiler;

namespace Agent.Tests.Proof;

/// <summary>What the prover expects of all packets is what the oracle expects of one.</summary>
public sealed class ExpectationTests
{
    [Theory]
    [InlineData(1, 12)]
    public void Expectations_of_sets_are_those_of_their_packets(int seed, int policies)
    {
        var random = new Random(seed);
        int packets = Check(RichPolicy.Request(), random) + Check(Hosts(), random);
        for (int i = 0; i < policies; i++)
        {
            packets += Check(CompilerAgainstOracleTests.Request(
                CompilerAgainstOracleTests.Snapshot(random, CompilerAgainstOracleTests.Rules(random))), random);
        }

        Assert.True(packets > 20_000, $"only {packets} packets");
    }

    private static CompileRequest Hosts() => RichPolicy.Request() with
    {
        ClosedVnics = RichPolicy.Request().ClosedVnics.Add("two", "a test"),
        PolicySettings = RichPolicy.Settings with
        {
            DhcpServers = [IpPrefix.Parse("10.0.0.2"), IpPrefix.Parse("fd00::/64")],
            HostServices = [HostService.Parse("udp/53")!.Value, HostService.Parse("tcp/80@10.0.0.8")!.Value],
        },
    };

    private static int Check(CompileRequest request, Random random)
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        ProofFacts facts = Verifier.FactsOf(compiled);
        var cache = new ProofCache();
        PolicyOracle oracle = cache.Begin(request.Policy, request.PolicySettings);
        var expectation = new Expectation(oracle, facts, cache.Functions, cache.FormOf);
        var routes = new Routes(request.Policy, request.PolicySettings, facts, compiled.Ruleset);
        int packets = 0;
        foreach (Route route in request.Policy.Vnics.Values.SelectMany(routes.Of).Concat(routes.OfNobody()))
        {
            foreach (Situation situation in Situation.All)
            {
                foreach (IpFamily family in Claims.Families)
                {
                    PacketFunction fates = expectation.Of(route, situation, family);
                    for (int i = 0; i < 12; i++)
                    {
                        packets += Check(oracle, facts, route, situation, family, fates, cache, random);
                    }
                }
            }
        }

        return packets;
    }

    private static int Check(
        PolicyOracle oracle, ProofFacts facts, Route route, Situation situation, IpFamily family,
        PacketFunction fates, ProofCache cache, Random random)
    {
        int source = random.Next(fates.Sources.Count);
        int destination = random.Next(fates.Destinations.Count);
        PacketBox[] boxes = [.. cache.Functions.Diagrams.Boxes(fates.At(source, destination)).Take(200)];
        PacketBox box = boxes[random.Next(boxes.Length)];
        PacketPoint point = box.Sample with
        {
            Protocol = (byte)random.Next(box.Protocol.First, box.Protocol.Last + 1),
            Source = (ushort)random.Next(box.Source.First, box.Source.Last + 1),
            Flags = (byte)random.Next(box.Flags.First, box.Flags.Last + 1),
        };
        if (!SituationPackets.Exists(situation, family, point))
        {
            return 0;
        }

        var difference = new Difference(
            fates.Sources.Samples[source], fates.Destinations.Samples[destination], box, 0, 0);
        PacketTuple tuple = difference.TupleOf(family, point);
        (PacketFate fate, string why) = PacketExpectation.Of(oracle, facts, route, situation, tuple, point);
        Assert.True(fate == (PacketFate)box.Value, $"{route.Name}, {situation}: {tuple}: {fate} ({why}), not {box}");
        return 1;
    }
}
