using System.Buffers.Binary;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>How a comparison comes out, for all packets at once.</summary>
internal abstract record Answer
{
    private Answer()
    {
    }

    public static readonly Answer Yes = new Known(true);
    public static readonly Answer No = new Known(false);

    public sealed record Known(bool Holds) : Answer;

    /// <summary>1 where it holds, 0 elsewhere.</summary>
    public sealed record Where(PacketFunction Packets) : Answer;

    /// <summary>It depends on the name of an interface that is not known.</summary>
    public sealed record ByName(SymbolKind Side, Func<string, bool> Holds) : Answer;

    /// <summary>It may hold or not, and must not matter.</summary>
    public sealed record Either : Answer;

    public sealed record Unknown(string Reason) : Answer;
}

/// <summary>Compares register bytes with constants.</summary>
/// <param name="functions">Where results live.</param>
/// <param name="circumstances">What is known.</param>
/// <param name="mentioned">Takes note of values that unknown marks are taken not to have.</param>
internal sealed class Comparison(PacketFunctions functions, Circumstances circumstances, Mentioned mentioned)
{
    private readonly record struct Test(NftCmpOp Op, byte[] First, byte[] Last)
    {
        /// <summary>Whether bytes satisfy it; a range has <see cref="NftCmpOp.Eq"/> or Neq, and two bounds.</summary>
        public bool Holds(ReadOnlySpan<byte> value)
        {
            int low = value.SequenceCompareTo(First);
            int high = value.SequenceCompareTo(Last);
            return Op switch
            {
                NftCmpOp.Eq => low >= 0 && high <= 0,
                NftCmpOp.Neq => low < 0 || high > 0,
                NftCmpOp.Lt => low < 0,
                NftCmpOp.Lte => low <= 0,
                NftCmpOp.Gt => low > 0,
                _ => low >= 0,
            };
        }

        public bool IsEquality => Op is NftCmpOp.Eq or NftCmpOp.Neq && First.AsSpan().SequenceEqual(Last);
    }

    public Answer Compare(ReadOnlySpan<SymbolicByte> bytes, NftCmpOp op, ReadOnlySpan<byte> data) =>
        op is < NftCmpOp.Eq or > NftCmpOp.Gte
            ? new Answer.Unknown($"comparison {op}") : Answer(bytes, new Test(op, data.ToArray(), data.ToArray()));

    public Answer Within(
        ReadOnlySpan<SymbolicByte> bytes, bool negated, ReadOnlySpan<byte> from, ReadOnlySpan<byte> to) =>
        Answer(bytes, new Test(negated ? NftCmpOp.Neq : NftCmpOp.Eq, from.ToArray(), to.ToArray()));

    private Answer Answer(ReadOnlySpan<SymbolicByte> bytes, Test test)
    {
        SymbolKind kind = SymbolKind.Constant;
        bool mixed = false;
        foreach (SymbolicByte one in bytes)
        {
            mixed |= kind != SymbolKind.Constant && !one.IsConstant && one.Kind != kind;
            kind = one.IsConstant ? kind : one.Kind;
        }

        if (mixed)
        {
            return new Answer.Unknown("a comparison of several fields at once");
        }

        SymbolicByte[] value = bytes.ToArray();
        switch (kind)
        {
            case SymbolKind.Constant:
                return Known(test.Holds(Evaluate(value, [])));
            case SymbolKind.Protocol:
                return Small(value, PacketField.Protocol, 1, test);
            case SymbolKind.SourcePort:
                return Small(value, PacketField.Source, 2, test);
            case SymbolKind.DestinationPort:
                return Small(value, PacketField.Destination, 2, test);
            case SymbolKind.TcpFlags:
                return Small(value, PacketField.Flags, 1, test);
            case SymbolKind.SourceAddress or SymbolKind.DestinationAddress:
                return Address(value, test);
            case SymbolKind.InName or SymbolKind.OutName:
                return new Answer.ByName(kind, name =>
                {
                    byte[] field = new byte[16];
                    NftElements.PutName(field, name);
                    return test.Holds(Evaluate(value, field));
                });
            case SymbolKind.InIndex or SymbolKind.OutIndex:
                return test.IsEquality && IsWhole(value, 4) && !test.First.AsSpan().ContainsAnyExcept((byte)0)
                    ? Known(test.Op == NftCmpOp.Neq) : new Answer.Unknown("the number of an interface");
            case SymbolKind.DestinationMac:
                return Mac(value, test);
            case SymbolKind.FrameType:
                return test.IsEquality && IsWhole(value, 2)
                    && BinaryPrimitives.ReadUInt16BigEndian(test.First) is 0x0800 or 0x86dd or 0x0806
                    ? Known(test.Op == NftCmpOp.Neq) : new Answer.Unknown("frames of another type");
            case SymbolKind.NextHeader:
                return new Answer.Either();
            case SymbolKind.PacketMark:
                return Mark(value, test);
            case SymbolKind.CtMark:
                return Epoch(value, test);
            default:
                return new Answer.Unknown("a byte of the packet that is not modelled");
        }
    }

