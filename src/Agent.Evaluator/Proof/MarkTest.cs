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
    /// All that the rule does where the test holds: it writes this mark, and goes on. Null: it does something else.
    /// </summary>
    public uint? Writes { get; private init; }

    /// <summary>Where it goes on, if it <see cref="Writes"/>: a chain; null: the next rule.</summary>
    public string? Target { get; private init; }

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

        if (at == exprs.Count
            || exprs[at] is not NftExpr.Cmp { Op: NftCmpOp.Eq or NftCmpOp.Neq, Data.Count: sizeof(uint) } test
            || test.Sreg != load.Dreg)
        {
            return null;
        }

        string? target = exprs[^1] is NftExpr.VerdictIs { Verdict: { Code: NftVerdictCode.Goto, Chain: string name } }
            ? name : null;
        return new MarkTest(mask, xor, BitConverter.ToUInt32(test.Data.Items.AsSpan()), test.Op == NftCmpOp.Eq)
        {
            Writes = WrittenBy(exprs.Items.AsSpan()[(at + 1)..^(target is null ? 0 : 1)]),
            Target = target,
        };
    }

    private static uint? WrittenBy(ReadOnlySpan<NftExpr> exprs) =>
        exprs is [NftExpr.Immediate { Data.Count: sizeof(uint) } value, NftExpr.MetaSet { Key: NftMetaKey.Mark } store]
            && store.Sreg == value.Dreg ? BitConverter.ToUInt32(value.Data.Items.AsSpan()) : null;
}
