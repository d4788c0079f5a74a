using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Explaining;

/// <summary>The program that a kernel runs, or would run, for a policy.</summary>
/// <param name="Ruleset">The tables.</param>
/// <param name="Zones">Conntrack zones of the listed VPCs.</param>
/// <param name="BridgePorts">vNICs' devices that are ports of a bridge.</param>
public sealed record KernelView(
    Ruleset Ruleset, ImmutableSortedDictionary<string, ushort> Zones, ImmutableSortedSet<string> BridgePorts);

/// <summary>Follows one packet of one vNIC through the program; the other end is no vNIC of this host.</summary>
internal static class KernelRun
{
    /// <summary>Of no vNIC and no uplink of a listed VPC.</summary>
    private const string Elsewhere = "elsewhere";

    private static readonly MacAddress SomeMac = new(0x02_00_00_00_00_fe);

    /// <param name="view">The program.</param>
    /// <param name="policy">Where the vNIC is.</param>
    /// <param name="vnic">Where the packet is judged.</param>
    /// <param name="direction">How it travels.</param>
    /// <param name="packet">As it travels.</param>
    /// <param name="ct">Its session, without the zone.</param>
    public static V1.KernelTrace Follow(
        KernelView view, PolicySnapshot policy, Vnic vnic, Direction direction, PacketTuple packet, CtInput ct)
    {
        bool leaves = direction == Direction.Egress;
        string other = policy.Vpcs.TryGetValue(vnic.VpcId, out Vpc? vpc)
            ? vpc.UplinkInterfaces.FirstOrDefault(Elsewhere) : Elsewhere;
        var bytes = PacketBytes.Of(packet, ShapeOf(vnic, leaves, packet, ct));
        var main = new HookInput
        {
            Family = view.BridgePorts.Contains(vnic.InterfaceName) ? NftFamily.Bridge : NftFamily.Inet,
            Hook = NftHook.Forward,
            Packet = bytes,
            InInterface = leaves ? vnic.InterfaceName : other,
            OutInterface = leaves ? other : vnic.InterfaceName,
            InIndex = 1,
            OutIndex = 2,
            Ct = ct with { Zone = view.Zones.GetValueOrDefault(vnic.VpcId) },
        };
        var guard = main with { Family = NftFamily.Netdev, Hook = NftHook.Ingress, OutInterface = "", OutIndex = 0 };
        var trace = new V1.KernelTrace();
        foreach (HookInput input in leaves ? (HookInput[])[guard, main] : [main])
        {
            Trace one = RulesetEvaluator.Evaluate(view.Ruleset, input);
            trace.Steps.AddRange(one.Steps.Select(step => Message(input.Family, step)));
            trace.Unknown = one.UnknownReason ?? "";
            trace.Verdict = one.Verdict switch
            {
                HookVerdict.Accept => V1.Policy.Accept,
                HookVerdict.Drop => V1.Policy.Drop,
                _ => V1.Policy.Unspecified,
            };
            if (one.Verdict != HookVerdict.Accept)
            {
                break;
            }
        }

        return trace;
    }

    private static PacketShape ShapeOf(Vnic vnic, bool leaves, PacketTuple packet, CtInput ct) => new()
    {
        Tcp = ct.State == CtState.New ? TcpFlags.Syn : TcpFlags.Ack,
        IcmpType = !ct.Reply ? null : packet.Family == IpFamily.V4 ? (byte)0 : (byte)129, // echo reply
        SourceMac = leaves ? vnic.Mac : SomeMac,
        DestinationMac = leaves ? SomeMac : vnic.Mac,
    };

    private static V1.KernelStep Message(NftFamily family, TraceStep step) => new()
    {
        Family = family.ToString().ToLowerInvariant(),
        Table = step.Table,
        Chain = step.Chain,
        RuleIndex = (uint)step.Rule,
        Comment = step.Comment ?? "",
        What = step.What,
    };
}
