using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>Traffic between vNICs of this host, without looking at every pair of them.</summary>
/// <remarks>
/// A sender is run with "some vNIC of the VPC" as the receiver; where the program asks which one, it stops. Every
/// sender of a VPC stops at the same few places, so each receiver is run once from each of them, with "some vNIC of
/// the VPC" as the sender. That is every pair: n + n runs instead of n x n.
/// </remarks>
/// <param name="claims">Compares.</param>
/// <param name="routes">Of the policy.</param>
/// <param name="policy">The vNICs.</param>
/// <param name="frames">They are ports of a bridge, and frames are for these; null: packets are routed.</param>
/// <param name="closed">
/// vNICs (by id) that a sender must not reach at all: at a bridge, what concerns one link is judged by its sender.
/// </param>
/// <param name="known">Where senders of one VPC stop.</param>
internal sealed class Pairs(
    Claims claims, Routes routes, PolicySnapshot policy, FrameDestination? frames = null,
    IReadOnlySet<string>? closed = null,
    (string VpcId, Dictionary<(Situation, IpFamily), HashSet<Stop>> Stops)? known = null)
{
    private readonly Dictionary<string, Dictionary<(Situation, IpFamily), HashSet<Stop>>> stops = known is null
        ? new(StringComparer.Ordinal) : new(StringComparer.Ordinal) { [known.Value.VpcId] = known.Value.Stops };

    private readonly Dictionary<string, VnicProof?> senders = new(StringComparer.Ordinal);
    private readonly Dictionary<(string, string, Situation, IpFamily), bool> separated = [];
    private readonly ILookup<string, Vnic> byVpc =
        policy.Vnics.Values.ToLookup(vnic => vnic.VpcId, StringComparer.Ordinal);

    /// <returns>Null: as it should be, as sender and as receiver.</returns>
    public VnicProof? Of(Vnic vnic)
    {
        string[] names = NamesOf(vnic.VpcId);
        foreach (Vnic other in byVpc[vnic.VpcId])
        {
            Sent(other); // finds where it stops; what is wrong with it is its own
        }

        return Sent(vnic) ?? Received(vnic, names) ?? ToClosed(vnic)
            ?? Claims.Worst(byVpc.Where(vpc => vpc.Key != vnic.VpcId), vpc => ToAnother(vnic, vpc.First()));
    }

    public Claims Claims => claims;

    public IEnumerable<Vnic> SendersIn(string vpcId) => byVpc[vpcId];

    /// <summary>As sender alone.</summary>
    public VnicProof? Sends(Vnic vnic) => Sent(vnic)
        ?? Claims.Worst(byVpc.Where(vpc => vpc.Key != vnic.VpcId), vpc => ToAnother(vnic, vpc.First()));

    /// <summary>Where packets to another vNIC of the VPC wait for the receiver, as far as senders were run.</summary>
    public Dictionary<(Situation, IpFamily), HashSet<Stop>> StopsIn(string vpcId)
    {
        if (!stops.TryGetValue(vpcId, out Dictionary<(Situation, IpFamily), HashSet<Stop>>? places))
        {
            stops.Add(vpcId, places = []);
        }

        return places;
    }

    /// <summary>As receiver alone, of what waits there.</summary>
    public VnicProof? Receives(Vnic vnic) => Received(vnic, NamesOf(vnic.VpcId));

    private string[] NamesOf(string vpcId) => [.. byVpc[vpcId].Select(vnic => vnic.InterfaceName)];

    private Route Pair(Vnic sender, Vnic receiver) => new(
        $"{sender.InterfaceName} -> {receiver.InterfaceName}", NftHook.Forward,
        Interfaces.Of(sender.InterfaceName), Interfaces.Of(receiver.InterfaceName))
    {
        Table = frames is null ? NftFamily.Inet : NftFamily.Bridge,
        FrameTo = frames,
        Sender = sender,
        Receiver = receiver,
        Zone = routes.ZoneOf(sender),
        IsOfAnotherZone = routes.ZoneOf(sender) != routes.ZoneOf(receiver),
    };

    public VnicProof? Sent(Vnic vnic)
    {
        if (!senders.TryGetValue(vnic.Id, out VnicProof? fault))
        {
            Vnic[] others = [.. byVpc[vnic.VpcId].Where(other => closed?.Contains(other.Id) != true)];
            if (others.Length == 0)
            {
                return null;
            }

            Route route = Pair(vnic, vnic) with
            {
                Name = $"{vnic.InterfaceName} -> another vNIC",
                Out = Interfaces.OneOf(others.Select(other => other.InterfaceName)) with { StopsAtGoto = true },
                Receiver = null,
                Beyond = Beyond.Receiver,
                Examples = [.. others.Take(8).Select(other => Pair(vnic, other))],
            };
            Dictionary<(Situation, IpFamily), HashSet<Stop>> places = StopsIn(vnic.VpcId);
            fault = InAll((situation, family) =>
            {
                if (!places.TryGetValue((situation, family), out HashSet<Stop>? here))
                {
                    places.Add((situation, family), here = []);
                }

                return OneByOne(
                    claims.Check(route, situation, family, claims.Hooks.Whole, here), route, others.Length, situation,
                    family);
            });
            senders.Add(vnic.Id, fault);
        }

        return fault;
    }

    private VnicProof? Received(Vnic vnic, string[] names)
    {
        Route route = Pair(vnic, vnic) with
        {
            Name = $"another vNIC -> {vnic.InterfaceName}",
            In = Interfaces.OneOf(names),
            Sender = null,
            IsBehindSender = true,
            Examples = [.. byVpc[vnic.VpcId].Take(8).Select(other => Pair(other, vnic))],
        };
        return InAll((situation, family) => OneByOne(
            Claims.Worst(StopsIn(vnic.VpcId).GetValueOrDefault((situation, family)) ?? [], stop => claims.Check(
                route, situation, family,
                (circumstances, _, mentioned) => claims.Hooks.Rest(circumstances, stop, mentioned))),
            route, names.Length, situation, family));
    }

    // One half differs from what it should be, and no whole packet was found that shows it: then whole pairs are asked.
    private VnicProof? OneByOne(VnicProof? half, Route route, int pairs, Situation situation, IpFamily family)
    {
        if (half is not VnicProof.Unknown)
        {
            return half;
        }

        VnicProof? whole = Claims.Worst(
            route.Examples, pair => claims.Check(pair, situation, family, claims.Hooks.Whole));
        return whole ?? (route.Examples.Length == pairs ? null : half);
    }

    private VnicProof? ToClosed(Vnic vnic) => Claims.Worst(
        byVpc[vnic.VpcId].Where(other => closed?.Contains(other.Id) == true && other != vnic),
        other => InAll((situation, family) => situation.HasEntry ? null
            : claims.Check(Pair(vnic, other), situation, family, claims.Hooks.Whole)));

    // All receivers of another VPC at once; and all senders at once, where the answer does not depend on them.
    private VnicProof? ToAnother(Vnic vnic, Vnic receiver)
    {
        Route route = Pair(vnic, receiver) with
        {
            Name = $"{vnic.InterfaceName} -> VPC {receiver.VpcId}",
            Out = Interfaces.OneOf(NamesOf(receiver.VpcId)),
            Examples = [.. byVpc[receiver.VpcId].Take(8).Select(other => Pair(vnic, other))],
        };
        return InAll((situation, family) =>
        {
            var key = (vnic.VpcId, receiver.VpcId, situation, family);
            if (!separated.TryGetValue(key, out bool apart))
            {
                apart = claims.Check(
                    route with { In = Interfaces.OneOf(NamesOf(vnic.VpcId)), Examples = [] }, situation, family,
                    claims.Hooks.Whole) is null;
                separated.Add(key, apart);
            }

            return apart ? null : claims.Check(route, situation, family, claims.Hooks.Whole);
        });
    }

    private static VnicProof? InAll(Func<Situation, IpFamily, VnicProof?> check) => Claims.Worst(
        Situation.All.SelectMany(_ => Claims.Families, (situation, family) => (situation, family)),
        at => check(at.situation, at.family));
}
