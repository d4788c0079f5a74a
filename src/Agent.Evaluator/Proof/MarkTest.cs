using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>A rule that begins with <c>(mark and Mask) ^ Xor == Value</c>, or with the opposite.</summary>
/// <param name="Mask">In host order, like the mark in a register.</param>
/// <param name="Xor">Likewise.</param>
/// <param name="Value">Likewise.</param>
/// <param name="Equal">False: it matches what is not equal.</param>
internal sealed record MarkTest(uint Mask, uint Xor, uint Value, bool Equal)
{
    /// <summary>
    /// All that the rule does where the test holds: it writes this mark, and goes on to the next rule. Null: it does
    /// something else.
    /// </summary>
    public uint? Writes { get; private init; }

    public bool Holds(uint mark) => (mark & Mask ^ Xor) == Value == Equal;

    public static MarkTest? Of(NftRule rule)
    {
        ValueArray<NftExpr> exprs = rule.Exprs;
        if (exprs.Count < 2 || exprs[0] is not NftExpr.Meta { Key: NftMetaKey.Mark } load)
        {
            return null;
        }

        uint mask = uint.MaxValue;
        uint xor = 0;
        int at = 1;
        if (exprs[1] is NftExpr.Bitwise { Mask.Count: sizeof(uint), Xor.Count: sizeof(uint) } bits
            && bits.Sreg == load.Dreg && bits.Dreg == load.Dreg)
        {
            mask = BitConverter.ToUInt32(bits.Mask.Items.AsSpan());
            xor = BitConverter.ToUInt32(bits.Xor.Items.AsSpan());
            at = 2;
        }

        return at < exprs.Count
            && exprs[at] is NftExpr.Cmp { Op: NftCmpOp.Eq or NftCmpOp.Neq, Data.Count: sizeof(uint) } test
            && test.Sreg == load.Dreg
            ? new MarkTest(mask, xor, BitConverter.ToUInt32(test.Data.Items.AsSpan()), test.Op == NftCmpOp.Eq)
            {
                Writes = WrittenBy(exprs, at + 1),
            }
            : null;
    }

    private static uint? WrittenBy(ValueArray<NftExpr> exprs, int from) =>
        exprs.Count == from + 2
            && exprs[from] is NftExpr.Immediate { Data.Count: sizeof(uint) } value
            && exprs[from + 1] is NftExpr.MetaSet { Key: NftMetaKey.Mark } store && store.Sreg == value.Dreg
            ? BitConverter.ToUInt32(value.Data.Items.AsSpan()) : null;
}
