using System.Buffers.Binary;
using System.Text;
using Agent.Nftables;

namespace Agent.Evaluator.Guards;

/// <summary>Reads rules of the netdev family as steps, for frames of one shape.</summary>
/// <param name="table">Where sets and objects are.</param>
/// <param name="shape">How headers stand.</param>
/// <param name="device">The device that has received the frames.</param>
/// <param name="uses">Takes note of what is read by name.</param>
internal sealed class GuardReader(GuardTable table, FrameShape shape, string device, GuardUses uses)
{
    private const uint ObjectCounter = 1;

    /// <summary>First type that is not a length (linux/if_ether.h ETH_P_802_3_MIN).</summary>
    private const ushort EtherTypeFirst = 0x0600;

    /// <summary>What the kernel calls frames whose type is a length.</summary>
    private const int TypeOffset = 12;
    private const ushort Protocol8022 = 4;
    private const ushort Protocol8023 = 1;

    private readonly Dictionary<int, Value> registers = [];
    private readonly List<GuardStep> steps = [];

    /// <summary>(slice and Mask) ^ Xor, or constant bytes (Xor).</summary>
    private readonly record struct Value(FrameSlice? Slice, byte[] Mask, byte[] Xor)
    {
        /// <summary>It is <c>meta protocol</c> of a frame whose type may be a length.</summary>
        public bool IsFrameType { get; init; }

        public bool IsWhole =>
            !Mask.AsSpan().ContainsAnyExcept((byte)0xff) && !Xor.AsSpan().ContainsAnyExcept((byte)0);
    }

    /// <summary>Steps of one rule. The last one is a verdict, an end or something unknown, or the rule continues.
    /// </summary>
    public IReadOnlyList<GuardStep> Read(NftRule rule)
    {
        registers.Clear();
        steps.Clear();
        if (Onlooking.Is(rule))
        {
            return [];
        }

        foreach (NftExpr expr in rule.Exprs)
        {
            GuardStep? last = Add(expr);
            if (last is not null)
            {
                steps.Add(last);
                break;
            }
        }

        return [.. steps];
    }

    /// <returns>What ends the rule; null: it goes on.</returns>
    private GuardStep? Add(NftExpr expr)
    {
        switch (expr)
        {
            case NftExpr.Counter or NftExpr.Log:
                return null;
            case NftExpr.VerdictIs { Verdict.Code: NftVerdictCode.Continue }:
                return null;
            case NftExpr.VerdictIs { Verdict.Code: NftVerdictCode.Break }:
                return new GuardStep.End();
            case NftExpr.VerdictIs e:
                return new GuardStep.Give(e.Verdict);
            case NftExpr.ObjectRef { Type: ObjectCounter } e when uses.Object(table, e.Name) is NftObject.Counter:
                steps.Add(new GuardStep.Count(e.Name));
                return null;
            case NftExpr.MetaSet { Key: NftMetaKey.Mark } e when registers.ContainsKey(e.Sreg.Word):
                steps.Add(new GuardStep.Mark());
                return null;
            case NftExpr.Immediate e:
                return Store(e.Dreg, Constant(e.Data.Items.AsSpan()));
            case NftExpr.Payload e:
                return Load(e);
            case NftExpr.Meta e:
                return Meta(e);
            case NftExpr.Bitwise e:
                return Bitwise(e);
            case NftExpr.Cmp e:
                return Compare(e.Sreg, e.Data.Items.AsSpan(), value => Values(e, value));
            case NftExpr.Range e when e.From.Count == e.To.Count:
                return Compare(e.Sreg, e.From.Items.AsSpan(), value => Within(e, value));
            case NftExpr.Lookup e:
                return Lookup(e);
            case NftExpr.Opaque e:
                return new GuardStep.Unknown($"this build cannot read '{e.Name}'");
            default:
                return new GuardStep.Unknown($"expression {expr.GetType().Name}");
        }
    }

    private GuardStep? Load(NftExpr.Payload e)
    {
        if (e.Length is 0 or > 16 || e.Offset > 1024)
        {
            return new GuardStep.Unknown("a load of no bytes, or of many");
        }

        (int offset, int length) = ((int)e.Offset, (int)e.Length);
        switch (e.Base)
        {
            case NftPayloadBase.LinkLayer when offset + length <= shape.LinkBytes:
                return Store(e.Dreg, Field(new FrameSlice(FramePart.Link, offset, length)));
            case NftPayloadBase.Network when offset + length <= shape.SolidBytes:
                return Store(e.Dreg, Field(Present(new FrameSlice(FramePart.Network, offset, length))));
            case NftPayloadBase.Transport when shape.Transport is not int start
                || (shape.IsLater && (length is not (1 or 2 or 4) || offset % length != 0)):
                return new GuardStep.End();
            case NftPayloadBase.Transport:
                return Store(e.Dreg, Field(Present(
                    new FrameSlice(FramePart.Network, shape.Transport.Value + offset, length))));
            default:
                return new GuardStep.Unknown($"a load from {e.Base} that may be of another header");
        }
    }