    private const int MacBytes = 6;

    private static Answer Known(bool holds) => holds ? Proof.Answer.Yes : Proof.Answer.No;

    private static byte[] Evaluate(SymbolicByte[] bytes, ReadOnlySpan<byte> source)
    {
        byte[] value = new byte[bytes.Length];
        Evaluate(bytes, source, value);
        return value;
    }

    private static void Evaluate(SymbolicByte[] bytes, ReadOnlySpan<byte> source, Span<byte> value)
    {
        for (int i = 0; i < value.Length; i++)
        {
            value[i] = bytes[i].IsConstant ? bytes[i].Xor : bytes[i].At(source[bytes[i].Index]);
        }
    }

    private static bool IsWhole(SymbolicByte[] bytes, int length)
    {
        if (bytes.Length != length)
        {
            return false;
        }

        for (int i = 0; i < length; i++)
        {
            if (bytes[i] != SymbolicByte.Of(bytes[i].Kind, i))
            {
                return false;
            }
        }

        return true;
    }

    // Any condition on a field of one or two bytes, by trying its values.
    private Answer.Where Small(SymbolicByte[] bytes, PacketField field, int length, Test test)
    {
        if (test.IsEquality && IsWhole(bytes, length))
        {
            ushort value = length == 1 ? test.First[0] : BinaryPrimitives.ReadUInt16BigEndian(test.First);
            (int equal, int other) = test.Op == NftCmpOp.Eq ? (1, 0) : (0, 1);
            return new Answer.Where(functions.Of(functions.Diagrams.Where(
                field, value, value, Diagrams.Leaf(equal), Diagrams.Leaf(other))));
        }

        string key = $"{field} {test.Op} {Convert.ToHexString(test.First)} {Convert.ToHexString(test.Last)} "
            + string.Join(' ', bytes.Select(one => one.ToString()));
        if (!functions.Conditions.TryGetValue(key, out PacketFunction? known))
        {
            functions.Conditions.Add(key, known = ByTrial(bytes, field, length, test));
        }

        return new Answer.Where(known);
    }

    private PacketFunction ByTrial(SymbolicByte[] bytes, PacketField field, int length, Test test)
    {
        int max = Diagrams.MaxOf(field);
        bool isLowAsked = length == 1 || Array.Exists(bytes, one => !one.IsConstant && one.Index == 1);
        int step = isLowAsked ? 1 : 1 << 8; // of an ICMP type and code often only the type is asked for
        var ends = new List<ushort>();
        var children = new List<Diagram>();
        Span<byte> source = stackalloc byte[sizeof(ushort)];
        Span<byte> tried = stackalloc byte[bytes.Length];
        for (int value = 0; value <= max; value += step)
        {
            BinaryPrimitives.WriteUInt16BigEndian(source, (ushort)(length == 1 ? value << 8 : value));
            Evaluate(bytes, source, tried);
            Diagram child = Diagrams.Leaf(test.Holds(tried) ? 1 : 0);
            ushort end = (ushort)(value + step - 1);
            if (children.Count > 0 && children[^1] == child)
            {
                ends[^1] = end;
                continue;
            }

            ends.Add(end);
            children.Add(child);
        }

        return functions.Of(functions.Diagrams.Node(field, [.. ends], [.. children]));
    }

