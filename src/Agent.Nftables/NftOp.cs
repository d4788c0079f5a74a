namespace Agent.Nftables;

/// <summary>One message of a transaction.</summary>
public abstract record NftOp(NftFamily Family, string Table)
{
    /// <summary>The chain, set or object that the message is about; the table where it is about that.</summary>
    public string ObjectName => this switch
    {
        AddChain op => op.Chain,
        DeleteChain op => op.Chain,
        FlushChain op => op.Chain,
        AddRule op => op.Chain,
        AddSet op => op.Set.Name,
        DeleteSet op => op.Set,
        AddElements op => op.Set.Name,
        DeleteElements op => op.Set.Name,
        AddObject op => op.Object.Name,
        DeleteObject op => op.Object.Name,
        _ => Table,
    };

    /// <summary>For logs: what is done to which object.</summary>
    public sealed override string ToString() => $"{GetType().Name} {Family} {Table} {ObjectName}";

    public sealed record AddTable(NftFamily Family, string Table) : NftOp(Family, Table);

    public sealed record DeleteTable(NftFamily Family, string Table) : NftOp(Family, Table);

    public sealed record AddChain(NftFamily Family, string Table, string Chain, BaseHook? Hook) : NftOp(Family, Table);

    public sealed record DeleteChain(NftFamily Family, string Table, string Chain) : NftOp(Family, Table);

    /// <summary>
    /// Deletes every rule of a chain. Refilled in the same batch no packet is lost (nftables-facts.md 2.3).
    /// </summary>
    public sealed record FlushChain(NftFamily Family, string Table, string Chain) : NftOp(Family, Table);

    /// <summary>Appends a rule.</summary>
    public sealed record AddRule(NftFamily Family, string Table, string Chain, NftRule Rule) : NftOp(Family, Table);

    /// <summary>Creates a set without its elements.</summary>
    public sealed record AddSet(NftFamily Family, string Table, NftSet Set) : NftOp(Family, Table);

    public sealed record DeleteSet(NftFamily Family, string Table, string Set) : NftOp(Family, Table);

    /// <summary>
    /// Adds rows of <paramref name="Elements"/>; the codec splits what exceeds one attribute (64 KiB).
    /// </summary>
    public sealed record AddElements(NftFamily Family, string Table, NftSet Set, NftElements Elements)
        : NftOp(Family, Table);

    public sealed record DeleteElements(NftFamily Family, string Table, NftSet Set, NftElements Elements)
        : NftOp(Family, Table);

    public sealed record AddObject(NftFamily Family, string Table, NftObject Object) : NftOp(Family, Table);

    public sealed record DeleteObject(NftFamily Family, string Table, NftObject Object) : NftOp(Family, Table);
}
