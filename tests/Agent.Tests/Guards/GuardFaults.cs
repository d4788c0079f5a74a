using Agent.Nftables;
using Agent.Tests.Proof;
using static Agent.Tests.Proof.TableFaults;

namespace Agent.Tests.Guards;

/// <summary>Seeds one fault into the guards of a ruleset.</summary>
internal static class GuardFaults
{
    private static readonly TableFaults In = new(_ => false);

    private static readonly TableFault[] Kinds =
    [
        ChangeElement, In.DropElement, In.RemoveRule, In.SwapRules, RemoveExpression, ChangeExpression,
        ChangeExpression, ChangeExpression, Retarget,
    ];

    /// <returns>The faulty ruleset, and what was done to it.</returns>
    public static (Ruleset Ruleset, string What) Seed(Random random, Ruleset ruleset) =>
        TableFaults.Seed(random, ruleset, NftFamily.Netdev, Kinds);

    private static (NftTable, string)? ChangeElement(Random random, NftTable table) =>
        In.InSet(random, table, (_, rows) =>
        {
            byte[] row = rows[random.Next(rows.Length)];
            string text = Convert.ToHexString(row);
            row[random.Next(row.Length)] ^= (byte)(1 << random.Next(8));
            return $"{text} is now {Convert.ToHexString(row)}";
        });

    // A load that nothing tests is what a kernel takes too; a test of nothing that was loaded it refuses.
    private static (NftTable, string)? RemoveExpression(Random random, NftTable table) =>
        In.RemoveExpression(random, table, gone => gone is NftExpr.Cmp or NftExpr.Bitwise or NftExpr.VerdictIs
            or NftExpr.ObjectRef or NftExpr.Lookup or NftExpr.Range);

    private static (NftTable, string)? ChangeExpression(Random random, NftTable table) =>
        In.ChangeExpression(random, table, Changed);

    private static NftExpr? Changed(Random random, NftExpr expr) => expr switch
    {
        NftExpr.Cmp e => random.Next(4) == 0
            ? e with { Op = e.Op == NftCmpOp.Eq ? NftCmpOp.Neq : NftCmpOp.Eq }
            : e with { Data = Flipped(random, e.Data) },
        NftExpr.Range e => random.Next(2) == 0
            ? e with { From = Flipped(random, e.From) } : e with { To = Flipped(random, e.To) },
        NftExpr.Bitwise e => random.Next(2) == 0
            ? e with { Mask = Flipped(random, e.Mask) } : e with { Xor = Flipped(random, e.Xor) },
        NftExpr.Lookup e => e with { Negated = !e.Negated },
        NftExpr.Payload { Offset: >= 2 } e => e with { Offset = e.Offset - (uint)random.Next(1, 3) },
        NftExpr.Payload e => e with { Offset = e.Offset + (uint)random.Next(1, 3) },
        NftExpr.Meta { Key: NftMetaKey.L4Proto } e => e with { Key = NftMetaKey.NfProto },
        NftExpr.VerdictIs { Verdict.Chain: null } e => Otherwise(random, e),
        _ => null,
    };

    // To another counter, or another chain of the same guard: forwards only, or they lead in circles.
    private static (NftTable, string)? Retarget(Random random, NftTable table) =>
        In.InRule(random, table, (exprs, at) =>
        {
            switch (exprs[at])
            {
                case NftExpr.ObjectRef e:
                    exprs[at] = e with { Name = table.Objects[random.Next(table.Objects.Count)].Name };
                    return $"counts in {exprs[at]}";
                case NftExpr.VerdictIs { Verdict: { Code: NftVerdictCode.Goto } verdict }:
                    NftVerdict other = verdict with { Code = NftVerdictCode.Jump };
                    exprs[at] = new NftExpr.VerdictIs(other);
                    return $"jumps to {other.Chain}";
                default:
                    return null;
            }
        });
}
