namespace Agent.Nftables;

/// <summary>linux/netfilter.h, NFPROTO_*. The agent's own tables are inet, netdev and bridge.</summary>
public enum NftFamily : byte
{
    Inet = 1,
    Ipv4 = 2,
    Arp = 3,
    Netdev = 5,
    Bridge = 7,
    Ipv6 = 10,
}

/// <summary>What our tables hold, or should hold: a value, equal by content, in one order.</summary>
/// <remarks>
/// Tables are sorted by family, then name; chains, sets and objects by name (ordinal); elements by bytes. Handles,
/// generations and counter readings are not part of it.
/// </remarks>
public sealed record Ruleset(ValueArray<NftTable> Tables)
{
    public static readonly Ruleset Empty = new([]);

    public NftTable? Find(NftFamily family, string name)
    {
        foreach (NftTable table in Tables)
        {
            if (table.Family == family && table.Name == name)
            {
                return table;
            }
        }

        return null;
    }
}

/// <summary>One table. Its owner and persistence belong to the socket that writes it, not to the ruleset.</summary>
public sealed record NftTable(
    NftFamily Family,
    string Name,
    ValueArray<NftChain> Chains,
    ValueArray<NftSet> Sets,
    ValueArray<NftObject> Objects)
{
    /// <summary>Its chains are not hooked: no packet meets it (NFT_TABLE_F_DORMANT). Never so in ours.</summary>
    public bool Dormant { get; init; }
}

/// <summary>linux/netfilter.h, NF_INET_* and NF_BR_* (the same numbers), NF_NETDEV_*.</summary>
public enum NftHook : byte
{
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,

    /// <summary>netdev family; the number on the wire is 0.</summary>
    Ingress = 5,

    /// <summary>netdev family; the number on the wire is 1.</summary>
    Egress = 6,
}

/// <summary>Where a base chain is attached. Ours have the policy accept: what is not ours passes.</summary>
/// <param name="Hook">The hook point.</param>
/// <param name="Priority">Lower runs earlier; conntrack is -200.</param>
/// <param name="Device">netdev family only: the device's name.</param>
public sealed record BaseHook(NftHook Hook, int Priority, string? Device = null)
{
    /// <summary>What reaches the end of the chain is dropped.</summary>
    public bool PolicyDrop { get; init; }

    /// <summary>What was read and cannot be said with the other members (another type, a second device).</summary>
    public string? Unexpected { get; init; }
}

/// <summary>A base chain (with a hook) or a regular chain.</summary>
public sealed record NftChain(string Name, BaseHook? Hook, ValueArray<NftRule> Rules);

/// <summary>
/// A rule: expressions in order, and a comment that <c>nft list</c> prints (at most 127 bytes of UTF-8).
/// </summary>
public sealed record NftRule(ValueArray<NftExpr> Exprs, string? Comment = null);

/// <summary>A stateful object. Readings are not part of its value.</summary>
public abstract record NftObject(string Name)
{
    public sealed record Counter(string Name) : NftObject(Name);

    /// <summary>A conntrack timeout policy, attached to new sessions (nf_tables.h NFT_OBJECT_CT_TIMEOUT).</summary>
    /// <param name="Name">The object's name.</param>
    /// <param name="L3">NFPROTO_IPV4 (2), NFPROTO_IPV6 (10) or NFPROTO_INET (1).</param>
    /// <param name="L4">IANA protocol number.</param>
    /// <param name="Seconds">State (CTA_TIMEOUT_TCP_*, CTA_TIMEOUT_UDP_* ...) and its idle time.</param>
    public sealed record CtTimeout(string Name, ushort L3, byte L4, ValueArray<CtTimeoutValue> Seconds)
        : NftObject(Name);

    /// <summary>An object of a kind that this build does not write.</summary>
    public sealed record Opaque(string Name, uint Type) : NftObject(Name);
}

public readonly record struct CtTimeoutValue(byte State, uint Seconds);
