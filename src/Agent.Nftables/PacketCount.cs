namespace Agent.Nftables;

/// <summary>A counter's reading. Counts since the counter was made; bytes are of layer 3 and above.</summary>
public readonly record struct PacketCount(ulong Packets, ulong Bytes);
