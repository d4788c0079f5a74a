using System.Buffers.Binary;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>What a lookup finds, for all packets at once.</summary>
/// <param name="Rows">
/// Leaves: 0 is no element; n is an element that carries <see cref="SetNode.DataOf"/>(n); or
/// <see cref="SetNode.Ambiguous"/>.
/// </param>
/// <param name="Reason">Why there is none.</param>
internal readonly record struct SetAnswer(PacketFunction? Rows, string? Reason)
{
    public static implicit operator SetAnswer(PacketFunction rows) => new(rows, null);

    public static SetAnswer Unknown(string reason) => new(null, reason);
}

/// <summary>Outcomes with marks that were looked up in a map, and what became of them.</summary>
/// <param name="Leaves">Numbers of the outcomes.</param>
/// <param name="Results">One for each.</param>
/// <param name="Mentions">What was mentioned on the way.</param>
internal sealed record MarkedLeaves(int[] Leaves, PacketFunction[] Results, Mentioned Mentions);

/// <summary>A set or map as a function of its key; equal content is one object, and what it computes is kept.</summary>
internal sealed class SetNode
{
    /// <summary>Elements overlap and carry different data.</summary>
    public const int Ambiguous = 1 << 27;

    private const int ConstantBytesMax = 16;
    private const int MarkedMax = 16;

    private readonly PacketFunctions functions;
    private readonly int[] dataOfRow;
    private readonly Dictionary<(SymbolKind, SymbolKind, SymbolKind, SymbolKind, UInt128), SetAnswer> known = [];
    private readonly Dictionary<int, RowIndex> indexes = [];
    private readonly PacketFunction?[] byAddress = new PacketFunction?[2];
    private readonly Dictionary<(ChainNode? Next, bool LiveBehind, int Context), MarkedLeaves> marked = [];
    private (string Name, string Chain)[]? targets;
    private Dictionary<uint, uint>? marks;

    public SetNode(NftSet set, PacketFunctions functions)
    {
        Set = set;
        this.functions = functions;
        dataOfRow = new int[set.Unexpected is null ? set.Elements.Count : 0];
        for (int row = 0; row < dataOfRow.Length; row++)
        {
            dataOfRow[row] = functions.Data.Of(SetSearch.DataOf(Set, row));
        }
    }

    public NftSet Set { get; }

    public bool IsReadable => Set.Unexpected is null && SetSearch.IsReadable(Set);

    /// <param name="answer">From 1 on.</param>
    public ReadOnlySpan<byte> DataOf(int answer) => functions.Data[answer];

    /// <summary>One key.</summary>
    public int Find(ReadOnlySpan<byte> key)
    {
        int row = SetSearch.Find(Set, key);
        return row == SetSearch.Ambiguous ? Ambiguous : row < 0 ? 0 : dataOfRow[row];
    }

    /// <summary>One packet mark, and nothing else, leads to another.</summary>
    public bool IsMarkMap => IsReadable && Set is
    { Kind: NftSetKind.MarkMap, Interval: false, Key: [NftType.Mark] } && HasNoKeyTwice();

