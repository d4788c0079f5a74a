namespace Agent.Netlink.Nflog;

/// <summary>A packet that a log expression has reported; bytes as they came, nothing of them decoded.</summary>
public sealed record LoggedPacket
{
    /// <summary>linux/netfilter.h NFPROTO_* of the hook: 5, 7, or that of the packet (2, 10) in inet.</summary>
    public byte Family { get; init; }

    /// <summary>linux/netfilter.h NF_INET_*; in the netdev family NF_NETDEV_*.</summary>
    public byte Hook { get; init; }

    /// <summary>skb->protocol as a number: 0x0800, 0x86dd, 0x0806.</summary>
    public ushort EtherType { get; init; }

    /// <summary>What the log expression says of it.</summary>
    public string Prefix { get; init; } = "";

    public uint Mark { get; init; }

    /// <summary>Index of the device that <c>iifname</c> meant; 0: none.</summary>
    public uint In { get; init; }

    /// <summary>Index of the device that <c>oifname</c> meant; 0: none.</summary>
    public uint Out { get; init; }

    /// <summary>When it was received; null where the kernel does not say (output hooks).</summary>
    public DateTimeOffset? Time { get; init; }

    /// <summary>The link layer's header as it was received; empty if there is none.</summary>
    public ReadOnlyMemory<byte> Link { get; init; }

    /// <summary>The outermost VLAN tag, where the kernel has taken it off: priority and id.</summary>
    public ushort? VlanTag { get; init; }

    /// <summary>Counts the group's packets, those too that were lost on the way here.</summary>
    public uint? Sequence { get; init; }

    /// <summary>From the network header on, cut off at the copy range.</summary>
    public ReadOnlyMemory<byte> Network { get; init; }
}
