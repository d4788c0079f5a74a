using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>
/// What should become of all packets of a route in a situation, from the specification: semantics.md sections 1 and 5,
/// datapath.md sections 3 and 5.
/// </summary>
/// <remarks>
/// <see cref="PacketExpectation"/> says the same of one packet, by the oracle; tests compare the two.
/// </remarks>
internal sealed class Expectation(
    PolicyOracle oracle, ProofFacts facts, PacketFunctions functions,
    Func<Vnic, Direction, IpFamily, AddressCut?, PolicyForm> formOf, Subject? subject = null)
{
    /// <summary>Besides <see cref="PacketFate"/>s: the sender's part is done, and the receiver judges.</summary>
    public const int ReachesReceiver = 100;

    private readonly PacketFunction never = functions.Of(0);
    private readonly PacketFunction always = functions.Of(1);

    private readonly Dictionary<(PolicyForm, bool), PacketFunction> verdicts = [];
    private readonly Dictionary<(Vnic, IpFamily, bool), PacketFunction> owns = [];
    private readonly Dictionary<(PacketFunction, PacketFunction, PacketFunction), PacketFunction> stages =
        new(new ByReference());

    private readonly Dictionary<string, PacketFunction> fixedOnes = new(StringComparer.Ordinal);

    /// <returns>Leaves are <see cref="PacketFate"/>s.</returns>
    public PacketFunction Of(Route route, Situation situation, IpFamily family)
    {
        if ((route.IsOfAnotherZone && situation.HasEntry) || route.IsFlooded || route.IsBarred)
        {
            return Fate(PacketFate.Dropped);
        }

        PacketFunction judged = Judged(route, situation, family);
        if (!situation.IsLive || route.IsBehindSender)
        {
            return judged;
        }

        return situation.State == CtState.Established
            ? Fate(PacketFate.Admitted)
            : Where(Errors(family), Fate(PacketFate.Admitted), judged);
    }

    private PacketFunction Judged(Route route, Situation situation, IpFamily family)
    {
        if (route.FromClosed || (route.Sender is not null && facts.Closed.Contains(route.Sender.Id)))
        {
            return Fate(PacketFate.Dropped);
        }

        if (route.Sender is null)
        {
            return Received(route, situation, family);
        }

        if (!situation.HasEntry)
        {
            return Untracked(route, situation, family, sent: true);
        }

        PacketFunction judge = Session(route.Sender, situation.Reply ? Direction.Ingress : Direction.Egress,
            situation.Reply, family);
        PacketFunction passes = Stage(
            Opens(situation, family, facts.Adopting.Contains(route.Sender.Id)), DhcpClient(route, family),
            And(Own(route.Sender, family, source: true), judge));
        return Where(passes, Received(route, situation, family), Fate(PacketFate.Dropped));
    }

    // Behind the sender, or without one.
    private PacketFunction Received(Route route, Situation situation, IpFamily family)
    {
        if (route.Receiver is null)
        {
            return route.Beyond switch
            {
                Beyond.Closed => Fate(PacketFate.Dropped),
                Beyond.Receiver => functions.Of(ReachesReceiver),
                Beyond.Host when route.Sender is not null => Where(
                    situation.Reply ? always : HostServices(family, answer: false),
                    Fate(PacketFate.Admitted), Fate(PacketFate.Dropped)),
                _ => Fate(route.Sender is null && !situation.IsLive ? PacketFate.Passed : PacketFate.Admitted),
            };
        }

        Vnic receiver = route.Receiver;
        if (facts.Closed.Contains(receiver.Id) || (route.Sender is not null && route.Sender.VpcId != receiver.VpcId))
        {
            return Fate(PacketFate.Dropped);
        }

        if (route.TrustedMark is not null)
        {
            return situation.HasEntry ? Fate(PacketFate.Admitted)
                : route.LeavesLink && family == IpFamily.V6
                ? Fixed("trusted link", () => Where(And(Protocol(IpProtocol.Icmpv6), HasProtocol()),
                    Fate(PacketFate.Dropped), Fate(PacketFate.Passed)))
                : Fate(PacketFate.Passed);
        }

        if (!situation.HasEntry)
        {
            return Untracked(route, situation, family, sent: false);
        }

        PacketFunction judge = Session(receiver, situation.Reply ? Direction.Egress : Direction.Ingress,
            situation.Reply, family);
        PacketFunction answers = route.FromHost ? Dhcp(client: false) : And(Dhcp(client: false), DhcpServers(family));
        PacketFunction passes = Stage(
            Opens(situation, family, facts.Adopting.Contains(receiver.Id)), answers,
            And(Own(receiver, family, source: false), judge));
        PacketFunction served = route.FromHost && situation.Reply ? HostServices(family, answer: true) : always;
        return Where(And(served, passes), Fate(PacketFate.Admitted), Fate(PacketFate.Dropped));
    }

    /// <summary>1 where a vNIC's rules accept a session, by its packets in one direction.</summary>
    /// <param name="vnic">The vNIC.</param>
    /// <param name="direction">Of the session.</param>
    /// <param name="mirrored">The packets are against it.</param>
    /// <param name="family">Of the packets.</param>
    /// <param name="on">How the program cuts remote addresses: functions on one cut compare at once.</param>
    public PacketFunction Session(
        Vnic vnic, Direction direction, bool mirrored, IpFamily family, AddressCut? on = null)
    {
        if (subject is not null)
        {
            return subject.Judge(vnic, direction, mirrored);
        }

        PolicyForm form = formOf(vnic, direction, family, on);
        if (verdicts.TryGetValue((form, mirrored), out PacketFunction? known))
        {
            return known;
        }

        bool ownIsSource = direction == Direction.Egress != mirrored;
        AddressCut sources = ownIsSource ? form.Own : form.Remote;
        AddressCut destinations = ownIsSource ? form.Remote : form.Own;
        var numbers = new Dictionary<Diagram, int>();
        int[] owns = form.OwnKinds;
        int[] remotes = form.RemoteKinds;
        int[,] ofKinds = new int[remotes.Max() + 1, owns.Max() + 1]; // from 1 on
        int[] classes = new int[sources.Count * destinations.Count];
        for (int pair = 0; pair < classes.Length; pair++)
        {
            (int source, int destination) = Math.DivRem(pair, destinations.Count);
            (int remote, int own) = ownIsSource
                ? (remotes[destination], owns[source]) : (remotes[source], owns[destination]);
            ref int number = ref ofKinds[remote, own];
            if (number == 0)
            {
                Diagram verdict = form.VerdictsOfKinds(remote, own);
                verdict = mirrored ? functions.Mirror.Of(verdict) : verdict;
                if (!numbers.TryGetValue(verdict, out number))
                {
                    numbers.Add(verdict, number = numbers.Count + 1);
                }
            }

            classes[pair] = number - 1;
        }

        PacketFunction result = numbers.Count == 1 ? functions.Of(numbers.Keys.First())
            : new PacketFunction(sources, destinations, classes, [.. numbers.Keys]);
        verdicts.Add((form, mirrored), result);
        return result;
    }

    private PacketFunction Own(Vnic vnic, IpFamily family, bool source)
    {
        if (!vnic.SourceDestinationCheck)
        {
            return always;
        }

        if (subject is not null)
        {
            return subject.Own(vnic, family, source);
        }

        if (!owns.TryGetValue((vnic, family, source), out PacketFunction? own))
        {
            own = functions.Of(OwnOf(vnic, family), source);
            owns.Add((vnic, family, source), own);
        }

        return own;
    }

    /// <summary>1 for the addresses of a vNIC that does not route.</summary>
    public static AddressFunction OwnOf(Vnic vnic, IpFamily family) => AddressFunction.Of(
        family, vnic.Addresses.Concat(vnic.DelegatedPrefixes)
            .Append(IpPrefix.Host(IpFamily.V6, PolicyOracle.LinkLocal(vnic.Mac))));

    // (opens a session, or is in one) and (exempt or judged); the same for all vNICs of a profile.
    private PacketFunction Stage(PacketFunction opens, PacketFunction exempt, PacketFunction judge)
    {
        if (!stages.TryGetValue((opens, exempt, judge), out PacketFunction? passes))
        {
            stages.Add((opens, exempt, judge), passes = And(opens, Where(exempt, always, judge)));
        }

        return passes;
    }

    /// <summary>A session begins with a bare SYN, and never with an ICMP error.</summary>
    private PacketFunction Opens(Situation situation, IpFamily family, bool adopting) => situation.State switch
    {
        CtState.New => adopting ? always : Fixed("syn", BareSyn),
        CtState.Related => Fixed($"related {family} {adopting}", () => And(
            Not(Or(Protocol(IpProtocol.Icmp), Protocol(IpProtocol.Icmpv6))), adopting ? always : BareSyn())),
        _ => always,
    };

    private PacketFunction BareSyn()
    {
        ushort[] ends = [.. Enumerable.Range(0, 256).Select(flags => (ushort)flags)];
        const int Asked = (int)(TcpFlags.Fin | TcpFlags.Syn | TcpFlags.Rst | TcpFlags.Ack);
        Diagram flags = functions.Diagrams.Node(PacketField.Flags, ends,
            [.. ends.Select(value => Diagrams.Leaf((value & Asked) == (int)TcpFlags.Syn ? 1 : 0))]);
        return Where(Protocol(IpProtocol.Tcp), functions.Of(flags), always);
    }

    private PacketFunction Errors(IpFamily family) => Fixed($"errors {family}", () => And(
        Protocol(SituationPackets.IcmpOf(family)),
        IcmpTypes(family == IpFamily.V4 ? SituationPackets.Icmpv4Errors : SituationPackets.Icmpv6Errors)));

    // What concerns one link is never routed.
    private PacketFunction Untracked(Route route, Situation situation, IpFamily family, bool sent) =>
        (situation.State == CtState.Invalid && (sent || !route.IsUntold)) || family == IpFamily.V4
        || (route.Hook == NftHook.Forward && !route.IsLink) || (sent ? IsClosed(route) : route.IsFromAnotherVpc)
            ? Fate(PacketFate.Dropped)
            : Fixed($"untracked {sent}", () => Where(
                And(And(Protocol(IpProtocol.Icmpv6), HasType()),
                    IcmpTypes(sent ? SituationPackets.NeighbourFrom : SituationPackets.NeighbourTo)),
                Fate(PacketFate.Passed), Fate(PacketFate.Dropped)));

    private bool IsClosed(Route route) => route.Beyond == Beyond.Closed || (route.Receiver is Vnic receiver
        && (facts.Closed.Contains(receiver.Id) || receiver.VpcId != route.Sender?.VpcId));

    private PacketFunction HasProtocol() => functions.Of(functions.Diagrams.Where(
        PacketField.Transport, TransportSize.None, TransportSize.None, Diagrams.Leaf(0), Diagrams.Leaf(1)));

    private PacketFunction HasType() => functions.Of(functions.Diagrams.Where(
        PacketField.Transport, TransportSize.Of(1), TransportSize.Max, Diagrams.Leaf(1), Diagrams.Leaf(0)));

    private PacketFunction IcmpTypes(IEnumerable<byte> types) => types.Aggregate(never, (any, type) =>
        Or(any, Range(PacketField.Source, (ushort)(type << 8), (ushort)(type << 8 | 0xff))));

    // RFC 2131 and 8415: a client asks from 68 to 67, or from 546 to 547; a server answers the other way round.
    private PacketFunction Dhcp(bool client) => Fixed($"dhcp {client}", () => And(Protocol(IpProtocol.Udp), client
        ? Or(Ports(68, 67), Ports(546, 547)) : Or(Ports(67, 68), Ports(547, 546))));

    // What is asked of everybody, of a server that is named, or of this host; a bridge does not know who that is.
    private PacketFunction DhcpClient(Route route, IpFamily family) =>
        Fixed($"client {family} {route.IsToHost}", () =>
        {
            PacketFunction asks = And(
                Protocol(IpProtocol.Udp), family == IpFamily.V4 ? Ports(68, 67) : Ports(546, 547));
            return route.IsToHost ? asks : And(asks, functions.Of(AddressFunction.Of(
                family, [.. oracle.Settings.DhcpServers, AllDhcpServers(family)]), source: false));
        });

    private static IpPrefix AllDhcpServers(IpFamily family) =>
        IpPrefix.Parse(family == IpFamily.V4 ? "255.255.255.255" : "ff02::1:2");

    private PacketFunction DhcpServers(IpFamily family) => Fixed($"servers {family}", () =>
        functions.Of(AddressFunction.Of(family, oracle.Settings.DhcpServers), source: true));

    // What the host answers is asked the same, with its ends exchanged.
    private PacketFunction HostServices(IpFamily family, bool answer) => Fixed($"host {family} {answer}", () =>
    {
        PacketField at = answer ? PacketField.Source : PacketField.Destination;
        PacketFunction allowed = Or(Dhcp(client: !answer),
            functions.Of(AddressFunction.Of(family, oracle.Settings.MetadataAddresses), source: answer));
        foreach (HostService service in oracle.Settings.HostServices)
        {
            PacketFunction one = Protocol(service.Protocol);
            one = service.Port is ushort port ? And(one, Range(at, port, port)) : one;
            one = service.Address is IpPrefix address
                ? And(one, functions.Of(AddressFunction.Of(family, [address]), source: answer)) : one;
            allowed = Or(allowed, one);
        }

        return allowed;
    });

    private PacketFunction Ports(ushort source, ushort destination) => And(
        Range(PacketField.Source, source, source), Range(PacketField.Destination, destination, destination));

    private PacketFunction Protocol(byte protocol) => Range(PacketField.Protocol, protocol, protocol);

    private PacketFunction Range(PacketField field, ushort first, ushort last) => functions.Of(
        functions.Diagrams.Where(field, first, last, Diagrams.Leaf(1), Diagrams.Leaf(0)));

    private PacketFunction Where(PacketFunction condition, PacketFunction then, PacketFunction otherwise) =>
        functions.Bind(condition, null, holds => holds == 1 ? then : otherwise);

    private PacketFunction And(PacketFunction one, PacketFunction other) => Where(one, other, never);

    private PacketFunction Or(PacketFunction one, PacketFunction other) => Where(one, always, other);

    private PacketFunction Not(PacketFunction one) => Where(one, never, always);

    private PacketFunction Fate(PacketFate fate) => functions.Of((int)fate);

    private PacketFunction Fixed(string name, Func<PacketFunction> make)
    {
        if (!fixedOnes.TryGetValue(name, out PacketFunction? known))
        {
            fixedOnes.Add(name, known = make());
        }

        return known;
    }

    private sealed class ByReference : IEqualityComparer<(PacketFunction, PacketFunction, PacketFunction)>
    {
        public bool Equals(
            (PacketFunction, PacketFunction, PacketFunction) x, (PacketFunction, PacketFunction, PacketFunction) y) =>
            ReferenceEquals(x.Item1, y.Item1) && ReferenceEquals(x.Item2, y.Item2)
            && ReferenceEquals(x.Item3, y.Item3);

        public int GetHashCode((PacketFunction, PacketFunction, PacketFunction) of) => HashCode.Combine(
            System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(of.Item1),
            System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(of.Item2),
            System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(of.Item3));
    }
}