    private FrameSlice Present(FrameSlice slice)
    {
        steps.Add(new GuardStep.Ask(new FrameTest(
            FrameShape.SizeSlice, FrameSet.Between(4, (UInt128)slice.End, FrameShape.LengthMax))));
        return slice;
    }

    private GuardStep? Meta(NftExpr.Meta e)
    {
        switch (e.Key)
        {
            case NftMetaKey.Protocol:
                return Store(e.Dreg, shape.EtherType is ushort type ? Constant(Bytes(type))
                    : Field(shape.TypeSlice) with { IsFrameType = true });
            case NftMetaKey.L4Proto:
                return shape.Protocol is FrameSlice slice ? Store(e.Dreg, Field(slice)) : new GuardStep.End();
            case NftMetaKey.NfProto:
                return Store(e.Dreg, Constant([(byte)NftFamily.Netdev]));
            case NftMetaKey.IifName:
                byte[] name = new byte[NftElements.InterfaceBytes];
                Encoding.UTF8.GetBytes(device, name);
                return Store(e.Dreg, Constant(name));
            default:
                return new GuardStep.Unknown($"meta {e.Key}");
        }
    }

    private GuardStep.Unknown? Bitwise(NftExpr.Bitwise e)
    {
        if (!registers.TryGetValue(e.Sreg.Word, out Value value) || value.Mask.Length != e.Mask.Count
            || e.Xor.Count != e.Mask.Count)
        {
            return new GuardStep.Unknown("a bitwise of something else than was loaded");
        }

        byte[] mask = [.. value.Mask.Select((bits, i) => (byte)(bits & e.Mask[i]))];
        byte[] xor = [.. value.Xor.Select((bits, i) => (byte)(bits & e.Mask[i] ^ e.Xor[i]))];
        return Store(e.Dreg, value with { Mask = mask, Xor = xor });
    }

    private GuardStep? Compare(NftReg register, ReadOnlySpan<byte> data, Func<Value, FrameSet?> valuesOf)
    {
        if (!registers.TryGetValue(register.Word, out Value value) || value.Mask.Length < data.Length)
        {
            return new GuardStep.Unknown($"register {register} is compared with more than was loaded");
        }

        value = First(value, data.Length);
        FrameSet? values = valuesOf(value);
        return values is null ? new GuardStep.Unknown("a comparison that is not modelled") : Ask(value, values);
    }

    /// <summary>The first bytes of a value.</summary>
    private static Value First(Value value, int length) => value.Mask.Length == length ? value : value with
    {
        Slice = value.Slice is { } slice ? slice with { Length = length } : null,
        Mask = value.Mask[..length],
        Xor = value.Xor[..length],
    };

    private GuardStep? Ask(Value value, FrameSet values)
    {
        if (value.Slice is not FrameSlice slice)
        {
            return values.Contains(Number(value.Xor)) ? null : new GuardStep.End();
        }

        if (value.IsFrameType)
        {
            if (values.Contains(Protocol8022) != values.Contains(Protocol8023))
            {
                return new GuardStep.Unknown("a frame whose type is a length");
            }

            FrameSet types = FrameSet.Union(2, values.Ranges.ToArray()
                .Where(range => range.Last >= EtherTypeFirst)
                .Select(range => (UInt128.Max(range.First, EtherTypeFirst), range.Last)));
            values = values.Contains(Protocol8022) ? types.Or(FrameSet.Between(2, 0, EtherTypeFirst - 1)) : types;
        }

        if (slice is { Part: FramePart.Link } && slice.Offset < TypeOffset && slice.End > TypeOffset)
        {
            return AskApart(value, slice, values);
        }

        // What all frames of the shape say alike is not asked, so that nothing is read behind it in vain.
        foreach (FrameTest known in shape.Domain)
        {
            if (known.Slice == slice && values.HoldsFor(known.Values) is bool holds)
            {
                return holds ? null : new GuardStep.End();
            }
        }

        steps.Add(new GuardStep.Ask(new FrameTest(slice, values)));
        return null;
    }

