using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// What a vNIC has of its own in the inet table: its two judgements, and what a session that they admit costs it.
/// </summary>
/// <remarks>
/// <code>
/// vnic_X_out: state, own judgement -> sent_X: opens a session? limit_X, times_... -> stage_to_VPC
/// vnic_X_in:  state, own judgement ->         opens a session? limit_X, times_... -> admit
/// </code>
/// A packet that opens a session between two vNICs of this host passes both; the idle times of the second, the
/// receiver, hold. Both ends count it.
/// </remarks>
/// <param name="vnic">The vNIC.</param>
/// <param name="settings">Switches of the layout.</param>
/// <param name="host">What the kernel has: no object that it would refuse is written.</param>
/// <param name="counted">Its rules are counted one by one.</param>
internal sealed class VnicChains(Vnic vnic, CompilerSettings settings, HostFacts host, bool counted = false)
{
    /// <summary>What is reported of sessions that it admits.</summary>
    public FlowLog? Flows { get; init; }

    private readonly string name = Names.OfInterface(vnic.InterfaceName);

    /// <param name="name">The interface's part of names.</param>
    public static string Out(string name) => $"vnic_{name}_out";

    /// <param name="name">The interface's part of names.</param>
    public static string In(string name) => $"vnic_{name}_in";

    private string Sent => $"sent_{name}";

    private string Limit => $"limit_{name}";

    private string Over => $"over_{name}";

    private readonly OwnAddresses[] own = vnic.SourceDestinationCheck
        ? [OwnAddresses.Of(vnic, IpFamily.V4), OwnAddresses.Of(vnic, IpFamily.V6)] : [];

    /// <param name="name">The interface's part of names.</param>
    /// <param name="objectName">Of a chain or set.</param>
    public static bool Owns(string name, string objectName) => objectName == Out(name) || objectName == In(name)
        || objectName == $"sent_{name}" || objectName == $"limit_{name}"
        || objectName == $"over_{name}";

    public IEnumerable<NftSet> Sets => own.Select(addresses => addresses.Set).OfType<NftSet>();

    private int MaxSessions => host.SessionLimits ? vnic.MaxSessions ?? settings.MaxSessionsPerVnic : 0;

    public IEnumerable<NftChain> Chains(Datapath datapath, string profile)
    {
        NftRule[] opening = [.. Opening()];
        NftRule[] sent = [.. opening, .. Reported(from: true)];
        NftRule[] received = [.. opening, .. Reported(from: false)];
        string vpc = AddressClasses.NameOf(vnic.VpcId);
        string stage = Datapath.StageTo(vpc);
        yield return datapath.VnicOut(
            Out(name), vpc, $"{profile}_out", $"{profile}_in_reply",
            Addressed(from: true, Datapath.DropFrom(DropReason.Address)),
            sent.Length > 0 ? Sent : stage, counted);
        yield return datapath.VnicIn(
            In(name), vpc, $"{profile}_in", $"{profile}_out_reply",
            Addressed(from: false, Datapath.DropTo(DropReason.Address)), received, counted);
        if (sent.Length > 0)
        {
            yield return Datapath.Regular(Sent, [.. sent, Exprs.Rule(Exprs.Goto(stage))]);
        }

        if (MaxSessions > 0)
        {
            // Alone in its chain, so that nothing but another limit rewrites the rule: the list of sessions is in it.
            yield return Datapath.Regular(Limit, Exprs.Rule(Exprs.SessionsOver((uint)MaxSessions), Exprs.Goto(Over)));
            yield return Datapath.Regular(Over,
                Exprs.Rule(
                    Exprs.InterfaceIs(incoming: true, vnic.InterfaceName),
                    Exprs.Goto(Datapath.DropFrom(DropReason.Limit))),
                Exprs.Rule(Exprs.Goto(Datapath.DropTo(DropReason.Limit))));
        }
    }

    /// <summary>semantics.md 5.4: a guest that does not route has only its own addresses.</summary>
    /// <param name="from">The packet is from the guest.</param>
    /// <param name="otherwise">The chain for packets with another address.</param>
    /// <remarks>
    /// What it sends has passed its guard, but perhaps the one of a moment ago: a packet on its way must not mark a
    /// session that a change has just ended.
    /// </remarks>
    public IEnumerable<NftRule> Addressed(bool from, string otherwise)
    {
        foreach ((OwnAddresses addresses, IpFamily family) in own.Zip([IpFamily.V4, IpFamily.V6]))
        {
            uint source = family == IpFamily.V4 ? 12u : 8u;
            uint width = family == IpFamily.V4 ? 4u : 16u;
            yield return Exprs.CommentedRule(
                from ? "not from an own address" : "not for an own address", Exprs.Family(family),
                addresses.IsNotAt(NftPayloadBase.Network, from ? source : source + width),
                Exprs.Goto(otherwise));
        }
    }

    // Related, and yet here: announced by a helper (Datapath.StateChains).
    private const uint Opens = CtStates.New | CtStates.Related;

    // The mark still says which rule admits it. Packets of sessions that are judged again are none to report.
    private IEnumerable<NftRule> Reported(bool from) =>
        Flows?.Rules(from, [.. Exprs.CtState(Opens), .. Exprs.CtUnconfirmed()]) ?? [];

    private IEnumerable<NftRule> Opening()
    {
        if (MaxSessions > 0)
        {
            yield return Exprs.Rule(Exprs.CtState(Opens), Exprs.CtUnconfirmed(), Exprs.Jump(Limit));
        }

        if (!host.TimeoutProtocols.IsEmpty)
        {
            yield return Exprs.Rule(
                Exprs.CtState(Opens), Exprs.CtUnconfirmed(), Exprs.Jump(SessionTimes.ChainName(vnic.Timeouts)));
        }
    }
}
