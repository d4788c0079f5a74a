using System.Net;
using Agent.Compiler;
using Agent.Evaluator;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.TestNet;
using Agent.Tests.Evaluator;
using Agent.Tests.Proof;
using TcpFlags = Agent.TestNet.TcpFlags;

namespace Agent.KernelTests.Faults;

/// <summary>
/// A ruleset with a fault stands in the kernel, and a packet like the one that refutes it is sent: the kernel does with
/// it what the counterexample says.
/// </summary>
public sealed class RulesetFaultTests : IDisposable
{
    private const string Table = "sg_agent";

    private static readonly GuestSpec Spec = new(
        "one", "tap-one", "02:00:00:00:00:01", "10.0.0.8", "10.0.0.9", "2001:db8:1::8", "2001:db8:1::9");

    private static readonly CompileRequest Request = new(
        new PolicyBuilder()
            .Group("peers", GroupType.Basic, Verdict.Drop, ["10.1.2.3", "10.9.0.0/28", "2001:db8:5::/52"])
            .Basic("web", Verdict.Drop,
                "in 1 accept tcp 80/80 0.0.0.0/0",
                "in 1 accept tcp 443/443 ::/0",
                "in 2 drop udp 53/53 10.0.0.0/8 own=10.0.0.8",
                "in 3 accept udp 50/60 10.0.0.0/8",
                "in 4 accept udp 4000/5000 group:peers",
                "in 5 accept icmp -1/-1 10.0.0.0/8",
                "in 6 accept gre -1/-1 10.2.0.0/16",
                "out 1 drop udp 4000/5000 10.3.0.0/16",
                "out 2 drop tcp 25/26 ::/0",
                "out 3 drop all -1/-1 10.4.0.0/15")
            .Nic("one", string.Join(' ', Spec.Addresses), "web").Build(),
        PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, 0x00010000);

    private readonly TestNetwork network = TestNetwork.Create(
        new TestNetworkOptions { Topology = Topology.Routed }, Spec);

    private readonly NftConnection kernel;
    private readonly HeldTable table;
    private readonly Probe probe;
    private readonly CompiledRuleset compiled = RulesetCompiler.Compile(Request);

    public RulesetFaultTests()
    {
        kernel = network.Host.Run(() => new NftConnection());
        table = new HeldTable(kernel, NftFamily.Inet, Table);
        probe = new Probe(network);
    }

