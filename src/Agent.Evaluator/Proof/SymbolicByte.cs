using System.Runtime.CompilerServices;

namespace Agent.Evaluator.Proof;

/// <summary>Where a byte of a register came from.</summary>
internal enum SymbolKind : byte
{
    Constant,
    Protocol,
    SourcePort,
    DestinationPort,
    TcpFlags,
    SourceAddress,
    DestinationAddress,
    CtMark,
    PacketMark,
    InIndex,
    OutIndex,
    InName,
    OutName,

    /// <summary>Of the receiver, in a frame's header.</summary>
    DestinationMac,

    /// <summary>The type of a frame that is neither IP nor ARP.</summary>
    FrameType,

    /// <summary>An IPv6 header's next header, which need not be the upper layer.</summary>
    NextHeader,

    /// <summary>A byte of the packet that no diagram asks for.</summary>
    Other,
}

/// <summary>One byte of a register: <c>(byte Index of the source and Mask) ^ Xor</c>.</summary>
internal readonly record struct SymbolicByte(SymbolKind Kind, byte Index, byte Mask, byte Xor)
{
    public static SymbolicByte Of(byte value) => new(SymbolKind.Constant, 0, 0, value);

    public static SymbolicByte Of(SymbolKind kind, int index) => new(kind, (byte)index, 0xff, 0);

    public bool IsConstant => Kind == SymbolKind.Constant;

    public SymbolicByte Masked(byte mask, byte xor)
    {
        byte kept = (byte)(Mask & mask);
        byte value = (byte)(Xor & mask ^ xor);
        return kept == 0 ? Of(value) : this with { Mask = kept, Xor = value };
    }

    public byte At(byte source) => (byte)(source & Mask ^ Xor);

    public override string ToString() => $"{(int)Kind}.{Index}.{Mask}.{Xor}";
}

/// <summary>The data registers of one rule, for all packets at once. Copied where the rule's path forks.</summary>
internal sealed class SymbolicRegisters
{
    private const int Bytes = 64;
    private const int WordBytes = 4;

    private Data data;
    private uint written; // a bit for each word

    public SymbolicRegisters()
    {
    }

    private SymbolicRegisters(SymbolicRegisters other)
    {
        data = other.data;
        written = other.written;
    }

    public SymbolicRegisters Copy() => new(this);

    /// <returns>False if the value does not fit.</returns>
    public bool TryStore(int word, ReadOnlySpan<SymbolicByte> value)
    {
        int from = word * WordBytes;
        int words = (value.Length + WordBytes - 1) / WordBytes;
        if (value.IsEmpty || from + words * WordBytes > Bytes)
        {
            return false;
        }

        Span<SymbolicByte> place = ((Span<SymbolicByte>)data).Slice(from, words * WordBytes);
        place.Fill(SymbolicByte.Of(0));
        value.CopyTo(place);
        written |= Words(word, words);
        return true;
    }

    /// <returns>Empty if part of it was never written, or lies outside.</returns>
    public ReadOnlySpan<SymbolicByte> Load(int word, int length)
    {
        int from = word * WordBytes;
        int words = (length + WordBytes - 1) / WordBytes;
        return length <= 0 || from + length > Bytes || (Words(word, words) & ~written) != 0
            ? [] : ((ReadOnlySpan<SymbolicByte>)data).Slice(from, length);
    }

    private static uint Words(int first, int count) => (1u << count) - 1 << first;

    [InlineArray(Bytes)]
    private struct Data
    {
        private SymbolicByte first;
    }
}
