using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>Makes forms, and keeps what they share: diagrams, and the address functions of large groups.</summary>
/// <remarks>Outlives a snapshot, so that forms before and after a change compare. Not for concurrent use.</remarks>
internal sealed class PolicyForms
{
    /// <summary>Sets of vNICs that one set of members is remembered with, in two families.</summary>
    private const int KnownMax = 8;

    private readonly ConditionalWeakTable<object, List<(IpFamily Family, AddressFunction Own, AddressFunction All)>>
        functions = [];

    public Diagrams Diagrams { get; } = new();

    public PortVerdicts Verdicts { get; } = new();

    /// <summary>The form of a vNIC's judgement.</summary>
    /// <param name="oracle">The policy. vNICs with the same groups have equal forms.</param>
    /// <param name="vnic">A vNIC; of its groups, only those in the policy.</param>
    /// <param name="direction">The direction of sessions.</param>
    /// <param name="family">The family of packets.</param>
    /// <param name="on">A cut that remote addresses are cut by as well; null: as coarse as can be.</param>
    public PolicyForm Of(
        PolicyOracle oracle, Vnic vnic, Direction direction, IpFamily family, AddressCut? on = null) =>
        Of(oracle, PolicyRow.Of(oracle, vnic, direction, family), direction, family, on);

    /// <summary>The form of a list of rows: a policy's own, or one with a row more or less.</summary>
    /// <param name="oracle">Where the rows' groups and lists are.</param>
    /// <param name="rows">Strongest first; the last matches every packet.</param>
    /// <param name="direction">The direction of sessions.</param>
    /// <param name="family">The family of packets; of all rows.</param>
    /// <param name="on">A cut that remote addresses are cut by as well; null: as coarse as can be.</param>
    public PolicyForm Of(
        PolicyOracle oracle, ImmutableArray<PolicyRow> rows, Direction direction, IpFamily family,
        AddressCut? on = null)
    {
        var remote = new AddressRows.Builder(family, rows.Length);
        var own = new AddressRows.Builder(family, rows.Length);
        for (int row = 0; row < rows.Length; row++)
        {
            AddRemote(remote, oracle, rows[row].Remote, family, row);
            if (rows[row].Own is IpPrefix prefix)
            {
                own.In(prefix, row);
            }
            else
            {
                own.Everywhere(row);
            }
        }

        return new PolicyForm(direction, family, rows, remote.Build(on), own.Build(), Diagrams, Verdicts);
    }

    private void AddRemote(
        AddressRows.Builder remote, PolicyOracle oracle, RemoteSide side, IpFamily family, int row)
    {
        switch (side)
        {
            case RemoteSide.Any:
                remote.Everywhere(row);
                break;
            case RemoteSide.Prefix { Value: var prefix }:
                remote.In(prefix, row);
                break;
            case RemoteSide.List { Id: var id }:
                if (oracle.Snapshot.PrefixLists.TryGetValue(id, out PrefixList? list) && list.Family == family)
                {
                    remote.Where(FunctionOf(list.Entries, family, []), row);
                }

                break;
            case RemoteSide.Group { Id: var id }:
                if (oracle.Snapshot.Groups.TryGetValue(id, out SecurityGroup? group))
                {
                    remote.Where(FunctionOf(group.Members, family, [.. oracle.VnicAddressesOf(id)]), row);
                }

                break;
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    // Lists and members are immutable, and a change of one group leaves those of the others in place. What a group has
    // by its vNICs is not apart from what is listed: a program does not tell them apart, and would have to be cut.
    private AddressFunction FunctionOf(ImmutableSortedSet<IpPrefix> listed, IpFamily family, IpPrefix[] vnics)
    {
        AddressFunction own = AddressFunction.Of(family, vnics);
        List<(IpFamily Family, AddressFunction Own, AddressFunction All)> known = functions.GetValue(
            listed, static _ => []);
        foreach ((IpFamily of, AddressFunction its, AddressFunction all) in known)
        {
            if (of == family && its.Equals(own))
            {
                return all;
            }
        }

        AddressFunction both = AddressFunction.Of(family, AddressSet.Of(family, listed, vnics));
        if (known.Count == KnownMax)
        {
            known.Clear();
        }

        known.Add((family, own, both));
        return both;
    }
}
