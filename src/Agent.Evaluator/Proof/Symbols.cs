using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>
/// Conditions that a proof takes as they are: expressions of <see cref="ChainNode.IsTemplate"/> chains that stand for
/// them, and the functions of packets that they are.
/// </summary>
/// <remarks>
/// What is proved with a condition as a free variable holds whatever the condition is. So the rules and the addresses
/// of a vNIC need not be run through all its ways and situations; it is enough that the program's condition and the
/// policy's are the same function, once (<see cref="Judgements"/>, <see cref="VnicView"/>). Only nodes that were made
/// here carry such expressions: in a ruleset that was read, an expression of that name is one that nobody can read.
/// </remarks>
internal static class Symbols
{
    private const byte EitherWay = 0xff;

    /// <summary>Matches where the condition holds, or where it does not.</summary>
    /// <param name="field">The condition.</param>
    /// <param name="holds">Which of the two.</param>
    /// <param name="family">The only one it speaks of; null: both.</param>
    public static NftExpr.Opaque Expr(PacketField field, bool holds, IpFamily? family) =>
        new("symbol", [(byte)field, holds ? (byte)1 : (byte)0, (byte)(family ?? 0)]);

    /// <summary>Matches or not; the chain has to come to the same in both cases.</summary>
    public static NftExpr.Opaque Either { get; } = new("symbol", [EitherWay]);

    public static bool IsEither(NftExpr.Opaque expr) => expr.Data[0] == EitherWay;

    public static (PacketField Field, bool Holds, IpFamily? Family) Read(NftExpr.Opaque expr) =>
        ((PacketField)expr.Data[0], expr.Data[1] != 0, expr.Data[2] == 0 ? null : (IpFamily)expr.Data[2]);

    /// <summary>1 where the condition holds (or does not), 0 elsewhere.</summary>
    public static PacketFunction Where(PacketFunctions functions, PacketField field, bool holds) =>
        functions.Of(functions.Diagrams.Where(
            field, 1, 1, Diagrams.Leaf(holds ? 1 : 0), Diagrams.Leaf(holds ? 0 : 1)));

    /// <summary>A chain that returns what the condition accepts, drops the rest, and overwrites the mark.</summary>
    public static NftChain Judge(PacketField field) => new("judge", Hook: null,
    [
        new NftRule([new NftExpr.Immediate(NftReg.R0, [0, 0, 0, 0]), new NftExpr.MetaSet(NftMetaKey.Mark, NftReg.R0),
            Expr(field, holds: true, family: null), new NftExpr.VerdictIs(NftVerdict.Return)]),
        new NftRule([new NftExpr.VerdictIs(NftVerdict.Drop)]),
    ]);

    public static bool IsJudge(NftChain template) => template.Name == "judge";
}

/// <summary>What the policy side of a proof knows of a vNIC: conditions, not what is in them.</summary>
/// <param name="vnic">Of other vNICs nothing is known.</param>
/// <param name="judges">The condition that each judgement is, see <see cref="Judgements.Fields"/>.</param>
/// <param name="hasOwn">Whether it has addresses of a family: V4, V6.</param>
/// <param name="functions">Where results live.</param>
internal sealed class Subject(
    Vnic vnic, PacketField[] judges, (bool V4, bool V6) hasOwn, PacketFunctions functions)
{
    public PacketFunction Judge(Vnic of, Direction direction, bool mirrored) => !ReferenceEquals(of, vnic)
        ? throw new NotQuickException()
        : Symbols.Where(functions, judges[Judgements.IndexOf(direction, mirrored)], holds: true);

    public PacketFunction Own(Vnic of, IpFamily family, bool source) => !ReferenceEquals(of, vnic)
        ? throw new NotQuickException()
        : !(family == IpFamily.V4 ? hasOwn.V4 : hasOwn.V6) ? functions.Of(0)
        : Symbols.Where(functions, source ? PacketField.OwnSource : PacketField.OwnDestination, holds: true);
}
