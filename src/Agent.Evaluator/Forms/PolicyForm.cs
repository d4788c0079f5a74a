using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>
/// A policy's judgement of one direction and family as a function in canonical form: atoms of remote addresses x atoms
/// of own addresses x a diagram over protocol and ports.
/// </summary>
/// <remarks>
/// It says for every packet at once what <see cref="PolicyOracle.JudgeSession"/> says for one, without trusted marks.
/// Forms of one <see cref="PolicyForms"/> share their <see cref="Diagrams"/>: where two agree, the references are
/// equal.
/// </remarks>
internal sealed class PolicyForm
{
    private readonly AddressRows remote;
    private readonly AddressRows own;
    private readonly PortRows ports;
    private readonly PortRows portVerdicts;
    private readonly DiagramMap verdictOf;
    private readonly PortVerdicts known;
    private readonly int[] conditions;
    private readonly Diagram?[] deciders;
    private readonly Diagram?[] verdicts;

    internal PolicyForm(
        Direction direction, IpFamily family, ImmutableArray<PolicyRow> rows, AddressRows remote, AddressRows own,
        Diagrams diagrams, PortVerdicts known)
    {
        Direction = direction;
        Family = family;
        Rows = rows;
        this.remote = remote;
        this.own = own;
        Diagrams = diagrams;
        this.known = known;
        ports = new PortRows(diagrams, rows, row => row);
        portVerdicts = new PortRows(diagrams, rows, row => rows[row].Accepts ? 1 : 0);
        verdictOf = new DiagramMap(diagrams, row => rows[row].Accepts ? 1 : 0);
        conditions = [.. rows.Select(known.NumberOf)];
        deciders = new Diagram?[remote.Sets.Length * own.Sets.Length];
        verdicts = new Diagram?[deciders.Length];
    }

    public Direction Direction { get; }

    public IpFamily Family { get; }

    /// <summary>Strongest first; the last one matches every packet.</summary>
    public ImmutableArray<PolicyRow> Rows { get; }

    public Diagrams Diagrams { get; }

    /// <summary>Atoms of the address at the other end.</summary>
    public AddressCut Remote => remote.Cut;

    /// <summary>Atoms of the guest's own address.</summary>
    public AddressCut Own => own.Cut;

    /// <summary>Kinds of remote addresses: of one kind, all verdicts are the same. One for each atom.</summary>
    public int[] RemoteKinds => remote.Kinds;

    public int[] OwnKinds => own.Kinds;

    /// <summary>The rank of the deciding row, over protocol and ports.</summary>
    public Diagram Deciders(int remoteAtom, int ownAtom)
    {
        (int one, int other) = (remote.Kinds[remoteAtom], own.Kinds[ownAtom]);
        return deciders[one * own.Sets.Length + other] ??= ports.Of(remote.Sets[one].And(own.Sets[other]));
    }

    /// <summary>1 where the packet is accepted, 0 where it is dropped, over protocol and ports.</summary>
    public Diagram Verdicts(int remoteAtom, int ownAtom) =>
        VerdictsOfKinds(remote.Kinds[remoteAtom], own.Kinds[ownAtom]);

    /// <summary>The same for kinds of addresses.</summary>
    public Diagram VerdictsOfKinds(int remoteKind, int ownKind) =>
        verdicts[remoteKind * own.Sets.Length + ownKind] ??= known.Of(
            portVerdicts, conditions, remote.Sets[remoteKind].And(own.Sets[ownKind]));

    /// <summary>The rows that a pair of addresses matches; of all pairs, each set once.</summary>
    public IEnumerable<RowSet> Cells => remote.Sets.SelectMany(one => own.Sets.Select(one.And)).Distinct();

    /// <summary>The rank of the deciding row, if just these match by their addresses.</summary>
    public Diagram Deciders(RowSet addressed) => ports.Of(addressed);

