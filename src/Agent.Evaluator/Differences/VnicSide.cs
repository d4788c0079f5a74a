using Agent.Evaluator.Forms;
using Agent.Evaluator.Wording;

namespace Agent.Evaluator.Differences;

/// <summary>A vNIC in one of two policies, for one direction and family.</summary>
/// <param name="Form">Its judgement; null: the policy has no such vNIC.</param>
/// <param name="Own">Its own addresses; packets of others are dropped before any rule.</param>
internal readonly record struct VnicSide(PolicyForm? Form, AddressSet Own)
{
    private const string Absent = "no such vNIC";
    private const string Foreign = "not its address";

    public static VnicSide None => new(null, AddressSet.Empty);

    public AddressCut Remotes => Form?.Remote ?? AddressCut.Whole;

    public AddressCut Owns => Form?.Own ?? AddressCut.Whole;

    /// <summary>Rows, and one behind them: what is decided before any row.</summary>
    public int Deciders => (Form?.Rows.Length ?? 0) + 1;

    /// <summary>The deciding row over protocol and ports; the extra one where the vNIC is not asked.</summary>
    /// <param name="remote">Atom of <see cref="Remotes"/>.</param>
    /// <param name="own">Atom of <see cref="Owns"/>.</param>
    /// <param name="isOwn">The vNIC has these addresses.</param>
    public Diagram Decider(int remote, int own, bool isOwn) =>
        isOwn && Form is not null ? Form.Deciders(remote, own) : Diagrams.Leaf(Deciders - 1);

    public bool Accepts(int decider) => Form is not null && decider < Form.Rows.Length && Form.Rows[decider].Accepts;

    public string NameOf(int decider) => Form is null ? Absent
        : decider < Form.Rows.Length ? RowWords.Of(Form.Rows[decider]) : Foreign;
}
