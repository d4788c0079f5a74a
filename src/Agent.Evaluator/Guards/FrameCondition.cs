using System.Collections.Immutable;

namespace Agent.Evaluator.Guards;

/// <summary>A condition on frames, made of tests.</summary>
internal abstract record FrameCondition
{
    private FrameCondition()
    {
    }

    public static readonly FrameCondition Always = new Every([]);
    public static readonly FrameCondition Never = new Some([]);

    public sealed record One(FrameTest Test) : FrameCondition;

    public sealed record Every(ImmutableArray<FrameCondition> Parts) : FrameCondition;

    public sealed record Some(ImmutableArray<FrameCondition> Parts) : FrameCondition;

    public sealed record Not(FrameCondition Condition) : FrameCondition;

    public static FrameCondition All(params ReadOnlySpan<FrameCondition> parts) => new Every([.. parts]);

    public static FrameCondition Any(params ReadOnlySpan<FrameCondition> parts) => new Some([.. parts]);

    public static FrameCondition operator !(FrameCondition condition) => new Not(condition);

    /// <summary>All tests in it.</summary>
    public IEnumerable<FrameTest> Tests() => this switch
    {
        One one => [one.Test],
        Every every => every.Parts.SelectMany(part => part.Tests()),
        Some some => some.Parts.SelectMany(part => part.Tests()),
        Not not => not.Condition.Tests(),
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    /// <summary>One function where it holds, another one elsewhere.</summary>
    public FrameDiagram Choose(
        Func<FrameTest, FrameDiagram, FrameDiagram, FrameDiagram> test, FrameDiagram then, FrameDiagram otherwise)
    {
        switch (this)
        {
            case One one:
                return test(one.Test, then, otherwise);
            case Every every:
                return every.Parts.Reverse().Aggregate(then, (rest, part) => part.Choose(test, rest, otherwise));
            case Some some:
                return some.Parts.Reverse().Aggregate(otherwise, (rest, part) => part.Choose(test, then, rest));
            default:
                return ((Not)this).Condition.Choose(test, otherwise, then);
        }
    }
}

/// <summary>Some frames, and what should become of them.</summary>
/// <param name="When">Which.</param>
/// <param name="Fault">Null: they pass.</param>
internal sealed record FrameClause(FrameCondition When, FrameFault? Fault);