    public void Dispose()
    {
        kernel.Dispose();
        network.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_packet_like_the_one_that_refutes_a_ruleset_is_treated_as_the_counterexample_says(int seed)
    {
        var random = new Random(seed);
        var cache = new ProofCache();
        int sent = 0;
        table.Commit(compiled.Ruleset);
        Assert.True(Prove(cache).IsProved); // what the kernel holds of the genuine one
        for (int i = 0; i < 150; i++)
        {
            (Ruleset faulty, string what) = RulesetFaults.Seed(random, compiled.Ruleset);
            if (!table.Commit(faulty))
            {
                continue; // no kernel takes it
            }

            VnicProof proof = Prove(cache).Vnics["one"];
            if (proof is VnicProof.Refuted { Example: { Situation: "opens a session" } example }
                && Like(example, faulty, random) is { } packet)
            {
                bool into = example.Input.OutInterface == Spec.Device;
                bool arrived = await probe.PacketArrivesAsync(
                    into ? network.Outsider : network.Guests["one"], Packet(packet, example),
                    into ? network.Guests["one"] : network.Outsider,
                    Passes(example.Observed) ? Probe.PassWait : Probe.DropWait);
                Assert.True(arrived == Passes(example.Observed), $"{what}\n{packet}, like\n{example}");
                sent++;
            }
        }

        Assert.True(sent > 15, $"only {sent} packets");
    }

    private ProofReport Prove(ProofCache cache)
    {
        var facts = new ProofFacts
        {
            EpochMask = Request.Settings.EpochMask,
            Epoch = Request.Epoch,
            ManagedInterfaces = Request.Settings.ManagedInterfaces,
        };
        return Prover.Prove(
            table.Among(compiled.Ruleset), Request.Policy, Request.PolicySettings, facts, cache);
    }

    /// <summary>
    /// The same packet, with a remote address that exists and a port that no earlier session has: where both rulesets
    /// treat it as they treat the counterexample.
    /// </summary>
    private PacketTuple? Like(Counterexample example, Ruleset faulty, Random random)
    {
        (string from, string to) = (example.Input.InInterface, example.Input.OutInterface);
        if (from.Length == 0 || to.Length == 0 || Passes(example.Expected) == Passes(example.Observed))
        {
            return null; // to or from the host; or only a mark is wrong
        }

        foreach ((UInt128 remote, UInt128 own) in Addresses(example, to == Spec.Device, random))
        {
            foreach (ushort port in (ushort[])[example.Packet.SourcePort, (ushort)random.Next(1024, 60000)])
            {
                PacketTuple like = to == Spec.Device ? example.Packet with { Source = remote, Destination = own }
                    : example.Packet with { Source = own, Destination = remote };
                like = IpProtocol.HasPorts(like.Protocol) ? like with { SourcePort = port } : like;
                if (Shape(like, example) is not null && Accepts(faulty, like, example) == Passes(example.Observed)
                    && Accepts(compiled.Ruleset, like, example) == Passes(example.Expected) && used.Add(like))
                {
                    return like;
                }
            }
        }

        return null;
    }

    private readonly HashSet<PacketTuple> used = [];

    private static IEnumerable<(UInt128 Remote, UInt128 Own)> Addresses(
        Counterexample example, bool into, Random random)
    {
        PacketTuple tuple = example.Packet;
        string[] prefixes = tuple.Family == IpFamily.V4
            ? ["10.1.2.3/32", "10.9.0.0/28", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/15", "10.128.0.0/9",
                "198.51.0.0/16"]
            : ["2001:db8:5::/52", "2001:db8:ffff::/64"];
        UInt128[] remotes =
        [
            into ? tuple.Source : tuple.Destination,
            .. prefixes.Select(text => IpPrefix.Parse(text))
                .Select(prefix => prefix.First + (UInt128)random.Next() % (prefix.Last - prefix.First + 1)),
        ];
        IpPrefix[] owns = [.. Spec.Addresses.Select(text => IpPrefix.Parse(text))];
        return remotes.Where(remote => IsUnicast(tuple.Family, remote)).SelectMany(
            _ => owns.Where(own => own.Family == tuple.Family), (remote, own) => (remote, own.First));
    }

    private static bool IsUnicast(IpFamily family, UInt128 address) => family == IpFamily.V4
        ? (uint)(address >> 24) is > 0 and < 224 and not 127
        : (uint)(address >> 112) is >= 0x2000 and < 0x4000;

    private static bool Accepts(Ruleset ruleset, PacketTuple tuple, Counterexample example) =>
        RulesetEvaluator.Evaluate(ruleset, example.Input with { Packet = Shape(tuple, example)! }).Verdict
            == HookVerdict.Accept;

    private static bool Passes(PacketFate fate) => fate is not (PacketFate.Dropped or PacketFate.DroppedButMarked);

    /// <summary>Only what opens a session in the kernel's eyes too.</summary>
    private static PacketBytes? Shape(PacketTuple tuple, Counterexample example) => tuple.Protocol switch
    {
        IpProtocol.Tcp or IpProtocol.Udp => PacketBytes.Of(tuple),
        IpProtocol.Icmp or IpProtocol.Icmpv6 => null,
        _ when example.Input.Packet.TransportOffset >= 0 => PacketBytes.Of(tuple),
        _ => null,
    };

    private static byte[] Packet(PacketTuple tuple, Counterexample example)
    {
        IPAddress source = Address(tuple.Family, tuple.Source);
        IPAddress destination = Address(tuple.Family, tuple.Destination);
        Assert.NotNull(Shape(tuple, example));
        return tuple.Protocol switch
        {
            IpProtocol.Udp => Packets.Udp(
                source, destination, tuple.SourcePort, tuple.DestinationPort, Probe.Payload()),
            IpProtocol.Tcp => Packets.Tcp(
                new IPEndPoint(source, tuple.SourcePort), new IPEndPoint(destination, tuple.DestinationPort),
                TcpFlags.Syn, 1, 0, []),
            _ => Packets.Ip(source, destination, tuple.Protocol, Probe.Payload()),
        };
    }

    private static IPAddress Address(IpFamily family, UInt128 address)
    {
        Span<byte> bytes = stackalloc byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(bytes, address);
        return new IPAddress(family == IpFamily.V4 ? bytes[12..] : bytes);
    }
}
