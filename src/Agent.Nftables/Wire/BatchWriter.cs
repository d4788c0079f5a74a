using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Operations as one batch. All messages of an operation carry the same sequence number.</summary>
/// <remarks>
/// <code>
/// sequence:   first          first + 1 + index of the operation          first + 1 + number of operations
///             BATCH_BEGIN    NEW..., DEL...                               BATCH_END (left out in a dry run)
/// </code>
/// </remarks>
internal static class BatchWriter
{
    internal static void Write(
        NlWriter writer, IReadOnlyList<NftOp> ops, uint firstSequence, uint? generation, uint tableFlags, bool dryRun)
    {
        NfMessage.BatchBegin(writer, firstSequence, generation);
        for (int i = 0; i < ops.Count; i++)
        {
            WriteOp(writer, ops[i], unchecked(firstSequence + 1 + (uint)i), (uint)i + 1, tableFlags);
        }

        if (!dryRun)
        {
            NfMessage.BatchEnd(writer, unchecked(firstSequence + 1 + (uint)ops.Count));
        }
    }

    private static void WriteOp(NlWriter writer, NftOp op, uint sequence, uint id, uint tableFlags)
    {
        switch (op)
        {
            case NftOp.AddElements add:
                ElementWriter.Write(
                    writer, NftMsg.NewSetElem, NlmF.Create, sequence, op.Family, op.Table, add.Set, add.Elements);
                return;
            case NftOp.DeleteElements delete:
                ElementWriter.Write(
                    writer, NftMsg.DelSetElem, NlmF.None, sequence, op.Family, op.Table, delete.Set, delete.Elements);
                return;
            default:
                (ushort type, NlmF flags) = Header(op);
                NlMark message = NfMessage.Begin(writer, type, flags, sequence, op.Family);
                WriteAttrs(writer, op, id, tableFlags);
                writer.EndMessage(message);
                return;
        }
    }

    private static (ushort Type, NlmF Flags) Header(NftOp op) => op switch
    {
        NftOp.AddTable => (NftMsg.NewTable, NlmF.Create),
        NftOp.DeleteTable => (NftMsg.DelTable, NlmF.None),
        NftOp.AddChain => (NftMsg.NewChain, NlmF.Create),
        NftOp.DeleteChain => (NftMsg.DelChain, NlmF.None),
        NftOp.FlushChain => (NftMsg.DelRule, NlmF.None),
        NftOp.AddRule => (NftMsg.NewRule, NlmF.Create | NlmF.Append),
        NftOp.AddSet => (NftMsg.NewSet, NlmF.Create),
        NftOp.DeleteSet => (NftMsg.DelSet, NlmF.None),
        NftOp.AddObject => (NftMsg.NewObj, NlmF.Create),
        NftOp.DeleteObject => (NftMsg.DelObj, NlmF.None),
        _ => throw new ArgumentOutOfRangeException(nameof(op), op, "unknown operation"),
    };

    private static void WriteAttrs(NlWriter writer, NftOp op, uint id, uint tableFlags)
    {
        switch (op)
        {
            case NftOp.AddTable:
                writer.PutText(NftaTable.Name, op.Table);
                writer.PutU32Be(NftaTable.Flags, tableFlags);
                break;
            case NftOp.DeleteTable:
                writer.PutText(NftaTable.Name, op.Table);
                break;
            case NftOp.AddChain chain:
                ChainCodec.Write(writer, op.Family, op.Table, chain.Chain, chain.Hook);
                break;
            case NftOp.DeleteChain chain:
                ChainCodec.Write(writer, op.Family, op.Table, chain.Chain, hook: null);
                break;
            case NftOp.FlushChain chain:
                writer.PutText(NftaRule.Table, op.Table);
                writer.PutText(NftaRule.Chain, chain.Chain);
                break;
            case NftOp.AddRule rule:
                RuleCodec.Write(writer, op.Table, rule.Chain, rule.Rule);
                break;
            case NftOp.AddSet set:
                SetCodec.Write(writer, op.Table, set.Set, id);
                break;
            case NftOp.DeleteSet set:
                writer.PutText(NftaSet.Table, op.Table);
                writer.PutText(NftaSet.Name, set.Set);
                break;
            case NftOp.AddObject add:
                ObjectCodec.Write(writer, op.Table, add.Object);
                break;
            case NftOp.DeleteObject delete:
                ObjectCodec.WriteName(writer, op.Table, delete.Object);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(op), op, "unknown operation");
        }
    }
}
