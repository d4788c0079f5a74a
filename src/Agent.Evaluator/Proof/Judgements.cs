using System.Runtime.CompilerServices;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>The four judgements of vNICs with the same groups, and which chains are one of them.</summary>
/// <remarks>
/// A chain is a judgement if it leads to no verdict map, does not ask for the session, does the same whatever mark the
/// packet brings, returns exactly the packets that the form accepts, and drops all others: for every packet that there
/// is. It may leave another mark behind, so nobody may read it there. Once that is known, neither of the two functions
/// is needed any more.
/// </remarks>
internal sealed class Judgements
{
    // A node holds on to its sets, however large, and to what was found of them: it is not this that keeps it.
    private readonly ConditionalWeakTable<ChainNode, Answer> known = [];
    private readonly ProofCache cache;
    private AddressCut[] cuts = [AddressCut.Whole, AddressCut.Whole];
    private PacketField[]? fields;
    private PacketFunction[,]? sessions;
    private Func<PacketFunction[,]> find = () => throw new NotQuickException();

    /// <param name="cache">Where results live.</param>
    public Judgements(ProofCache cache) => this.cache = cache;

    /// <summary>The condition that each of them is, by <see cref="IndexOf"/>.</summary>
    /// <remarks>Of judgements that are the same function the first one stands for all.</remarks>
    public PacketField[] Fields => fields ??= [.. Enumerable.Range(0, 4).Select(i =>
        PacketField.JudgedIn + (byte)Enumerable.Range(0, i + 1).First(first =>
            Sessions[i, 0].Same(Sessions[first, 0]) && Sessions[i, 1].Same(Sessions[first, 1])))];

    private PacketFunction[,] Sessions => sessions ??= find();

    /// <summary>A proof begins, in which they may be asked for.</summary>
    /// <param name="vnic">One of those that have the groups.</param>
    /// <param name="expectation">What their rules accept.</param>
    public void Begin(Vnic vnic, Expectation expectation) => find = () =>
    {
        var found = new PacketFunction[4, 2];
        foreach (Direction direction in (Direction[])[Direction.Ingress, Direction.Egress])
        {
            foreach (bool mirrored in (bool[])[false, true])
            {
                for (int family = 0; family < 2; family++)
                {
                    found[IndexOf(direction, mirrored), family] =
                        expectation.Session(vnic, direction, mirrored, Claims.Families[family], cuts[family]);
                }
            }
        }

        return found;
    };

    /// <summary>The functions, which may be large.</summary>
    public void Forget()
    {
        sessions = null;
        find = () => throw new NotQuickException();
    }

    public static int IndexOf(Direction direction, bool mirrored) =>
        (direction == Direction.Ingress ? 0 : 2) + (mirrored ? 1 : 0);

    /// <returns>The condition that the chain is; null: none of them.</returns>
    public PacketField? Of(ChainNode chain, ChainSource table)
    {
        if (!CouldBe(chain))
        {
            return null;
        }

        if (!known.TryGetValue(chain, out Answer? answer))
        {
            known.Add(chain, answer = new Answer(Find(chain, table)));
            chain.Summaries.Clear(); // as large as the policy, and not asked for again
        }

        return answer.Field;
    }

    /// <summary>Whether a chain has the shape of a judgement.</summary>
    public static bool CouldBe(ChainNode chain) => chain.IsClosed && !chain.IsTemplate
        && (chain.Reads & (Reads.Ct | Reads.Limit)) == 0;

    private PacketField? Find(ChainNode chain, ChainSource table)
    {
        try
        {
            PacketFunction?[] accepts = [.. Claims.Families.Select(family => Accepted(chain, table, family))];
            if (accepts[0] is not PacketFunction v4 || accepts[1] is not PacketFunction v6)
            {
                return null;
            }

            cuts = [.. accepts.OfType<PacketFunction>().Select(accepted =>
                accepted.Sources.Count > accepted.Destinations.Count ? accepted.Sources : accepted.Destinations)];
            for (int i = 0; i < 4; i++)
            {
                if (Fields[i] == PacketField.JudgedIn + (byte)i
                    && IsSame(v4, Sessions[i, 0], IpFamily.V4) && IsSame(v6, Sessions[i, 1], IpFamily.V6))
                {
                    return Fields[i];
                }
            }

            return null;
        }
        catch (TooManyAtomsException)
        {
            return null;
        }
    }

    // In a new session there are all packets that there are in any.
    private bool IsSame(PacketFunction one, PacketFunction other, IpFamily family) =>
        !new Differences(cache.Functions).Between(one, other, Situation.All[0], family).Any();

    /// <summary>1 where the chain returns, 0 where it drops; null: it does something else.</summary>
    private PacketFunction? Accepted(ChainNode chain, ChainSource table, IpFamily family)
    {
        var mentioned = new Mentioned();
        var run = new SymbolicRun(table, cache.Functions, cache.Outcomes, cache.Running, new Circumstances
        {
            Table = NftFamily.Inet,
            Hook = NftHook.Forward,
            Family = family,
            In = Interfaces.Any,
            Out = Interfaces.Any,
            State = CtState.New,
        }, mentioned);
        Summary summary = run.Closed(chain, PacketMark.Original);
        Outcome returned = Outcome.Start(PacketMark.Of(0)) with { Kind = OutcomeKind.Returned };
        Outcome dropped = returned with { Kind = OutcomeKind.Dropped };
        bool plain = summary.Epochs.Count + run.Reached.Count == 0;
        foreach (uint mark in summary.Marks) // it was looked at; but to no end?
        {
            plain &= run.Closed(chain, PacketMark.Of(mark)).Effect.Same(summary.Effect);
        }

        foreach (int leaf in summary.Effect.Leaves(cache.Functions.Diagrams, null))
        {
            plain &= cache.Outcomes[leaf] == returned || cache.Outcomes[leaf] == dropped;
        }

        return !plain ? null : cache.Functions.Map(
            summary.Effect, leaf => cache.Outcomes[leaf].Kind == OutcomeKind.Returned ? 1 : 0);
    }

    /// <param name="Field">The condition that a chain is; null: none of them.</param>
    private sealed record Answer(PacketField? Field);
}