    // (x and mask) ^ xor == data, where xor has been taken over to the other side.
    private static FrameSet? Values(NftExpr.Cmp e, Value value)
    {
        int length = e.Data.Count;
        if (value.Slice is null)
        {
            value = value with { Mask = [.. Enumerable.Repeat((byte)0xff, length)] };
        }

        UInt128 data = Number(e.Data.Items.AsSpan());
        UInt128 xor = value.Slice is null ? 0 : Number(value.Xor);
        if (e.Op is NftCmpOp.Eq or NftCmpOp.Neq)
        {
            FrameSet? equal = FrameSet.Masked(length, Number(value.Mask), data ^ xor);
            return e.Op == NftCmpOp.Eq ? equal : equal?.Complement();
        }

        UInt128 ceiling = FrameSet.CeilingOf(length);
        return value.Slice is not null && !value.IsWhole ? null : e.Op switch
        {
            NftCmpOp.Lt => data == 0 ? FrameSet.None(length) : FrameSet.Between(length, 0, data - 1),
            NftCmpOp.Lte => FrameSet.Between(length, 0, data),
            NftCmpOp.Gt => data == ceiling ? FrameSet.None(length) : FrameSet.Between(length, data + 1, ceiling),
            NftCmpOp.Gte => FrameSet.Between(length, data, ceiling),
            _ => null,
        };
    }

    private static FrameSet? Within(NftExpr.Range e, Value value)
    {
        if (value.Slice is not null && !value.IsWhole)
        {
            return null;
        }

        FrameSet inside = FrameSet.Between(
            e.From.Count, Number(e.From.Items.AsSpan()), Number(e.To.Items.AsSpan()));
        return e.Negated ? inside.Complement() : inside;
    }

    private GuardStep? Lookup(NftExpr.Lookup e)
    {
        if (uses.Set(table, e.Set) is not NftSet set || set.Unexpected is not null || !SetSearch.IsReadable(set)
            || set.Key.Count != 1)
        {
            return new GuardStep.Unknown($"set {e.Set} cannot be read");
        }

        int width = set.KeyBytes;
        if (!registers.TryGetValue(e.Sreg.Word, out Value value) || value.Mask.Length < width
            || (value.Slice is not null && !value.IsWhole))
        {
            return new GuardStep.Unknown($"{e.Set} is looked up by something else than a field");
        }

        var rows = new (UInt128 First, UInt128 Last)[set.Elements.Count];
        for (int row = 0; row < rows.Length; row++)
        {
            UInt128 first = Number(set.Elements[row][..width]);
            UInt128 last = set.Interval ? Number(set.Elements[row].Slice(width, width)) : first;
            if (last < first || (row > 0 && first <= rows[row - 1].Last))
            {
                return new GuardStep.Unknown($"elements of {e.Set} overlap");
            }

            rows[row] = (first, last);
        }

        FrameSet found = FrameSet.Union(width, rows);
        return Ask(First(value, width), e.Negated ? found.Complement() : found);
    }

    private GuardStep.Unknown? Store(NftReg register, Value value)
    {
        int words = (value.Mask.Length + 3) / 4;
        foreach (int word in registers.Keys.ToArray())
        {
            int end = word + (registers[word].Mask.Length + 3) / 4;
            if (word < register.Word + words && end > register.Word)
            {
                registers.Remove(word);
            }
        }

        registers[register.Word] = value;
        return register.Word + words > 16 ? new GuardStep.Unknown("a value does not fit") : null;
    }

    private static Value Field(FrameSlice slice) =>
        new(slice, [.. Enumerable.Repeat((byte)0xff, slice.Length)], new byte[slice.Length]);

    private static Value Constant(ReadOnlySpan<byte> value) => new(null, new byte[value.Length], value.ToArray());

    /// <summary>An address and the type behind it, loaded at once: both are asked for if one value is.</summary>
    private GuardStep? AskApart(Value value, FrameSlice slice, FrameSet values)
    {
        if (values.Ranges is not [var (first, last)] || first != last)
        {
            return new GuardStep.Unknown("a comparison of an address and a type at once");
        }

        FrameSlice address = slice with { Length = TypeOffset - slice.Offset };
        FrameSlice type = new(slice.Part, TypeOffset, slice.Length - address.Length);
        UInt128 high = first >> 8 * type.Length;
        UInt128 low = first & FrameSet.CeilingOf(type.Length);
        return Ask(value with { Slice = address }, FrameSet.Of(address.Length, high))
            ?? Ask(value with { Slice = type }, FrameSet.Of(type.Length, low));
    }

    private static byte[] Bytes(ushort value) => [(byte)(value >> 8), (byte)(value & 0xff)];

    internal static UInt128 Number(ReadOnlySpan<byte> bytes)
    {
        Span<byte> all = stackalloc byte[16];
        all.Clear();
        bytes.CopyTo(all[(16 - bytes.Length)..]);
        return BinaryPrimitives.ReadUInt128BigEndian(all);
    }
}
