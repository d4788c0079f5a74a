using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>What becomes of frames of vNICs that are, or become, ports of a bridge.</summary>
internal sealed class BridgeProofs
{
    /// <summary>What is not proved on a host that judges at bridges. It goes when that is proved too.</summary>
    private const string NotProved =
        "proved for guards, routed packets, and all frames at bridges; not for later fragments that this host sends to "
        + "a port";

    private const string NotProvedOfMany = NotProved
        + ", and for packets that are routed from a vNIC to another one over a bridge, for there are many";

    /// <summary>vNICs of which each pair is looked at.</summary>
    private const int PairedMax = 16;

    private readonly Claims claims;
    private readonly Routes routes;
    private readonly ProofFacts facts;
    private readonly Ruleset ruleset;
    private readonly PolicySnapshot policy;
    private readonly BridgeRoutes bridged;
    private readonly Pairs[] pairs;
    private readonly BridgeFrames notIp;

    public BridgeProofs(Claims claims, Routes routes, PolicySnapshot policy, ProofFacts facts, Ruleset ruleset)
    {
        this.claims = claims;
        this.routes = routes;
        this.policy = policy;
        this.facts = facts;
        this.ruleset = ruleset;
        bridged = new BridgeRoutes(routes, policy, facts);
        notIp = new BridgeFrames(claims, bridged, policy, facts);
        pairs = [.. bridged.Frames.Select(to => new Pairs(claims, routes, policy, to, facts.Closed))];
    }

    /// <returns>Null: as it should be.</returns>
    public VnicProof? Of(Vnic vnic) => facts.Bridge switch
    {
        BridgeClaim.None => null,
        BridgeClaim.Closed => Barred(vnic),
        _ => Claims.Worst<Func<VnicProof?>>(
        [
            () => claims.Zone(vnic.InterfaceName, routes.ZoneOf(vnic), NftFamily.Bridge),
            () => Claims.Worst(bridged.Of(vnic), claims.Check),
            () => Claims.Worst(bridged.FromBridge(vnic), Untracked),
            () => Claims.Worst(pairs, of => of.Of(vnic)),
            () => notIp.Of(vnic),
            () => Claims.Worst(Partners(vnic).SelectMany(other => bridged.Routed(vnic, other)), claims.Check),
            () => new VnicProof.Unknown(policy.Vnics.Count > PairedMax ? NotProvedOfMany : NotProved)
            {
                IsBeyond = true,
            },
        ], part => part()),
    };

    // Of many, some: a fault that all have is found.
    private IEnumerable<Vnic> Partners(Vnic vnic)
    {
        IEnumerable<Vnic> others = policy.Vnics.Values.Where(other => other.Id != vnic.Id);
        return policy.Vnics.Count <= PairedMax ? others
            : others.Where(other => other.VpcId == vnic.VpcId).Take(2)
                .Concat(others.Where(other => other.VpcId != vnic.VpcId).Take(2));
    }

    /// <summary>Traffic of no vNIC.</summary>
    public VnicProof? OfNobody() => facts.Bridge != BridgeClaim.Open ? null
        : Claims.Worst(routes.Zones(), at => claims.Zone(at.Device, at.Zone, NftFamily.Bridge))
            ?? Claims.Worst(bridged.OfNobody(), claims.Check) ?? notIp.OfNobody();

    private VnicProof? Untracked(Route route) => Claims.Worst(
        Situation.All.Where(situation => !situation.HasEntry)
            .SelectMany(_ => Claims.Families, (situation, family) => (situation, family)),
        at => claims.Check(route, at.situation, at.family, claims.Hooks.Whole));

    // A bridge where nothing is judged passes nothing of a vNIC, and nothing to it.
    private VnicProof? Barred(Vnic vnic)
    {
        string name = vnic.InterfaceName;
        Interfaces own = Interfaces.Of(name);
        Interfaces others = Interfaces.OneOf([.. policy.Vnics.Values.Select(one => one.InterfaceName)
            .Where(one => one != name), routes.Unmanaged]);
        Route[] ways =
        [
            new Route($"{name} -> port of a bridge", NftHook.Forward, own, others),
            new Route($"port of a bridge -> {name}", NftHook.Forward, others, own),
            new Route($"{name} -> bridge", NftHook.Input, own, Interfaces.None),
            new Route($"bridge -> {name}", NftHook.Output, Interfaces.None, own),
        ];
        return Claims.Worst(
            ways, way => claims.Check(way with { Table = NftFamily.Bridge, Receiver = vnic, IsBarred = true }))
            ?? FrameReads();
    }

    // Then what holds for IP holds for every frame.
    private VnicProof.Unknown? FrameReads()
    {
        NftExpr? reads = ruleset.Tables.Where(table => table.Family == NftFamily.Bridge)
            .SelectMany(table => table.Chains).SelectMany(chain => Onlooking.Without(chain).Rules)
            .SelectMany(rule => rule.Exprs)
            .FirstOrDefault(expr => expr is not (NftExpr.Meta { Key: NftMetaKey.IifName or NftMetaKey.OifName }
                or NftExpr.Cmp or NftExpr.Lookup or NftExpr.ObjectRef or NftExpr.VerdictIs));
        return reads is null ? null
            : new VnicProof.Unknown($"a bridge that should drop all frames looks into them: {reads}");
    }
}
