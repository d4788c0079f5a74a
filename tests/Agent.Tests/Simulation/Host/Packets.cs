using System.Collections.Immutable;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Tests.Simulation.Host;

/// <summary>Packets between a vNIC of <see cref="SmallStates"/> and the world, and what a ruleset does with them.
/// </summary>
internal static class Packets
{
    /// <summary>The port of the bridge that leads to the world.</summary>
    public const string BridgeUplink = "uplink1";

    private const string Uplink = "uplink0";

    private static readonly UInt128[] World4 = [.. ((string[])
        ["10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.0.1", "192.0.2.1", "192.0.2.200", "8.8.8.8", "172.16.0.5"])
        .Select(text => IpPrefix.Parse(text).Bits)];

    private static readonly UInt128[] World6 = [.. ((string[])
        ["2001:db8:1::7", "2001:db8:1::8", "2001:db8:2::1", "fd00::1", "2a00::1"])
        .Select(text => IpPrefix.Parse(text).Bits)];

    private static readonly ushort[] Ports = [22, 25, 53, 80, 100, 443, 445, 1000, 2001, 65535];

    private static readonly byte[] Protocols = [6, 6, 6, 17, 17, 1, 47];

    /// <summary>Some packet that opens a session.</summary>
    public static SimulatedSession Draw(Random random)
    {
        int number = random.Next(1, SmallStates.MostVnics + 1);
        bool v6 = random.Next(4) == 0;
        UInt128 own = IpPrefix.Parse(v6 ? $"2001:db8::{number}" : $"10.0.0.{number}").Bits;
        UInt128 other = v6 ? World6[random.Next(World6.Length)] : World4[random.Next(World4.Length)];
        Direction direction = random.Next(2) == 0 ? Direction.Ingress : Direction.Egress;
        byte protocol = Protocols[random.Next(Protocols.Length)];
        protocol = v6 && protocol == 1 ? (byte)58 : protocol;
        bool hasPorts = IpProtocol.HasPorts(protocol);
        (UInt128 from, UInt128 to) = direction == Direction.Egress ? (own, other) : (other, own);
        return new SimulatedSession($"tap{number}", direction, new PacketTuple(
            v6 ? IpFamily.V6 : IpFamily.V4, from, to, protocol,
            hasPorts ? (ushort)(random.Next(2) == 0 ? 50 : 40_000) : (ushort)0,
            hasPorts ? Ports[random.Next(Ports.Length)] : (ushort)0), Mark: 0);
    }

    /// <summary>Where packets are forwarded, by the host or its bridge. A reply travels the other way.</summary>
    public static Trace Evaluate(
        Ruleset ruleset, SimulatedSession session, NftFamily family, CtState state, bool isReply)
    {
        bool isOut = session.Direction == Direction.Egress != isReply;
        string world = family == NftFamily.Bridge ? BridgeUplink : Uplink;
        return RulesetEvaluator.Evaluate(ruleset, new HookInput
        {
            Family = family,
            Hook = NftHook.Forward,
            Packet = PacketBytes.Of(isReply ? session.Tuple.Reversed : session.Tuple) with
            {
                Link = family == NftFamily.Bridge ? Ethernet(session, isOut) : [],
            },
            InInterface = isOut ? session.Interface : world,
            OutInterface = isOut ? world : session.Interface,
            InIndex = 3,
            OutIndex = 4,
            Ct = new CtInput(state, isReply, state == CtState.New ? 0 : session.Mark),
        });
    }

    private static ImmutableArray<byte> Ethernet(SimulatedSession session, bool isOut)
    {
        byte[] guest = [2, 0, 0, 0, 0, (byte)(session.Interface[^1] - '0')];
        byte[] router = [0x0e, 0, 0, 0, 0, 1];
        byte[] type = session.Tuple.Family == IpFamily.V4 ? [0x08, 0x00] : [0x86, 0xdd];
        return isOut ? [.. router, .. guest, .. type] : [.. guest, .. router, .. type];
    }
}
