using System.Numerics;
using System.Runtime.CompilerServices;
using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>Two policy epochs change names; all others keep theirs.</summary>
/// <param name="Mask">Bits of the conntrack mark that carry the epoch.</param>
/// <param name="One">Within the mask.</param>
/// <param name="Other">Within the mask; the same as <paramref name="One"/>: nothing changes.</param>
internal readonly record struct EpochSwap(uint Mask, uint One, uint Other)
{
    public uint Of(uint epoch) => epoch == One ? Other : epoch == Other ? One : epoch;

    /// <summary>A whole mark or a part of one: what is not the epoch stays.</summary>
    public uint OfMark(uint mark) => (mark & ~Mask) | Of(mark & Mask);
}

/// <summary>
/// Calls the live epoch the same in every proof: so what was proved under one that has passed holds under the next.
/// </summary>
/// <remarks>
/// A program that compares epochs only as a whole, with constants, and writes only constant ones, does the same to the
/// same packets when two epochs change names in it, in what is asked, and in the marks of sessions. Where it does
/// anything else with conntrack marks, epochs keep their names.
/// </remarks>
internal sealed class EpochNames
{
    private sealed class Use
    {
        public static readonly Use None = new();
        public static readonly Use Whole = new();
        public static readonly Use Other = new();
    }

    private readonly ConditionalWeakTable<NftChain, Use> known = [];
    private uint knownMask;

    /// <summary>The live epoch gets the name that stands for it in every proof, if it can.</summary>
    public EpochSwap ForStanding(Ruleset ruleset, ProofFacts facts)
    {
        (uint mask, uint epoch) = (facts.EpochMask, facts.Epoch);
        if (mask != knownMask)
        {
            known.Clear();
            knownMask = mask;
        }

        bool can = epoch != 0 && (epoch & ~mask) == 0
            && ruleset.Tables.All(table => table.Chains.All(chain => UseIn(chain) != Use.Other));
        uint standing = 1u << BitOperations.TrailingZeroCount(mask);
        return new EpochSwap(mask, epoch, can ? standing : epoch);
    }

    /// <summary>The ruleset by other names. What does not name epochs is the same object.</summary>
    public Ruleset Renamed(Ruleset ruleset, EpochSwap swap) => swap.One == swap.Other ? ruleset
        : new Ruleset(ruleset.Tables.Select(table => Renamed(table, swap)).ToValueArray());

    private NftTable Renamed(NftTable table, EpochSwap swap) =>
        table.Chains.All(chain => UseIn(chain) == Use.None) ? table : table with
        {
            Chains = table.Chains.Select(chain => UseIn(chain) == Use.None ? chain : chain with
            {
                Rules = chain.Rules.Select(rule => rule with { Exprs = Renamed(rule.Exprs, swap) }).ToValueArray(),
            }).ToValueArray(),
        };

    private Use UseIn(NftChain chain)
    {
        if (!known.TryGetValue(chain, out Use? use))
        {
            Use[] uses = [.. chain.Rules.Select(rule => UseIn(rule.Exprs, knownMask)).Distinct()];
            use = uses.Contains(Use.Other) ? Use.Other : uses.Contains(Use.Whole) ? Use.Whole : Use.None;
            known.Add(chain, use);
        }

        return use;
    }

    private static Use UseIn(ValueArray<NftExpr> exprs, uint mask)
    {
        Use use = Use.None;
        for (int i = 0; i < exprs.Count; i++)
        {
            if (exprs[i] is NftExpr.Ct { Key: NftCtKey.Mark })
            {
                if (!IsWhole(exprs, i, mask))
                {
                    return Use.Other;
                }

                use = Use.Whole;
                i += 2;
            }
            else if (exprs[i] is NftExpr.CtSet { Key: NftCtKey.Mark } || (use == Use.Whole && !IsApart(exprs, i)))
            {
                return Use.Other;
            }
        }

        return use;
    }

    /// <summary>A mark is loaded, masked, and compared or written back, with an epoch or around it.</summary>
    private static bool IsWhole(ValueArray<NftExpr> exprs, int at, uint mask)
    {
        NftReg register = ((NftExpr.Ct)exprs[at]).Dreg;
        if (at + 2 >= exprs.Count || exprs[at + 1] is not NftExpr.Bitwise { Mask.Count: 4, Xor.Count: 4 } part
            || part.Sreg != register || part.Dreg != register)
        {
            return false;
        }

        uint kept = Host(part.Mask) & mask;
        uint added = Host(part.Xor) & mask;
        return exprs[at + 2] switch
        {
            NftExpr.Cmp { Op: NftCmpOp.Eq or NftCmpOp.Neq, Data.Count: 4 } e =>
                e.Sreg == register && added == 0 && (kept == 0 || kept == mask),
            NftExpr.CtSet { Key: NftCtKey.Mark } e =>
                e.Sreg == register && (kept == 0 || (kept == mask && added == 0)),
            _ => false,
        };
    }

    /// <summary>It does not read what a mark has left in a register.</summary>
    private static bool IsApart(ValueArray<NftExpr> exprs, int at) => exprs[at] switch
    {
        NftExpr.VerdictIs or NftExpr.Immediate or NftExpr.Counter or NftExpr.Log or NftExpr.ObjectRef => true,
        NftExpr.MetaSet e => exprs[at - 1] is NftExpr.Immediate { Data.Count: 4 } value && value.Dreg == e.Sreg,
        _ => false,
    };

    private static ValueArray<NftExpr> Renamed(ValueArray<NftExpr> exprs, EpochSwap swap)
    {
        NftExpr[] renamed = [.. exprs];
        for (int i = 0; i < renamed.Length; i++)
        {
            if (renamed[i] is not NftExpr.Ct { Key: NftCtKey.Mark })
            {
                continue;
            }

            var part = (NftExpr.Bitwise)renamed[i + 1];
            bool keeps = (Host(part.Mask) & swap.Mask) != 0;
            if (renamed[i + 2] is NftExpr.Cmp compared && keeps)
            {
                renamed[i + 2] = compared with { Data = Wire(swap.OfMark(Host(compared.Data))) };
            }
            else if (renamed[i + 2] is NftExpr.CtSet && !keeps)
            {
                renamed[i + 1] = part with { Xor = Wire(swap.OfMark(Host(part.Xor))) };
            }
        }

        return ValueArray.Create<NftExpr>(renamed);
    }

    private static uint Host(ValueArray<byte> value) => BitConverter.ToUInt32(value.Items.AsSpan());

    private static ValueArray<byte> Wire(uint value) => ValueArray.Create<byte>(BitConverter.GetBytes(value));
}