    // (address and MASK) ^ XOR against a value, where MASK is a prefix; or a whole address against bounds.
    private Answer Address(SymbolicByte[] bytes, Test test)
    {
        bool source = Array.Exists(bytes, one => one.Kind == SymbolKind.SourceAddress);
        int length = circumstances.Family == IpFamily.V4 ? 4 : 16;
        if (bytes.Length != length)
        {
            return new Answer.Unknown("a part of an address");
        }

        UInt128 mask = 0;
        UInt128 xor = 0;
        for (int i = 0; i < length; i++)
        {
            if (!bytes[i].IsConstant && bytes[i].Index != i)
            {
                return new Answer.Unknown("an address with its bytes in another order");
            }

            mask = (mask << 8) + (bytes[i].IsConstant ? (byte)0 : bytes[i].Mask);
            xor = (xor << 8) + bytes[i].Xor;
        }

        UInt128 ceiling = IpPrefix.Ceiling(circumstances.Family);
        UInt128 host = ceiling ^ mask;
        if ((host & unchecked(host + 1)) != 0 || (!test.IsEquality && (mask != ceiling || xor != 0)))
        {
            return new Answer.Unknown("an address under a mask that is no prefix");
        }

        UInt128 low = SetNode.Number(test.First) ^ xor;
        UInt128 high = test.IsEquality ? low | host : SetNode.Number(test.Last);
        if (test.IsEquality && (low & host) != 0)
        {
            return Known(test.Op == NftCmpOp.Neq);
        }

        return Address(source, Bounds(test.Op, low, high, ceiling), test.Op == NftCmpOp.Neq);
    }

    private static (UInt128 First, UInt128 Last)? Bounds(NftCmpOp op, UInt128 low, UInt128 high, UInt128 ceiling) =>
        op switch
        {
            NftCmpOp.Lt => low == 0 ? null : (0, low - 1),
            NftCmpOp.Lte => (0, low),
            NftCmpOp.Gt => low == ceiling ? null : (low + 1, ceiling),
            NftCmpOp.Gte => (low, ceiling),
            _ => high < low ? null : (low, high),
        };

    private Answer Address(bool source, (UInt128 First, UInt128 Last)? inside, bool negated)
    {
        if (inside is not { } bounds)
        {
            return Known(negated);
        }

        var builder = new AddressFunction.Builder(circumstances.Family, 3);
        builder.Add(bounds.First, bounds.Last, 1);
        PacketFunction within = functions.Of(builder.Build(), source);
        return new Answer.Where(negated ? functions.Map(within, value => 1 - value) : within);
    }

    private Answer Mark(SymbolicByte[] bytes, Test test)
    {
        if (test.IsEquality && IsWithin(bytes, circumstances.PassedBits))
        {
            return Known(test.Holds(Evaluate(bytes, stackalloc byte[4])));
        }

        if (!test.IsEquality || !IsWhole(bytes, 4))
        {
            return new Answer.Unknown("bits of a packet mark that others set");
        }

        mentioned.AddMark(BitConverter.ToUInt32(test.First));
        return Known(test.Op == NftCmpOp.Neq);
    }

    // Only bits that are asked for by this mask.
    private static bool IsWithin(SymbolicByte[] bytes, uint mask)
    {
        byte[] known = BitConverter.GetBytes(mask);
        return bytes.Length == known.Length && Array.TrueForAll(
            bytes, one => one.IsConstant || (one.Mask & ~known[one.Index]) == 0);
    }

