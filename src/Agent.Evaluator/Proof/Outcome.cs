using System.Globalization;

namespace Agent.Evaluator.Proof;

internal enum OutcomeKind : byte
{
    /// <summary>The program goes on.</summary>
    Running,

    /// <summary>It left the chain at its end, or by <c>return</c>.</summary>
    Returned,
    Accepted,
    Dropped,

    /// <summary>It depends on which of several interfaces the packet leaves or enters by.</summary>
    Stopped,

    /// <summary>Something that this build does not model.</summary>
    Unknown,

    /// <summary>There is no such packet.</summary>
    Absent,
}

/// <summary>The packet mark: as the packet brought it, unread, or a known value.</summary>
/// <param name="IsOriginal">As the packet brought it; no constant of the program, if it is not said to be one.</param>
/// <param name="Value">Otherwise its value.</param>
internal readonly record struct PacketMark(bool IsOriginal, uint Value)
{
    public static readonly PacketMark Original = new(true, 0);

    public static PacketMark Of(uint value) => new(false, value);
}

/// <summary>What a program has made of a packet so far.</summary>
/// <param name="Kind">Where it is.</param>
/// <param name="Mark">The packet mark.</param>
/// <param name="CtKept">Bits of the entry's mark that are still those it had.</param>
/// <param name="CtXor">What was then combined with them; the value of the other bits.</param>
/// <param name="Zone">The conntrack zone that was chosen before conntrack; null: none.</param>
/// <param name="Detail">Stopped: a number of <see cref="Outcomes.StopOf"/>. Unknown: of a reason.</param>
internal readonly record struct Outcome(
    OutcomeKind Kind, PacketMark Mark, uint CtKept = uint.MaxValue, uint CtXor = 0, ushort? Zone = null,
    int Detail = 0)
{
    public static Outcome Start(PacketMark mark) => new(OutcomeKind.Running, mark);

    public bool LeftCtMark => CtKept == uint.MaxValue && CtXor == 0;
}

/// <summary>Where a program stopped: it goes on there, once the interface is known.</summary>
/// <param name="Chain">The chain.</param>
/// <param name="Rule">The rule that asked.</param>
/// <param name="State">What was made of the packet when the rule began.</param>
internal sealed record Stop(ChainNode Chain, int Rule, Outcome State)
{
    /// <summary>It was jumped to: where it would return to is not known.</summary>
    public bool IsInJump { get; init; }
}

/// <summary>Numbers outcomes, so that they are leaves of diagrams; and circumstances.</summary>
internal sealed class Outcomes
{
    private readonly List<Outcome> list = [];
    private readonly Dictionary<Outcome, int> numbers = [];
    private readonly List<Stop> stops = [];
    private readonly Dictionary<Stop, int> stopNumbers = [];
    private readonly List<string> reasons = [];
    private readonly Dictionary<Circumstances, Context> contexts = [];

    public Outcome this[int number] => list[number];

    public int Count => list.Count;

    /// <summary>How many circumstances have a number.</summary>
    public int Contexts => contexts.Count;

    public int Of(Outcome outcome)
    {
        if (!numbers.TryGetValue(outcome, out int number))
        {
            numbers.Add(outcome, number = list.Count);
            list.Add(outcome);
        }

        return number;
    }

    /// <summary>A stop's number; see <see cref="StopAt"/>.</summary>
    public int NumberOf(Stop stop)
    {
        if (!stopNumbers.TryGetValue(stop, out int number))
        {
            stopNumbers.Add(stop, number = stops.Count);
            stops.Add(stop);
        }

        return number;
    }

    public Stop StopAt(int number) => stops[number];

    public int Stopped(Stop stop)
    {
        int number = NumberOf(stop);
        return Of(new Outcome(OutcomeKind.Stopped, PacketMark.Of(0), Detail: number));
    }

    public int Unknown(string reason)
    {
        int number = reasons.IndexOf(reason);
        if (number < 0)
        {
            number = reasons.Count;
            reasons.Add(reason);
        }

        return Of(new Outcome(OutcomeKind.Unknown, PacketMark.Of(0), Detail: number));
    }

    public Context ContextOf(Circumstances circumstances)
    {
        if (!contexts.TryGetValue(circumstances, out Context? context))
        {
            contexts.Add(circumstances, context = new Context(this, circumstances, contexts.Count));
        }

        return context;
    }

    public Stop StopOf(Outcome outcome) => stops[outcome.Detail];

    public string ReasonOf(Outcome outcome) => reasons[outcome.Detail];

    public string Text(int number) => this[number] switch
    {
        { Kind: OutcomeKind.Unknown } unknown => $"cannot verify: {ReasonOf(unknown)}",
        var outcome => string.Create(CultureInfo.InvariantCulture, $"{outcome.Kind}"),
    };
}
