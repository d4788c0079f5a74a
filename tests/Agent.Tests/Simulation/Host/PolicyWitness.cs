using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Tests.Simulation.Host;

/// <summary>
/// Judges the kernel at any moment by the policies that it may follow: the one that was in force, and those that were
/// to follow it since. What none of them lets pass must not pass; what all of them let pass must.
/// </summary>
internal sealed class PolicyWitness
{
    private readonly List<PolicyOracle> oracles = [];
    private List<PolicyOracle>? mixtures;

    /// <summary>Some object was refused since: a vNIC may be closed, or keep older rules with newer members.</summary>
    public bool MayHoldBack { get; set; }

    public int Policies => oracles.Count;

    /// <summary>
    /// Where a session passes, and whether that is said to be open: what becomes a port of a bridge is closed until the
    /// daemon has followed.
    /// </summary>
    public Func<SimulatedSession, (NftFamily At, bool IsServed)> Way { get; init; } = _ => (NftFamily.Inet, true);

    public void Forget()
    {
        oracles.Clear();
        (mixtures, MayHoldBack) = (null, false);
    }

    public void Follows(PolicySnapshot only)
    {
        if (oracles is not [{ Snapshot: var known }] || !ReferenceEquals(known, only))
        {
            Forget();
            MayFollow(only);
        }

        MayHoldBack = false;
    }

    public void MayFollow(PolicySnapshot policy)
    {
        if (oracles.All(one => !ReferenceEquals(one.Snapshot, policy)))
        {
            oracles.Add(new PolicyOracle(policy, PolicySettings.Default));
            mixtures = null;
        }
    }

    /// <returns>What is wrong with what the kernel does to a new packet; null if nothing is.</returns>
    public string? Judge(Ruleset kernel, SimulatedSession packet)
    {
        Trace trace = Packets.Evaluate(kernel, packet, Way(packet).At, CtState.New, isReply: false);
        return trace.Verdict switch
        {
            HookVerdict.Unknown => $"{Text(packet)}: {trace.UnknownReason}",
            HookVerdict.Accept when !MayPass(packet) => $"{Text(packet)} passes: {trace}",
            HookVerdict.Drop when MustPass(packet) => $"{Text(packet)} is dropped: {trace}",
            _ => null,
        };
    }

    /// <returns>
    /// What is wrong with what the kernel does to a session; or null, and the session with its mark as it is then.
    /// </returns>
    public (string? Wrong, SimulatedSession Session) JudgeSession(Ruleset kernel, SimulatedSession session)
    {
        bool may = MayPass(session);
        foreach (bool isReply in (bool[])[false, true])
        {
            Trace trace = Packets.Evaluate(kernel, session, Way(session).At, CtState.Established, isReply);
            string? wrong = trace.Verdict switch
            {
                HookVerdict.Accept when !may => $"session {Text(session)} lives on: {trace}",
                HookVerdict.Drop when MustPass(session) => $"session {Text(session)} is cut: {trace}",
                _ => null,
            };
            if (wrong is not null)
            {
                return (wrong, session);
            }

            session = may ? session with { Mark = trace.CtMark } : session;
        }

        return (null, session);
    }

    private string Text(SimulatedSession packet) =>
        $"{packet.Interface} {Way(packet).At} {packet.Direction.ToString().ToLowerInvariant()} {packet.Tuple} "
            + $"mark {packet.Mark:x}";

    private bool MayPass(SimulatedSession packet) => oracles.Any(oracle => Passes(oracle, packet))
        || (MayHoldBack && (mixtures ??= [.. Mixtures()]).Exists(oracle => Passes(oracle, packet)));

    private bool MustPass(SimulatedSession packet) =>
        !MayHoldBack && Way(packet).IsServed && oracles.Count > 0 && oracles.All(oracle => Passes(oracle, packet));

    // A vNIC that is held back keeps the rules that it has, and its groups get the members that they have now.
    private IEnumerable<PolicyOracle> Mixtures() =>
        from rules in oracles
        from members in oracles
        where rules != members
        select new PolicyOracle(members.Snapshot with
        {
            PortLists = rules.Snapshot.PortLists.SetItems(
                members.Snapshot.PortLists.Where(list => !rules.Snapshot.PortLists.ContainsKey(list.Key))),
            Groups = members.Snapshot.Groups.SetItems(members.Snapshot.Groups.Keys
                .Where(rules.Snapshot.Groups.ContainsKey)
                .Select(id => KeyValuePair.Create(id, rules.Snapshot.Groups[id] with
                {
                    Members = members.Snapshot.Groups[id].Members,
                }))),
        }, PolicySettings.Default);

    private static bool Passes(PolicyOracle oracle, SimulatedSession packet) =>
        oracle.Snapshot.Vnics.Values.FirstOrDefault(vnic => vnic.InterfaceName == packet.Interface) is { } vnic
        && oracle.Judge(vnic, packet.Direction, packet.Tuple).Accepted;
}