    /// <summary>Ranks of rows as 1 for those that accept, 0 for those that drop.</summary>
    public Diagram VerdictsOf(Diagram deciders) => verdictOf.Of(deciders);

    /// <summary>The row that decides a packet of the form's family in its session's direction.</summary>
    public PolicyRow At(PacketTuple packet) => Rows[Diagrams.At(
        Deciders(Remote.AtomOf(packet.Remote(Direction)), Own.AtomOf(packet.Own(Direction))),
        new PacketPoint(packet.Protocol, packet.DestinationPort, packet.SourcePort))];

    /// <summary>Packets that two forms of one <see cref="PolicyForms"/> judge differently.</summary>
    /// <param name="before">Of the same direction and family as <paramref name="after"/>.</param>
    /// <param name="after">The other one.</param>
    /// <returns>Disjoint boxes, all of them; empty if and only if the verdicts are the same for every packet.</returns>
    public static IEnumerable<FormDifference> Difference(PolicyForm before, PolicyForm after)
    {
        if (before.Diagrams != after.Diagrams || before.Direction != after.Direction || before.Family != after.Family)
        {
            throw new ArgumentException("forms that cannot be compared", nameof(after));
        }

        AddressCut remotes = before.Remote.Refine(after.Remote);
        AddressCut owns = before.Own.Refine(after.Own);
        int[] remoteBefore = remotes.AtomsIn(before.Remote);
        int[] remoteAfter = remotes.AtomsIn(after.Remote);
        int[] ownBefore = owns.AtomsIn(before.Own);
        int[] ownAfter = owns.AtomsIn(after.Own);
        var both = new DiagramMerge(before.Diagrams, (one, other) =>
            before.Rows[one].Accepts == after.Rows[other].Accepts ? 0 : 1 + one * after.Rows.Length + other);
        for (int r = 0; r < remotes.Count; r++)
        {
            for (int o = 0; o < owns.Count; o++)
            {
                if (before.Verdicts(remoteBefore[r], ownBefore[o]) == after.Verdicts(remoteAfter[r], ownAfter[o]))
                {
                    continue;
                }

                Diagram differing = both.Of(
                    before.Deciders(remoteBefore[r], ownBefore[o]), after.Deciders(remoteAfter[r], ownAfter[o]));
                foreach (PacketBox box in before.Diagrams.Boxes(differing).Where(box => box.Value > 0))
                {
                    (int one, int other) = Math.DivRem(box.Value - 1, after.Rows.Length);
                    yield return new FormDifference(
                        before.Family, remotes, r, owns, o, box, before.Rows[one], after.Rows[other]);
                }
            }
        }
    }
}

/// <summary>Packets that one form accepts and another drops.</summary>
/// <param name="Family">Their family.</param>
/// <param name="Remotes">Atoms of the remote address for both forms.</param>
/// <param name="Remote">The atom of these packets.</param>
/// <param name="Owns">Atoms of the own address for both forms.</param>
/// <param name="Own">The atom of these packets.</param>
/// <param name="Box">Their protocols and ports.</param>
/// <param name="Before">The row that decided.</param>
/// <param name="After">The row that decides now.</param>
internal sealed record FormDifference(
    IpFamily Family, AddressCut Remotes, int Remote, AddressCut Owns, int Own, PacketBox Box,
    PolicyRow Before, PolicyRow After)
{
    /// <summary>One of these packets, in the session's direction.</summary>
    public PacketTuple Sample(Direction direction)
    {
        PacketPoint point = Box.Sample;
        bool ports = IpProtocol.HasPorts(point.Protocol);
        UInt128 remote = Remotes.Samples[Remote];
        UInt128 own = Owns.Samples[Own];
        return new PacketTuple(
            Family, direction == Direction.Ingress ? remote : own, direction == Direction.Ingress ? own : remote,
            point.Protocol, ports ? point.Source : (ushort)0, ports ? point.Destination : (ushort)0);
    }
}
