using System.Buffers.Binary;
using System.Collections.Immutable;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>Asks the judges of single packets about a difference that the prover found.</summary>
/// <param name="ruleset">As it was read.</param>
/// <param name="oracle">The policy.</param>
/// <param name="facts">The host; the epoch by its own name.</param>
/// <param name="swap">Names of epochs in questions.</param>
internal sealed class Confirmation(Ruleset ruleset, PolicyOracle oracle, ProofFacts facts, EpochSwap swap)
{
    private const uint ForeignMark = 0x0000_5a5a;
    private const uint ConfirmedStatus = 8;

    /// <returns>The counterexample, or why it is none.</returns>
    public (Counterexample? Example, string? Disagreement) Of(Question question, Difference difference, ushort? zone)
    {
        IpFamily family = question.Circumstances.Family;
        PacketPoint point = difference.Box.Sample;
        PacketTuple tuple = difference.TupleOf(family, point);
        (PacketFate expected, string why) = zone is ushort number
            ? (PacketFate.Passed, $"its zone is {number}")
            : PacketExpectation.Of(oracle, facts, question.Route, question.Situation, tuple, point);
        (HookInput first, HookInput last, Trace trace) = Run(question, tuple, point);
        PacketFate? observed = FateOf(question, first, trace, zone);
        bool tolerated = question.LimitExceeded && observed == PacketFate.Dropped;
        return observed is { } fate && fate != expected && !tolerated
            ? (new Counterexample(
                question.Route.Name, question.Situation.Name, tuple, last, expected, why, fate, trace), null)
            : (null, $"the judges disagree about {tuple}: the prover says {(PacketFate)difference.Observed} and not "
                + $"{(PacketFate)difference.Expected}, the oracle {expected} ({why}), the run {trace}");
    }

    /// <summary>The same for a frame that is no IP.</summary>
    public (Counterexample? Example, string? Disagreement) OfFrame(Question question, PacketFate expected)
    {
        const int ArpBytes = 28;
        const ushort Experimental = 0x88b5; // IEEE 802, for local experiments
        ushort type = question.Circumstances.FrameType is ushort known and not Circumstances.OtherType
            ? known : Experimental;
        PacketTuple nobody = new(IpFamily.V4, 0, 0, 0);
        Route route = question.Route;
        var leg = new Leg(route.Table, route.Hook, question.Circumstances.In, question.Circumstances.Out);
        ImmutableArray<byte> link = LinkOf(route, leg, nobody);
        HookInput input = InputOf(question, leg, nobody, default) with
        {
            Packet = new PacketBytes(
                [.. link[..^2], (byte)(type >> 8), (byte)(type & 0xff)], [.. new byte[ArpBytes]], -1, 0, type),
        };
        Trace trace = RulesetEvaluator.Evaluate(ruleset, input);
        return FateOf(question, input, trace, null) is { } fate && fate != expected
            ? (new Counterexample(
                route.Name, question.Situation.Name, nobody, input, expected, "a frame that is no IP", fate, trace)
            {
                Frame = $"a frame of type {type:x4}",
            }, null)
            : (null, $"the judges disagree about frames of type {type:x4}: {trace}");
    }

    // Hook by hook: what one has made of the packet, the next one finds.
    private (HookInput First, HookInput Last, Trace Whole) Run(
        Question question, PacketTuple tuple, PacketPoint point)
    {
        Route route = question.Route;
        IReadOnlyList<Leg> legs = route.Legs.IsEmpty
            ? [new Leg(route.Table, route.Hook, route.In, route.Out)] : route.Legs;
        HookInput first = InputOf(question, legs[0], tuple, point);
        HookInput input = first;
        Trace trace = RulesetEvaluator.Evaluate(ruleset, input);
        foreach (Leg leg in legs.Skip(1))
        {
            if (trace.Verdict != HookVerdict.Accept)
            {
                break;
            }

            bool confirmed = leg.IsConfirmed && first.Ct.HasEntry;
            input = InputOf(question, leg, tuple, point) with
            {
                Mark = trace.Mark,
                Ct = first.Ct with
                {
                    Mark = first.Ct.HasEntry ? trace.CtMark : 0,
                    Status = confirmed ? ConfirmedStatus : first.Ct.Status,
                },
            };
            Trace next = RulesetEvaluator.Evaluate(ruleset, input);
            trace = next with { Steps = [.. trace.Steps, .. next.Steps] };
        }

        return (first, input, trace);
    }

