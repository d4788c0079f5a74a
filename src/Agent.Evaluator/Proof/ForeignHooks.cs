using System.Collections.Immutable;
using System.Globalization;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>What a base chain of somebody else does to packets that the policy admits.</summary>
public enum ForeignEffect
{
    /// <summary>It drops some.</summary>
    Drops,

    /// <summary>It changes the bits of the session's mark that carry the policy epoch.</summary>
    ChangesEpoch,

    /// <summary>It gives packets a mark that exempts them from the rules.</summary>
    Exempts,

    /// <summary>Nobody knows.</summary>
    Unknown,
}

/// <summary>A base chain that is not ours, where packets of vNICs pass.</summary>
/// <param name="Family">Its table's family.</param>
/// <param name="Table">Its table.</param>
/// <param name="Chain">Its name.</param>
/// <param name="Hook">Where it stands.</param>
/// <param name="Effect">What it does.</param>
/// <param name="VnicId">A vNIC whose packets it concerns; empty: any, perhaps.</param>
/// <param name="Detail">A packet that it concerns, or why nothing is known.</param>
public sealed record ForeignHook(
    NftFamily Family, string Table, string Chain, BaseHook Hook, ForeignEffect Effect, string VnicId, string Detail);

/// <summary>
/// Finds what base chains of others do to packets that the policy admits. A drop anywhere is final, before our chains
/// or behind them; so the packets are what counts, not the order.
/// </summary>
/// <remarks>
/// <para>
/// Each chain is run as <see cref="Prover"/> runs ours, with every packet of a vNIC that the policy admits: as one that
/// opens a session, and in a live session in both directions; between the vNIC and the devices that are named, and the
/// host. What passes between two vNICs is covered as far as one of the two devices decides.
/// </para>
/// <para>
/// Packets carry no mark, or one that the chain does not name; what it does to those that somebody else marked for it
/// is not told.
/// </para>
/// <para>
/// What others do beside the ip families (netdev, bridge, arp), by nat, and with the legacy iptables interface, is not
/// looked into, and said to be unknown.
/// </para>
/// </remarks>
public sealed class ForeignHooks
{
    /// <summary>Findings for one chain: what concerns a hundred vNICs is told for some.</summary>
    private const int NamedMax = 8;

    private const int Untouched = 0;

    private static readonly ImmutableArray<(Situation Judged, Situation Seen)> Situations =
    [
        (Situation.All[0], Situation.All[0]),
        (Situation.All[2], Situation.All[4]),
        (Situation.All[3], Situation.All[5]),
    ];

    private readonly PolicySnapshot policy;
    private readonly PolicySettings settings;
    private readonly ProofFacts facts;
    private readonly ImmutableArray<string> devices;
    private readonly ProofCache cache = new();
    private readonly Expectation expectation;
    private readonly Differences differences;

    /// <param name="policy">The policy in force.</param>
    /// <param name="settings">Switches of the semantics.</param>
    /// <param name="facts">How the host was set up.</param>
    /// <param name="devices">Names of the host's devices.</param>
    public ForeignHooks(
        PolicySnapshot policy, PolicySettings settings, ProofFacts facts, IEnumerable<string> devices)
    {
        ArgumentNullException.ThrowIfNull(policy);
        (this.policy, this.settings, this.facts) = (policy, settings, facts);
        HashSet<string> ours = [.. policy.Vnics.Values.Select(vnic => vnic.InterfaceName)];
        this.devices = [.. devices.Where(name => !ours.Contains(name)).Order(StringComparer.Ordinal)];
        expectation = new Expectation(cache.Begin(policy, settings), facts, cache.Functions, cache.FormOf);
        differences = new Differences(cache.Functions);
    }

    /// <summary>What was found; nothing, if no packet that the policy admits is treated otherwise.</summary>
    /// <param name="foreign">Tables that are not ours.</param>
    /// <param name="cancel">Gives up.</param>
    public ImmutableArray<ForeignHook> In(IEnumerable<NftTable> foreign, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(foreign);
        ImmutableArray<ForeignHook>.Builder found = ImmutableArray.CreateBuilder<ForeignHook>();
        foreach (NftTable table in foreign.Where(table => !table.Dormant))
        {
            ProgramNodes.Table nodes = cache.Nodes.Of(table, cache.Functions);
            foreach (NftChain chain in table.Chains.Where(chain => chain.Hook is not null))
            {
                found.AddRange(Of(table, nodes, chain, cancel).Take(NamedMax));
            }
        }

        return found.ToImmutable();
    }

    private IEnumerable<ForeignHook> Of(
        NftTable table, ProgramNodes.Table nodes, NftChain chain, CancellationToken cancel)
    {
        BaseHook hook = chain.Hook!;
        if (hook is { PolicyDrop: false, Unexpected: null } && chain.Rules.Count == 0)
        {
            yield break;
        }

        if (table.Family is not (NftFamily.Inet or NftFamily.Ipv4 or NftFamily.Ipv6) || hook.Hook > NftHook.Postrouting)
        {
            yield return new ForeignHook(table.Family, table.Name, chain.Name, hook, ForeignEffect.Unknown, "",
                $"chains of the {NftText.FamilyName(table.Family)} family are not looked into");
            yield break;
        }

        if (nodes.ChainOf(chain.Name) is not ChainNode node)
        {
            yield return new ForeignHook(
                table.Family, table.Name, chain.Name, hook, ForeignEffect.Unknown, "", "it leads back to itself");
            yield break;
        }

        var routes = new Routes(policy, settings, facts, new Ruleset([table]));
        foreach (Vnic vnic in policy.Vnics.Values)
        {
            cancel.ThrowIfCancellationRequested();
            IEnumerable<(bool Sent, ForeignEffect Effect, string Detail)> its = routes.Of(vnic).Where(IsOrdinary)
                .SelectMany(Named).SelectMany(
                    route => On(nodes, node, table.Family, hook, route),
                    (route, one) => (route.Sender is not null, one.Effect, one.Detail));
            foreach ((_, ForeignEffect effect, string detail) in its.DistinctBy(one => (one.Sent, one.Effect)))
            {
                yield return new ForeignHook(table.Family, table.Name, chain.Name, hook, effect, vnic.Id, detail);
            }
        }
    }

