using System.Collections.Immutable;
using Agent.Evaluator.Guards;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>
/// Proves that a ruleset, as it was read back, does with every packet of every vNIC what the policy says: by running
/// it with sets of packets, not by samples.
/// </summary>
/// <remarks>
/// <para>
/// For each vNIC, way through the host and conntrack situation, the ruleset and the specification are two functions of
/// (family, source address, destination address, protocol, ports, TCP flags, length of the transport header); both are
/// brought to canonical form and compared. What they differ in is one packet, which both judges of single packets must
/// confirm before it is reported.
/// </para>
/// <para>
/// Taken for granted: conntrack reassembles fragments before the forward hook, and says what
/// <see cref="SituationPackets"/> lists; the hooks of the inet family are where packets of vNICs pass. Quantified: the
/// foreign bits of the conntrack mark, every older epoch, every packet mark that the program does not name, and whether
/// a limit of sessions is reached (then packets that open a session may be dropped, and nothing else may change).
/// What guests send is first judged by their guards (netdev), frame by frame: <see cref="GuardProofs"/>.
/// </para>
/// </remarks>
public static class Prover
{
    /// <summary>Proves it for all vNICs, or some.</summary>
    /// <param name="ruleset">As it was read back. Tables that only look on (<see cref="Bystander"/>) may be in
    /// it.</param>
    /// <param name="policy">The policy that it should enforce.</param>
    /// <param name="settings">Switches of the semantics.</param>
    /// <param name="facts">How the host was set up.</param>
    /// <param name="cache">Proofs before this one; null: none.</param>
    /// <param name="only">vNICs (by id) to prove; null: all, and the traffic of none.</param>
    /// <param name="cancel">Gives up between two questions; what the cache has learnt stays true.</param>
    public static ProofReport Prove(
        Ruleset ruleset, PolicySnapshot policy, PolicySettings settings, ProofFacts facts, ProofCache? cache = null,
        IReadOnlySet<string>? only = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(facts);
        cache ??= new ProofCache();
        cache.Cancel = cancel;
        ruleset = Bystander.Without(ruleset);
        PolicyOracle oracle = cache.Begin(policy, settings); // it may begin anew, so once
        EpochSwap swap = cache.Epochs.ForStanding(ruleset, facts);
        var confirmation = new Confirmation(ruleset, oracle, facts, swap);
        (ruleset, facts) = (cache.Epochs.Renamed(ruleset, swap), facts with { Epoch = swap.Of(facts.Epoch) });
        var claims = new Claims(ruleset, oracle, facts, cache, confirmation);
        var routes = new Routes(policy, settings, facts, ruleset);
        var pairs = new Pairs(claims, routes, policy);
        var quick = new QuickProof(claims, routes, pairs, oracle, facts, cache);
        var bridges = new BridgeProofs(claims, routes, policy, facts, ruleset);
        var guards = new GuardProofs(ruleset, cache.Guards);
        ImmutableSortedDictionary<string, VnicProof>.Builder proofs =
            ImmutableSortedDictionary.CreateBuilder<string, VnicProof>(StringComparer.Ordinal);
        foreach (Vnic vnic in policy.Vnics.Values.Where(vnic => only is null || only.Contains(vnic.Id)))
        {
            cancel.ThrowIfCancellationRequested(); // guards do not ask
            Func<VnicProof?>[] parts =
            [
                () => facts.Unguarded.Contains(vnic.Id) ? null : guards.Check(vnic),
                () => quick.Proves(vnic) ? null : Claims.Worst<Func<VnicProof?>>(
                [
                    () => claims.Zone(vnic.InterfaceName, routes.ZoneOf(vnic)),
                    () => Claims.Worst(routes.Of(vnic), claims.Check),
                    () => pairs.Of(vnic),
                ], part => part()),
                () => bridges.Of(vnic),
            ];
            proofs.Add(vnic.Id, Claims.Worst(parts, part => part()) ?? new VnicProof.Proved());
        }

        VnicProof? host = only is not null ? null
            : Claims.Worst(routes.Zones(), at => claims.Zone(at.Device, at.Zone))
                ?? Claims.Worst(routes.OfNobody(), claims.Check) ?? bridges.OfNobody();
        quick.End();
        cache.End(ruleset);
        return new ProofReport(proofs.ToImmutable(), host ?? new VnicProof.Proved());
    }
}
