using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>Circumstances with their number, and with what of them a part of a program asks for.</summary>
internal sealed class Context(Outcomes outcomes, Circumstances circumstances, int number)
{
    private Context?[]? asked; // most are only asked themselves

    public Circumstances Circumstances => circumstances;

    public int Number => number;

    /// <summary>The same, as if what is not read did not matter.</summary>
    public Context For(Reads reads) => reads == Reads.All && circumstances.Hook == NftHook.Forward ? this
        : (asked ??= new Context?[(int)Reads.All + 1])[(int)reads] ??= outcomes.ContextOf(AskedBy(reads));

    private Circumstances AskedBy(Reads reads)
    {
        Circumstances part = circumstances with { Hook = NftHook.Forward };
        part = (reads & Reads.In) != 0 ? part : part with { In = Interfaces.Any };
        part = (reads & Reads.Out) != 0 ? part : part with { Out = Interfaces.Any };
        part = (reads & Reads.Link) != 0 ? part : part with { FrameTo = null };
        part = (reads & Reads.Limit) != 0 ? part : part with { LimitExceeded = null };
        return (reads & Reads.Ct) != 0 ? part : part with
        {
            State = circumstances.HasEntry ? CtState.New : CtState.Invalid, // tells whether headers are whole
            Reply = false,
            Confirmed = false,
            Zone = 0,
            EpochMask = 0,
            Epoch = null,
            LiveEpoch = 0,
        };
    }
}
