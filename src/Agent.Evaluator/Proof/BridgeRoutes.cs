using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>The ways of packets of a vNIC that is a port of a bridge.</summary>
/// <remarks>
/// <code>
/// vNIC -> port              bridge forward
/// vNIC -> host              bridge input, inet input
/// vNIC -> routed            bridge input, inet forward
/// host -> vNIC              inet output, bridge output
/// routed -> vNIC            inet forward, bridge output
/// the bridge itself -> vNIC bridge output: never tracked
/// </code>
/// Each is one function, whatever marks the hooks leave each other on the way, and it must be the one that the policy
/// asks for, as if the vNIC were routed. Behind inet's postrouting the session is in conntrack's table.
/// </remarks>
internal sealed class BridgeRoutes
{
    private readonly Routes routes;
    private readonly PolicySnapshot policy;
    private readonly Interfaces bridges;
    private readonly ImmutableArray<FrameDestination> frames;

    public BridgeRoutes(Routes routes, PolicySnapshot policy, ProofFacts facts)
    {
        this.routes = routes;
        this.policy = policy;
        bridges = Interfaces.OneOf(facts.Bridges);
        ImmutableDictionary<string, MacAddress> macs = policy.Vnics.Values.ToImmutableDictionary(
            vnic => vnic.InterfaceName, vnic => vnic.Mac, StringComparer.Ordinal);
        frames = [.. Enum.GetValues<FrameReceiver>().Select(kind => new FrameDestination(kind, macs))];
    }

    /// <summary>Frames for their receiver, for another MAC address, and for a group.</summary>
    public ImmutableArray<FrameDestination> Frames => frames;

    /// <summary>Everything but traffic with other vNICs of this host.</summary>
    public IEnumerable<Route> Of(Vnic vnic) => routes.Of(vnic).SelectMany(Ways);

    /// <summary>What the bridge itself says to the vNIC, and frames of no session.</summary>
    public IEnumerable<Route> FromBridge(Vnic vnic) => frames.Select(to => new Route(
        $"bridge -> {vnic.InterfaceName}{Text(to)}", NftHook.Output, Interfaces.None,
        Interfaces.Of(vnic.InterfaceName))
    {
        Table = NftFamily.Bridge,
        FrameTo = to,
        Receiver = vnic,
        Zone = routes.ZoneOf(vnic),
    });

    /// <summary>What the bridge itself, or the host, hears from the vNIC.</summary>
    public IEnumerable<Route> ToBridge(Vnic vnic) => frames.Select(to => new Route(
        $"{vnic.InterfaceName} -> bridge{Text(to)}", NftHook.Input, Interfaces.Of(vnic.InterfaceName), Interfaces.None)
    {
        Table = NftFamily.Bridge,
        FrameTo = to,
        Sender = vnic,
        Beyond = Beyond.Host,
        Zone = routes.ZoneOf(vnic),
    });

    /// <summary>Frames to vNICs that are of one VPC as the sender or all of others, and closed or all open.</summary>
    public IEnumerable<Route> Pairs(Vnic sender, IReadOnlyList<Vnic> receivers) => frames.Select(to => new Route(
        $"{sender.InterfaceName} -> vNICs at a bridge{Text(to)}", NftHook.Forward,
        Interfaces.Of(sender.InterfaceName), Interfaces.OneOf(receivers.Select(vnic => vnic.InterfaceName)))
    {
        Table = NftFamily.Bridge,
        FrameTo = to,
        Sender = sender,
        Receiver = receivers[0],
        Zone = routes.ZoneOf(sender),
    });

    /// <summary>Traffic between ports that are no vNICs.</summary>
    public IEnumerable<Route> OfNobody() => routes.OfNobody().SelectMany(
        route => route.Hook == NftHook.Forward ? AtBridge(route) : []);

    /// <summary>From one vNIC to another one, routed: at least one of them is a port of a bridge.</summary>
    public IEnumerable<Route> Routed(Vnic sender, Vnic receiver)
    {
        Route pair = new($"{sender.InterfaceName} -> {receiver.InterfaceName}", NftHook.Forward,
            Interfaces.Of(sender.InterfaceName), Interfaces.Of(receiver.InterfaceName))
        {
            Sender = sender,
            Receiver = receiver,
            Zone = routes.ZoneOf(sender),
            IsOfAnotherZone = routes.ZoneOf(sender) != routes.ZoneOf(receiver),
        };
        Leg across = new(NftFamily.Inet, NftHook.Forward, bridges, bridges);
        return Along(pair, "routed between bridges", Input(pair), across, Output(pair))
            .Concat(Along(pair, "routed from a bridge", Input(pair), across with { Out = pair.Out })
                .Take(1).Select(way => way with { FrameTo = frames[0] }))
            .Concat(Along(pair, "routed to a bridge", across with { In = pair.In }, Output(pair)));
    }

    private IEnumerable<Route> Ways(Route route) => route.Hook switch
    {
        NftHook.Forward when route.Receiver is not null => AtBridge(route).Concat(
            Along(route, "routed", new Leg(NftFamily.Inet, NftHook.Forward, route.In, bridges), Output(route))),
        NftHook.Forward => AtBridge(route).Concat(
            Along(route, "routed", Input(route), new Leg(NftFamily.Inet, NftHook.Forward, bridges, route.Out))),
        NftHook.Input => Along(
            route, "at a bridge", Input(route), new Leg(NftFamily.Inet, NftHook.Input, bridges, Interfaces.None)),
        _ => Along(
            route, "at a bridge", new Leg(NftFamily.Inet, NftHook.Output, Interfaces.None, bridges), Output(route)),
    };

    private IEnumerable<Route> AtBridge(Route route) => Arriving(route).SelectMany(_ => frames, (way, to) => way with
    {
        Name = $"{way.Name} at a bridge{Text(to)}",
        Table = NftFamily.Bridge,
        FrameTo = to,
    });

    // Where no session tells VPCs apart, the devices do.
    private IEnumerable<Route> Arriving(Route route)
    {
        if (route.Receiver is not Vnic receiver || route.FromClosed)
        {
            return [route];
        }

        ILookup<bool, string> uplinks = policy.Vpcs.Values
            .SelectMany(vpc => vpc.UplinkInterfaces, (vpc, device) => (Own: vpc.Id == receiver.VpcId, Device: device))
            .ToLookup(at => at.Own, at => at.Device);
        return
        [
            route with { In = Interfaces.Of(routes.Unmanaged) },
            .. uplinks[true].Any() ? [route with { In = Interfaces.OneOf(uplinks[true]) }] : Array.Empty<Route>(),
            .. uplinks[false].Any()
                ? [route with { In = Interfaces.OneOf(uplinks[false]), IsFromAnotherVpc = true }]
                : Array.Empty<Route>(),
        ];
    }

    private IEnumerable<Route> Along(Route route, string how, params Leg[] legs) => frames.Select(to => route with
    {
        Name = $"{route.Name}, {how}{Text(to)}",
        FrameTo = to,
        Legs = [.. legs],
    });

    private static Leg Input(Route route) => new(NftFamily.Bridge, NftHook.Input, route.In, Interfaces.None);

    private static Leg Output(Route route) => new(NftFamily.Bridge, NftHook.Output, Interfaces.None, route.Out)
    {
        IsConfirmed = true,
    };

    private static string Text(FrameDestination to) => to.Kind switch
    {
        FrameReceiver.Receiver => "",
        FrameReceiver.Another => ", for another MAC address",
        _ => ", for a group",
    };
}