    private HookInput InputOf(Question question, Leg leg, PacketTuple tuple, PacketPoint point)
    {
        Route route = question.Route;
        Situation situation = question.Situation;
        return new HookInput
        {
            Family = leg.Table,
            Hook = leg.Hook,
            Packet = PacketOf(tuple, point) with { Link = LinkOf(route, leg, tuple) },
            InInterface = leg.In.Single ?? leg.In.Names[0],
            OutInterface = leg.Out.Single ?? leg.Out.Names[0],
            InIndex = leg.In == Interfaces.None ? 0u : 3u,
            OutIndex = leg.Out == Interfaces.None ? 0u : 4u,
            Mark = question.Mark.IsOriginal ? Unnamed() : question.Mark.Value,
            Ct = new CtInput(situation.State, situation.Reply, MarkOf(question), route.Zone,
                situation.Confirmed ? ConfirmedStatus : 0),
            SessionLimitExceeded = question.LimitExceeded,
        };
    }

    private static ImmutableArray<byte> LinkOf(Route route, Leg leg, PacketTuple tuple)
    {
        if (leg.Table != NftFamily.Bridge || route.FrameTo is not { } to)
        {
            return [];
        }

        ulong nobody = 0x0e00_0000_0001;
        while (to.Macs.ContainsValue(new MacAddress(nobody)))
        {
            nobody++;
        }

        MacAddress receiver = to.Kind switch
        {
            FrameReceiver.Group => new MacAddress(0xffff_ffff_ffff),
            FrameReceiver.Receiver when to.Macs.TryGetValue(leg.Out.Names[0], out MacAddress mac) => mac,
            _ => new MacAddress(nobody),
        };
        byte[] type = tuple.Family == IpFamily.V4 ? [0x08, 0x00] : [0x86, 0xdd];
        return [.. receiver.ToBytes(), .. new MacAddress(nobody).ToBytes(), .. type];
    }

    // 0 is what packets have; if that is a trusted mark, any other.
    private uint Unnamed()
    {
        uint mark = 0;
        while (oracle.Settings.TrustedMarks.Contains(mark))
        {
            mark += 0x11;
        }

        return mark;
    }

    private uint MarkOf(Question question)
    {
        uint lowest = facts.EpochMask & ~(facts.EpochMask - 1);
        uint stale = facts.Epoch ^ lowest;
        return (question.Circumstances.Epoch is uint epoch ? swap.Of(epoch) : stale)
            | (ForeignMark & ~facts.EpochMask);
    }

    private static PacketBytes PacketOf(PacketTuple tuple, PacketPoint point)
    {
        if (point.Transport == TransportSize.None)
        {
            PacketBytes cut = PacketBytes.Of(tuple);
            return cut with { TransportOffset = -1, Protocol = 0 };
        }

        int length = point.Transport - 1;
        PacketBytes packet = PacketBytes.Of(tuple, new PacketShape { TransportBytes = length });
        byte[] bytes = [.. packet.Network];
        Span<byte> transport = bytes.AsSpan(packet.TransportOffset);
        if (length >= 2)
        {
            BinaryPrimitives.WriteUInt16BigEndian(transport, point.Source);
        }

        if (length == 1)
        {
            transport[0] = (byte)(point.Source >> 8);
        }

        if (length >= 4)
        {
            BinaryPrimitives.WriteUInt16BigEndian(transport[2..], point.Destination);
        }

        if (length > 13)
        {
            transport[13] = point.Flags;
        }

        return packet with { Network = [.. bytes] };
    }

    private PacketFate? FateOf(Question question, HookInput input, Trace trace, ushort? zone)
    {
        bool entry = input.Ct.HasEntry;
        uint changed = entry ? trace.CtMark ^ input.Ct.Mark : 0;
        bool live = entry && (trace.CtMark & facts.EpochMask) == facts.Epoch;
        bool tidy = trace.Mark == input.Mark || (question.Route.IsOurs && trace.Mark == 0);
        return trace.Verdict switch
        {
            HookVerdict.Unknown => null,
            HookVerdict.Drop => changed == 0 ? PacketFate.Dropped : PacketFate.DroppedButMarked,
            _ when zone is ushort number => (trace.Zone ?? 0) == number && tidy
                ? PacketFate.Passed : PacketFate.WrongZone,
            _ => (changed & ~facts.EpochMask) != 0 ? PacketFate.ForeignBitsChanged
                : !tidy ? PacketFate.MarkLeftBehind
                : live ? PacketFate.Admitted
                : changed != 0 ? PacketFate.ForeignBitsChanged : PacketFate.Passed,
        };
    }
}