    private static bool IsOrdinary(Route route) => route is
    { TrustedMark: null, IsOfAnotherZone: false, FromClosed: false, Beyond: not Beyond.Closed };

    // One route for each device at the other end.
    private IEnumerable<Route> Named(Route route)
    {
        foreach (string from in Names(route.In, route.Sender))
        {
            foreach (string to in Names(route.Out, route.Receiver))
            {
                yield return route with
                {
                    Name = $"{(from.Length > 0 ? from : "host")} -> {(to.Length > 0 ? to : "host")}",
                    In = from.Length > 0 ? Interfaces.Of(from) : Interfaces.None,
                    Out = to.Length > 0 ? Interfaces.Of(to) : Interfaces.None,
                };
            }
        }
    }

    private IEnumerable<string> Names(Interfaces side, Vnic? vnic) => side == Interfaces.None ? [""]
        : vnic is not null ? [vnic.InterfaceName] : side.Names.Concat(devices).Distinct();

    private IEnumerable<(ForeignEffect Effect, string Detail)> On(
        ProgramNodes.Table nodes, ChainNode chain, NftFamily family, BaseHook hook, Route route)
    {
        if (!Passes(route, hook.Hook))
        {
            yield break;
        }

        foreach (IpFamily ip in Claims.Families.Where(ip => family == NftFamily.Inet
            || family == (ip == IpFamily.V4 ? NftFamily.Ipv4 : NftFamily.Ipv6)))
        {
            foreach ((Situation judged, Situation seen) in Situations)
            {
                PacketFunction admitted = expectation.Of(route, judged, ip);
                foreach (Difference difference in Marked(nodes, chain, family, hook, route, seen, ip).SelectMany(
                    effects => differences.Between(
                        After(admitted, effects), cache.Functions.Of(Untouched), seen, ip)).Take(1))
                {
                    PacketTuple packet = difference.TupleOf(ip, difference.Box.Sample);
                    yield return difference.Observed >= Differences.Unknown
                        ? (ForeignEffect.Unknown, cache.Outcomes.Text(difference.Observed - Differences.Unknown))
                        : ((ForeignEffect)(difference.Observed - 1), string.Create(
                            CultureInfo.InvariantCulture, $"{route.Name}, {seen.Name}: {packet}"));
                }
            }
        }
    }

    private PacketFunction After(PacketFunction admitted, PacketFunction effects) => cache.Functions.Bind(
        admitted, null, fate => fate == (int)PacketFate.Admitted ? effects : cache.Functions.Of(Untouched));

    // A packet meets prerouting first, then one of the three, then postrouting unless it is for the host.
    private static bool Passes(Route route, NftHook hook) => hook switch
    {
        NftHook.Prerouting => route.Hook != NftHook.Output,
        NftHook.Postrouting => route.Hook != NftHook.Input,
        _ => hook == route.Hook,
    };

    // With a mark that the chain does not name; and with none at all, if it asks for that.
    private IEnumerable<PacketFunction> Marked(
        ProgramNodes.Table nodes, ChainNode chain, NftFamily family, BaseHook hook, Route route, Situation situation,
        IpFamily ip)
    {
        var mentioned = new Mentioned();
        Circumstances circumstances = At(family, hook, route, situation, ip);
        yield return Effects(nodes, chain, circumstances, PacketMark.Original, mentioned);
        if (mentioned.Marks.Contains(0))
        {
            yield return Effects(nodes, chain, circumstances, PacketMark.Of(0), mentioned);
        }
    }

    private Circumstances At(NftFamily family, BaseHook hook, Route route, Situation situation, IpFamily ip) =>
        Circumstances.Of(family, hook.Hook, ip, situation, route.Zone, facts) with
        {
            In = hook.Hook is NftHook.Output or NftHook.Postrouting ? Interfaces.None : route.In,
            Out = hook.Hook is NftHook.Prerouting or NftHook.Input ? Interfaces.None : route.Out,
            BeforeConntrack = HookRun.IsBefore(hook.Hook, hook.Priority),
        };

    private PacketFunction Effects(
        ProgramNodes.Table nodes, ChainNode chain, Circumstances circumstances, PacketMark start, Mentioned mentioned)
    {
        PacketFunction outcomes = new SymbolicRun(
            nodes, cache.Functions, cache.Outcomes, cache.Running, circumstances, mentioned)
            .Base(chain, 0, Outcome.Start(start));
        return cache.Functions.Map(outcomes, leaf => cache.Outcomes[leaf] switch
        {
            { Kind: OutcomeKind.Dropped } => 1 + (int)ForeignEffect.Drops,
            { Kind: OutcomeKind.Accepted } after when (after.CtKept & facts.EpochMask) != facts.EpochMask
                || (after.CtXor & facts.EpochMask) != 0 => 1 + (int)ForeignEffect.ChangesEpoch,
            { Kind: OutcomeKind.Accepted, Mark: { IsOriginal: false, Value: var mark } }
                when settings.TrustedMarks.Contains(mark) => 1 + (int)ForeignEffect.Exempts,
            { Kind: OutcomeKind.Accepted } => Untouched,
            _ => Differences.Unknown + leaf,
        });
    }
}