    // Rows are sorted.
    private bool HasNoKeyTwice()
    {
        for (int row = 1; row < Set.Elements.Count; row++)
        {
            if (Set.Elements[row][..Set.KeyBytes].SequenceEqual(Set.Elements[row - 1][..Set.KeyBytes]))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Where <see cref="IsMarkMap"/>: the mark that a mark leads to; null: none.</summary>
    public uint? MarkOf(uint mark)
    {
        if (marks is null)
        {
            marks = new Dictionary<uint, uint>(Set.Elements.Count);
            for (int row = 0; row < Set.Elements.Count; row++)
            {
                ReadOnlySpan<byte> element = Set.Elements[row];
                marks[BitConverter.ToUInt32(element)] = BitConverter.ToUInt32(element[Set.KeyBytes..]);
            }
        }

        return marks.TryGetValue(mark, out uint found) ? found : null;
    }

    /// <summary>What became of the marks that were looked up here last on their way to a chain.</summary>
    /// <returns>Null: they were others.</returns>
    public MarkedLeaves? MarkedOf(ChainNode? next, bool liveBehind, int context, int[] leaves) =>
        marked.TryGetValue((next, liveBehind, context), out MarkedLeaves? known)
            && known.Leaves.AsSpan().SequenceEqual(leaves) ? known : null;

    public void Keep(ChainNode? next, bool liveBehind, int context, MarkedLeaves one)
    {
        if (marked.Count == MarkedMax)
        {
            marked.Clear();
        }

        marked[(next, liveBehind, context)] = one;
    }

    /// <summary>Of a map from names of interfaces to verdicts: each name, and the chain that it leads to.</summary>
    public IEnumerable<(string Name, string Chain)> Targets => targets ??= [.. FindTargets()];

    private IEnumerable<(string Name, string Chain)> FindTargets()
    {
        for (int row = 0; IsReadable && Set.Kind == NftSetKind.VerdictMap && row < Set.Elements.Count; row++)
        {
            if (NftElements.GetVerdict(SetSearch.DataOf(Set, row)).Chain is string chain)
            {
                yield return (NftElements.GetName(Set.Elements[row][..Set.KeyBytes]), chain);
            }
        }
    }

    /// <summary>1 for the elements of a set of addresses of the family; null: it is none, or cannot be read.</summary>
    public AddressFunction? AddressesOf(IpFamily family)
    {
        if (!IsReadable || Set.Kind != NftSetKind.Set
            || Set.Key is not [var type] || type != (family == IpFamily.V4 ? NftType.Ipv4Addr : NftType.Ipv6Addr))
        {
            return null;
        }

        return Addresses(family, _ => 1);
    }

    /// <summary>A key whose fields are constants or whole fields of the packet.</summary>
    public SetAnswer Find(ReadOnlySpan<SymbolicByte> key, IpFamily family)
    {
        Span<SymbolKind> kinds = stackalloc SymbolKind[4];
        kinds.Clear();
        UInt128 constant = 0;
        int constantBytes = 0;
        if (Set.Key.Count > kinds.Length)
        {
            return SetAnswer.Unknown($"{Set.Name} has a key of many fields");
        }

        int offset = 0;
        for (int field = 0; field < Set.Key.Count; field++)
        {
            int length = NftSet.FieldLength(Set.Key[field]);
            int padded = Set.Key.Count == 1 ? length : NftSet.PaddedLength(Set.Key[field]);
            ReadOnlySpan<SymbolicByte> bytes = key.Slice(offset, padded);
            offset += padded;
            if (WholeField(bytes, length, family) is not SymbolKind kind)
            {
                return SetAnswer.Unknown($"{Set.Name} is looked up by something that is not modelled");
            }

            kinds[field] = kind;
            constantBytes += kind == SymbolKind.Constant ? padded : 0;
            for (int i = 0; kind == SymbolKind.Constant && i < padded; i++)
            {
                constant = (constant << 8) + bytes[i].Xor;
            }
        }

        if (constantBytes > ConstantBytesMax)
        {
            return SetAnswer.Unknown($"{Set.Name} has a wide key");
        }

        var pattern = (kinds[0], kinds[1], kinds[2], kinds[3], constant);
        if (!known.TryGetValue(pattern, out SetAnswer answer))
        {
            known.Add(pattern, answer = Answer(kinds[..Set.Key.Count], key, family));
        }

        return answer;
    }

    // Constant, a field of the packet in its whole, or null. What pads a field is zero.
    private static SymbolKind? WholeField(ReadOnlySpan<SymbolicByte> bytes, int length, IpFamily family)
    {
        SymbolKind kind = bytes[0].Kind;
        for (int i = 0; i < bytes.Length; i++)
        {
            bool fits = i >= length || kind == SymbolKind.Constant
                ? bytes[i].IsConstant && (i < length || bytes[i].Xor == 0)
                : bytes[i] == SymbolicByte.Of(kind, i);
            if (!fits)
            {
                return null;
            }
        }

        int whole = kind switch
        {
            SymbolKind.Constant => length,
            SymbolKind.Protocol => 1,
            SymbolKind.SourcePort or SymbolKind.DestinationPort => 2,
            SymbolKind.SourceAddress or SymbolKind.DestinationAddress => family == IpFamily.V4 ? 4 : 16,
            _ => -1,
        };
        return whole == length ? kind : null;
    }

    private SetAnswer Answer(ReadOnlySpan<SymbolKind> kinds, ReadOnlySpan<SymbolicByte> key, IpFamily family)
    {
        if (kinds.Length == 1 && kinds[0] is SymbolKind.SourceAddress or SymbolKind.DestinationAddress)
        {
            return ByAddress(kinds[0] == SymbolKind.SourceAddress, family);
        }

        byte[] constants = [.. ConstantsOf(kinds, key)];
        if (kinds.Length == 1 && kinds[0] == SymbolKind.Constant)
        {
            return functions.Of(Find(constants));
        }

        int pattern = 0;
        var fields = new List<(SymbolKind Kind, int Offset, int Length)>();
        int offset = 0;
        for (int field = 0; field < kinds.Length; field++)
        {
            int padded = kinds.Length == 1 ? NftSet.FieldLength(Set.Key[field]) : NftSet.PaddedLength(Set.Key[field]);
            pattern |= kinds[field] == SymbolKind.Constant ? 1 << field : 0;
            if (kinds[field] != SymbolKind.Constant)
            {
                fields.Add((kinds[field], offset, NftSet.FieldLength(Set.Key[field])));
            }

            offset += padded;
        }

        if (!indexes.TryGetValue(pattern, out RowIndex? index))
        {
            indexes.Add(pattern, index = new RowIndex(Set, pattern));
        }

        List<int> rows = index.RowsFor(constants);
        return functions.Swept.Of(Set, rows, fields, family,
            () => new RowBoxes(Set, dataOfRow, functions, family).Of(rows, fields));
    }

    private List<byte> ConstantsOf(ReadOnlySpan<SymbolKind> kinds, ReadOnlySpan<SymbolicByte> key)
    {
        var bytes = new List<byte>();
        int offset = 0;
        for (int field = 0; field < kinds.Length; field++)
        {
            int padded = kinds.Length == 1 ? NftSet.FieldLength(Set.Key[field]) : NftSet.PaddedLength(Set.Key[field]);
            for (int i = 0; kinds[field] == SymbolKind.Constant && i < padded; i++)
            {
                bytes.Add(key[offset + i].Xor);
            }

            offset += padded;
        }

        return bytes;
    }

    private SetAnswer ByAddress(bool source, IpFamily family)
    {
        ref PacketFunction? answer = ref byAddress[source ? 0 : 1];
        if (answer is null)
        {
            if (Addresses(family, row => dataOfRow[row]) is not AddressFunction found)
            {
                return SetAnswer.Unknown($"elements of {Set.Name} overlap");
            }

            answer = functions.Of(found, source);
        }

        return answer;
    }

    /// <summary>A value for the addresses of each row, 0 elsewhere; null: rows overlap.</summary>
    private AddressFunction? Addresses(IpFamily family, Func<int, int> valueOf)
    {
        int width = Set.KeyBytes;
        var builder = new AddressFunction.Builder(family, 2 * dataOfRow.Length + 1);
        UInt128? before = null;
        for (int row = 0; row < dataOfRow.Length; row++)
        {
            ReadOnlySpan<byte> element = Set.Elements[row];
            UInt128 first = Number(element[..width]);
            UInt128 last = Set.Interval ? Number(element.Slice(width, width)) : first;
            if (last < first || first <= before)
            {
                return null;
            }

            builder.Add(first, last, valueOf(row));
            before = last;
        }

        return builder.Build();
    }

    internal static UInt128 Number(ReadOnlySpan<byte> address) => address.Length == 4
        ? BinaryPrimitives.ReadUInt32BigEndian(address) : BinaryPrimitives.ReadUInt128BigEndian(address);
}
