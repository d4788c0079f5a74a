using System.Collections.Immutable;
using System.Globalization;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Guards;

/// <summary>Asks the judges of single frames about a difference that the prover found.</summary>
internal static class FrameConfirmation
{
    private const int ShownBytes = 128;

    /// <returns>The counterexample, or why it is none.</returns>
    public static (Counterexample? Example, string? Disagreement) Of(
        Ruleset ruleset, Vnic vnic, FrameShape shape, ImmutableArray<byte> frame)
    {
        HookInput input = InputOf(vnic, frame.AsSpan());
        Trace trace = RulesetEvaluator.Evaluate(ruleset, input);
        FrameVerdict expected = GuardOracle.Judge(vnic, input.Packet);
        PacketFate wanted = expected.Passes ? PacketFate.Passed : PacketFate.Dropped;
        PacketFate? observed = FateOf(ruleset, vnic, input, trace, expected);
        string text = string.Create(CultureInfo.InvariantCulture, $"{shape.Name}, {frame.Length} bytes: ")
            + Convert.ToHexStringLower(frame.AsSpan()[..Math.Min(frame.Length, ShownBytes)])
            + (frame.Length > ShownBytes ? "..." : "");
        return observed is { } fate && fate != wanted
            ? (new Counterexample(
                $"{vnic.InterfaceName} -> its guard", "frame", default, input, wanted, WhyOf(expected), fate, trace)
            {
                Frame = text,
            }, null)
            : (null, $"the judges agree about {text}: the oracle says {wanted} ({WhyOf(expected)}), the run {trace}");
    }

    public static HookInput InputOf(Vnic vnic, ReadOnlySpan<byte> frame) => new()
    {
        Family = NftFamily.Netdev,
        Hook = NftHook.Ingress,
        Packet = PacketBytes.OfFrame(frame),
        InInterface = vnic.InterfaceName,
    };

    /// <summary>What became of it. A drop is the right one only if its kind is counted, and nothing else.</summary>
    public static PacketFate? FateOf(
        Ruleset ruleset, Vnic vnic, HookInput input, Trace trace, FrameVerdict expected)
    {
        string[] counted = [.. trace.Steps.SelectMany(step => CountersOf(ruleset, step))];
        bool rightly = expected.Fault is { } fault
            ? counted is [var one] && one.StartsWith(FrameFaults.PrefixOf(fault), StringComparison.Ordinal)
                && CounterNames.IsOf(vnic.InterfaceName, one.AsSpan(FrameFaults.PrefixOf(fault).Length))
            : counted.Length == 0;
        return trace.Verdict switch
        {
            HookVerdict.Unknown => null,
            HookVerdict.Drop => expected.Passes || rightly ? PacketFate.Dropped : PacketFate.CountedAsAnother,
            _ when trace.Mark != input.Mark => PacketFate.MarkLeftBehind,
            _ => !expected.Passes || rightly ? PacketFate.Passed : PacketFate.CountedAsAnother,
        };
    }

    private static IEnumerable<string> CountersOf(Ruleset ruleset, TraceStep step) => ruleset.Tables
        .Where(table => table.Family == NftFamily.Netdev && table.Name == step.Table)
        .SelectMany(table => table.Chains).Where(chain => chain.Name == step.Chain)
        .SelectMany(chain => chain.Rules[step.Rule].Exprs.OfType<NftExpr.ObjectRef>()).Select(item => item.Name);

    private static string WhyOf(FrameVerdict verdict) =>
        verdict.Fault is { } fault ? $"{FrameFaults.KindOf(fault)}: {verdict.Why}" : verdict.Why;
}
