using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// What bridge ports need beyond the chains that routed vNICs have too: on a segment, frames reach a port that are not
/// for it.
/// </summary>
/// <remarks>
/// <code>
/// forward, output: oifname vmap @port_gate -> port_X: for another MAC address -> counted, final
///                                                     tracked in another zone -> counted, final
/// vnic_X_out, vnic_X_in: untracked -> link_from_VPC, link_to_VPC: other end of another VPC, or closed
///                                                                                        -> counted, final
/// </code>
/// A bridge floods frames whose receiver it does not know. Those of live sessions would pass by the fast path, so the
/// gate stands before it. ARP and neighbour discovery are nobody's session and no rule's business; between VPCs, whose
/// addresses may be the same, they must not pass either.
/// </remarks>
/// <param name="policy">The desired state.</param>
/// <param name="zones">Conntrack zones of the listed VPCs.</param>
/// <param name="open">vNICs (by id) that are not closed.</param>
/// <param name="settings">Which interfaces are closed unless the policy names them.</param>
internal sealed class BridgePorts(
    PolicySnapshot policy, ImmutableSortedDictionary<string, ushort> zones, IReadOnlySet<string> open,
    CompilerSettings settings)
{
    public const string GateMap = "port_gate";

    /// <summary>All vNICs, and the uplinks of all listed VPCs.</summary>
    private const string EndSet = "link_ends";

    public static string Gate(string name) => $"port_{name}";

    /// <param name="vpc">The VPC's part of names.</param>
    public static string LinkFrom(string vpc) => $"link_from_{vpc}";

    public static string LinkTo(string vpc) => $"link_to_{vpc}";

    private static string OwnSet(string vpc) => $"link_ends_{vpc}";

    public IEnumerable<NftChain> Chains()
    {
        foreach (Vnic vnic in policy.Vnics.Values)
        {
            yield return Datapath.Regular(Gate(Names.OfInterface(vnic.InterfaceName)),
            [
                Exprs.CommentedRule("flooded", Exprs.UnicastFrame(),
                    Exprs.Bytes(NftPayloadBase.LinkLayer, 0, vnic.Mac.ToBytes().ToValueArray(), NftCmpOp.Neq),
                    Exprs.Goto(Datapath.DropTo(DropReason.Address))),
                .. policy.Vpcs.IsEmpty
                    ? Array.Empty<NftRule>() : [Exprs.Rule(Exprs.Goto(Datapath.Gate(ZoneOf(vnic, zones))))],
            ]);
        }

        foreach (string vpc in Vpcs().Select(AddressClasses.NameOf))
        {
            NftRule[] Between(bool incoming) =>
            [
                Exprs.Rule(Exprs.InterfaceIn(incoming, OwnSet(vpc)), Exprs.Return()),
                Exprs.CommentedRule("of another VPC, or closed",
                    Exprs.InterfaceIn(incoming, EndSet), Exprs.Goto(Datapath.DropTo(DropReason.Zone))),
                .. incoming ? [] : settings.ManagedInterfaces.Select(pattern => Exprs.Rule(
                    Exprs.InterfaceIs(incoming, pattern), Exprs.Goto(Datapath.DropTo(DropReason.Closed)))),
            ];
            yield return Datapath.Regular(LinkFrom(vpc), Between(incoming: false));
            yield return Datapath.Regular(LinkTo(vpc), Between(incoming: true));
        }
    }

    public IEnumerable<NftSet> Sets()
    {
        var gate = new DispatchRows();
        foreach (Vnic vnic in policy.Vnics.Values)
        {
            gate.Add(vnic.InterfaceName, NftVerdict.Jump(Gate(Names.OfInterface(vnic.InterfaceName))));
        }

        yield return gate.Map(GateMap);
        yield return Datapath.InterfaceSet(EndSet, policy.Vnics.Values.Select(vnic => vnic.InterfaceName)
            .Concat(policy.Vpcs.Values.SelectMany(vpc => vpc.UplinkInterfaces)));
        foreach (string vpc in Vpcs())
        {
            yield return Datapath.InterfaceSet(OwnSet(AddressClasses.NameOf(vpc)), EndsOf(vpc));
        }
    }

    private IEnumerable<string> Vpcs() =>
        policy.Vnics.Values.Select(vnic => vnic.VpcId).Distinct(StringComparer.Ordinal);

    private IEnumerable<string> EndsOf(string vpc) => policy.Vnics.Values
        .Where(vnic => vnic.VpcId == vpc && open.Contains(vnic.Id)).Select(vnic => vnic.InterfaceName)
        .Concat(policy.Vpcs.GetValueOrDefault(vpc)?.UplinkInterfaces ?? []);

    /// <summary>The part of names of the zone in which a vNIC's packets are tracked.</summary>
    public static string ZoneOf(Vnic vnic, ImmutableSortedDictionary<string, ushort> zones) =>
        zones.ContainsKey(vnic.VpcId) ? AddressClasses.NameOf(vnic.VpcId) : Datapath.Unlisted;
}