    // The whole address against another one, or whether it is a group's.
    private Answer Mac(SymbolicByte[] bytes, Test test)
    {
        const byte GroupBit = 1;
        FrameDestination to = circumstances.FrameTo!;
        if (!test.IsEquality || bytes.Length != MacBytes)
        {
            return new Answer.Unknown("a part of a MAC address");
        }

        if (bytes[0] == new SymbolicByte(SymbolKind.DestinationMac, 0, GroupBit, 0)
            && Array.TrueForAll(bytes[1..], one => one == SymbolicByte.Of(0)))
        {
            byte[] value = [to.Kind == FrameReceiver.Group ? GroupBit : (byte)0, 0, 0, 0, 0, 0];
            return Known(test.Holds(value));
        }

        return !IsWhole(bytes, MacBytes) || (test.First[0] & GroupBit) != 0
            ? new Answer.Unknown("a MAC address under a mask, or that of a group")
            : to.Kind != FrameReceiver.Receiver ? Known(test.Op == NftCmpOp.Neq)
            : new Answer.ByName(SymbolKind.OutName, name =>
                (to.Macs.TryGetValue(name, out MacAddress mac) && test.First.AsSpan().SequenceEqual(mac.ToBytes()))
                    == (test.Op == NftCmpOp.Eq));
    }

    private Answer Epoch(SymbolicByte[] bytes, Test test)
    {
        uint mask = 0;
        uint xor = 0;
        if (!test.IsEquality || bytes.Length != 4)
        {
            return new Answer.Unknown("a conntrack mark that is not compared as a whole");
        }

        for (int i = 0; i < 4; i++)
        {
            if (!bytes[i].IsConstant && bytes[i].Index != i)
            {
                return new Answer.Unknown("a conntrack mark with its bytes in another order");
            }

            mask |= (uint)(bytes[i].IsConstant ? (byte)0 : bytes[i].Mask) << 8 * Shift(i);
            xor |= (uint)bytes[i].Xor << 8 * Shift(i);
        }

        uint value = BitConverter.ToUInt32(test.First) ^ xor;
        if (circumstances.Epoch is not null || mask != circumstances.EpochMask)
        {
            return new Answer.Unknown("bits of a conntrack mark that are not ours, or not all of those that are");
        }

        if ((value & ~mask) == 0)
        {
            mentioned.AddEpoch(value);
        }

        return Known(test.Op == NftCmpOp.Neq);
    }

    /// <summary>A byte's place in a number of host order.</summary>
    internal static int Shift(int index) => BitConverter.IsLittleEndian ? index : 3 - index;
}

/// <summary>Values that marks which nobody knows were compared with: each is a case of its own.</summary>
internal sealed class Mentioned
{
    // Most runs mention none, and a summary is kept of each.
    private static readonly IReadOnlySet<uint> None = new HashSet<uint>();

    private HashSet<uint>? marks;
    private HashSet<uint>? epochs;

    public IReadOnlySet<uint> Marks => marks ?? None;

    public IReadOnlySet<uint> Epochs => epochs ?? None;

    public void AddMark(uint value) => (marks ??= []).Add(value);

    public void AddEpoch(uint value) => (epochs ??= []).Add(value);

    public void Add(Summary summary) => Add(summary.Marks, summary.Epochs);

    public void Add(Mentioned other) => Add(other.Marks, other.Epochs);

    private void Add(IReadOnlySet<uint> otherMarks, IReadOnlySet<uint> otherEpochs)
    {
        if (otherMarks.Count > 0)
        {
            (marks ??= []).UnionWith(otherMarks);
        }

        if (otherEpochs.Count > 0)
        {
            (epochs ??= []).UnionWith(otherEpochs);
        }
    }
}
