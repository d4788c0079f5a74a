using System.Runtime.InteropServices;
using Agent.Nftables.Wire;
using static Agent.Nftables.NftValueText;

namespace Agent.Nftables;

/// <summary>Turns one rule's expressions into nft's statements.</summary>
/// <remarks>
/// Registers are followed word by word: a load leaves a name in its words, a match or a set takes the names out. A
/// match on the protocol that only gives the next field its meaning is left out, as nft does: nft puts it back.
/// </remarks>
internal sealed class NftRuleText(NftTable table)
{
    private const int Words = 16;

    private readonly Operand?[] registers = new Operand?[Words];
    private readonly List<string> statements = [];
    private NftTextContext context;
    private int? network; // index in statements of a match that `ip`, `ip6` or `arp` would imply
    private int? transport; // likewise for `tcp`, `udp`, `icmp` ...

    /// <returns>Null if an expression has no text.</returns>
    internal static string? Print(NftTable table, NftRule rule)
    {
        var printer = new NftRuleText(table);
        for (int i = 0; i < rule.Exprs.Count; i++)
        {
            NftExpr? next = i + 1 < rule.Exprs.Count ? rule.Exprs[i + 1] : null;
            if (printer.PrintPair(rule.Exprs[i], next))
            {
                i++;
            }
            else if (!printer.PrintOne(rule.Exprs[i]))
            {
                return null;
            }
        }

        string text = string.Join(' ', printer.statements.Where(one => one.Length > 0));
        return rule.Comment is null ? text : $"{text} comment {Quoted(rule.Comment)}";
    }

    /// <summary>Two comparisons of one register that are a range.</summary>
    private bool PrintPair(NftExpr first, NftExpr? second)
    {
        if (first is NftExpr.Cmp { Op: NftCmpOp.Gte } from && second is NftExpr.Cmp { Op: NftCmpOp.Lte } to
            && from.Sreg == to.Sreg && registers[from.Sreg.Word] is { } operand)
        {
            Add($"{Take(operand)} {ValueOf(operand.Type, from.Data.AsSpan())}"
                + $"-{ValueOf(operand.Type, to.Data.AsSpan())}");
            return true;
        }

        return false;
    }

    private bool PrintOne(NftExpr expr)
    {
        switch (expr)
        {
            case NftExpr.Meta meta:
                (string metaName, NftTextType metaType) = NftFieldText.Meta(meta.Key);
                registers[meta.Dreg.Word] = new Operand(metaName, metaType, MetaLength(metaType)) { Source = meta };
                return true;
            case NftExpr.Ct ct:
                (string ctName, NftTextType ctType) = NftFieldText.Ct(ct.Key);
                registers[ct.Dreg.Word] = new Operand(ctName, ctType, MetaLength(ctType)) { Source = ct };
                return true;
            case NftExpr.Payload payload:
                LoadPayload(payload);
                return true;
            case NftExpr.Immediate immediate:
                registers[immediate.Dreg.Word] =
                    new Operand("", NftTextType.Raw, immediate.Data.Count) { Constant = immediate.Data };
                return true;
            case NftExpr.Bitwise bitwise when registers[bitwise.Sreg.Word] is { Bits: null } operand:
                registers[bitwise.Dreg.Word] = operand with { Bits = bitwise };
                return true;
            case NftExpr.ByteOrder order when registers[order.Sreg.Word] is { } operand:
                registers[order.Dreg.Word] = operand; // nft's text is of values: it has no word for their order
                return true;
            case NftExpr.Cmp cmp when registers[cmp.Sreg.Word] is { } operand:
                Compare(operand, cmp);
                return true;
            case NftExpr.Range range when registers[range.Sreg.Word] is { } operand:
                Add($"{Take(operand)} {(range.Negated ? "!= " : "")}"
                    + RangeOf(operand.Type, range.From.AsSpan(), range.To.AsSpan()));
                return true;
            default:
                return PrintLookup(expr) || PrintStatement(expr);
        }
    }

    private bool PrintLookup(NftExpr expr)
    {
        switch (expr)
        {
            case NftExpr.Lookup lookup when Key(lookup.Set, lookup.Sreg) is { } key:
                Add($"{key} {(lookup.Negated ? "!= " : "")}@{lookup.Set}");
                return true;
            case NftExpr.LookupVerdict lookup when Key(lookup.Map, lookup.Sreg) is { } key:
                Add($"{key} vmap @{lookup.Map}");
                return true;
            case NftExpr.LookupData lookup when Key(lookup.Map, lookup.Sreg) is { } key:
                registers[lookup.Dreg.Word] = new Operand($"{key} map @{lookup.Map}", NftTextType.Raw, 4);
                return true;
            case NftExpr.ObjectMap map when Key(map.Map, map.Sreg) is { } key:
                Add($"counter name {key} map @{map.Map}");
                return true;
            case NftExpr.MetaSet set when registers[set.Sreg.Word] is { } operand:
                (string metaName, NftTextType metaType) = NftFieldText.Meta(set.Key);
                Add($"{metaName} set {Value(operand, metaType)}");
                return true;
            case NftExpr.CtSet set when registers[set.Sreg.Word] is { } operand:
                (string ctName, NftTextType ctType) = NftFieldText.Ct(set.Key);
                Add($"{ctName} set {Value(operand, ctType)}");
                return true;
            default:
                return false;
        }
    }

    private bool PrintStatement(NftExpr expr)
    {
        string? text = expr switch
        {
            NftExpr.VerdictIs { Verdict: { } verdict } => Verdict(verdict),
            NftExpr.Counter => "counter",
            NftExpr.ObjectRef { Type: NftObjectType.Counter } named => $"counter name {Quoted(named.Name)}",
            NftExpr.ObjectRef { Type: NftObjectType.CtTimeout } named => $"ct timeout set {Quoted(named.Name)}",
            NftExpr.Limit limit => LimitText(limit),
            NftExpr.Log log => LogText(log),
            NftExpr.ConnLimit limit => $"ct count {(limit.Over ? "over " : "")}{Text(limit.Count)}",
            NftExpr.NoTrack => "notrack",
            _ => null,
        };
        if (text is not null)
        {
            Add(text);
        }

        return text is not null;
    }

    internal static string Verdict(NftVerdict verdict)
    {
        string code = verdict.Code switch
        {
            NftVerdictCode.Drop => "drop",
            NftVerdictCode.Accept => "accept",
            NftVerdictCode.Continue => "continue",
            NftVerdictCode.Break => "break",
            NftVerdictCode.Jump => "jump",
            NftVerdictCode.Goto => "goto",
            NftVerdictCode.Return => "return",
            _ => throw new ArgumentOutOfRangeException(nameof(verdict), verdict, "unknown verdict"),
        };
        return verdict.Chain is null ? code : $"{code} {verdict.Chain}";
    }

    /// <summary>nft src/statement.c: packets without the default burst of 5; bytes in the largest whole unit.</summary>
    internal static string LimitText(NftExpr.Limit limit)
    {
        string over = limit.Over ? "over " : "";
        string unit = limit.UnitSeconds switch
        {
            1 => "second",
            60 => "minute",
            3600 => "hour",
            86400 => "day",
            604800 => "week",
            _ => Text(limit.UnitSeconds),
        };
        if (limit.Type == NftLimitType.Packets)
        {
            string packets = limit.Burst is 0 or 5 ? "" : $" burst {Text(limit.Burst)} packets";
            return $"limit rate {over}{Text(limit.Rate)}/{unit}{packets}";
        }

        string bytesBurst = limit.Burst == 0 ? "" : $" burst {ByteUnits(limit.Burst)}";
        return $"limit rate {over}{ByteUnits(limit.Rate)}/{unit}{bytesBurst}";
    }

    private static string ByteUnits(ulong bytes)
    {
        string[] units = ["bytes", "kbytes", "mbytes"];
        int unit = 0;
        while (unit < units.Length - 1 && bytes != 0 && bytes % 1024 == 0)
        {
            bytes /= 1024;
            unit++;
        }

        return $"{Text(bytes)} {units[unit]}";
    }

    private static string LogText(NftExpr.Log log) =>
        "log"
        + (string.IsNullOrEmpty(log.Prefix) ? "" : $" prefix {Quoted(log.Prefix)}")
        + $" group {Text(log.Group)}"
        + (log.SnapLength == 0 ? "" : $" snaplen {Text(log.SnapLength)}")
        + (log.QueueThreshold == 0 ? "" : $" queue-threshold {Text(log.QueueThreshold)}");

    private static int MetaLength(NftTextType type) => type switch
    {
        NftTextType.IfName => 16,
        NftTextType.EtherType => 2,
        NftTextType.Proto or NftTextType.NfProto or NftTextType.PktType or NftTextType.CtDirection => 1,
        _ => 4,
    };

    private void LoadPayload(NftExpr.Payload payload)
    {
        NftFieldText.Field? found = NftFieldText.Payload(payload.Base, payload.Offset, context);
        bool whole = found is { } field && field.Length == payload.Length;
        bool address = found is { Type: NftTextType.Ipv4 or NftTextType.Ipv6 } && found.Value.Length > payload.Length;
        registers[payload.Dreg.Word] = whole || address
            ? new Operand(found!.Value.Name, found.Value.Type, (int)payload.Length)
            {
                Source = payload,
                FieldLength = (int)found.Value.Length,
            }
            : new Operand(NftFieldText.Raw(payload), NftTextType.Raw, (int)payload.Length) { Source = payload };
    }

    /// <summary>A match on a protocol is remembered; a later field may take its text away.</summary>
    private void Compare(Operand operand, NftExpr.Cmp cmp)
    {
        if (operand is { Source: NftExpr.Payload { Base: NftPayloadBase.LinkLayer, Offset: 6, Length: 8 }, Bits: null }
            && cmp is { Op: NftCmpOp.Eq, Data.Count: 8 })
        {
            // nft itself loads neighbouring fields at once, and tells them apart again.
            Add($"ether saddr {ValueOf(NftTextType.Ether, cmp.Data.AsSpan()[..6])}");
            Add($"ether type {ValueOf(NftTextType.EtherType, cmp.Data.AsSpan()[6..])}");
            return;
        }

        string op = cmp.Op switch
        {
            NftCmpOp.Eq => "",
            NftCmpOp.Neq => "!= ",
            NftCmpOp.Lt => "< ",
            NftCmpOp.Lte => "<= ",
            NftCmpOp.Gt => "> ",
            _ => ">= ",
        };
        Add(MaskedCompare(operand, cmp, op) ?? $"{Take(operand)} {op}{Constant(operand, cmp.Data.AsSpan())}");
        if (cmp.Op == NftCmpOp.Eq && operand.Bits is null)
        {
            Learn(operand, cmp.Data.AsSpan());
        }
    }

    private void Learn(Operand operand, ReadOnlySpan<byte> value)
    {
        int statement = statements.Count - 1;
        switch (operand.Source)
        {
            case NftExpr.Meta { Key: NftMetaKey.NfProto } when value.Length == 1:
                context.EtherType = value[0] switch { 2 => 0x0800, 10 => 0x86dd, _ => 0 };
                network = table.Family == NftFamily.Inet ? statement : null;
                break;
            case NftExpr.Meta { Key: NftMetaKey.Protocol } when value.Length == 2:
                context.EtherType = (ushort)(value[0] << 8 | value[1]);
                network = table.Family == NftFamily.Inet ? null : statement;
                break;
            case NftExpr.Meta { Key: NftMetaKey.L4Proto } when value.Length == 1:
                context.L4 = value[0];
                transport = statement;
                break;
            default:
                break;
        }
    }

    /// <summary>Address prefixes, and `mask then compare`.</summary>
    private string? MaskedCompare(Operand operand, NftExpr.Cmp cmp, string op)
    {
        ReadOnlySpan<byte> value = cmp.Data.AsSpan();
        if (operand.Bits is null)
        {
            return null;
        }

        ReadOnlySpan<byte> mask = operand.Bits.Mask.AsSpan();
        bool zeroXor = !operand.Bits.Xor.AsSpan().ContainsAnyExcept((byte)0);
        bool zero = !value.ContainsAnyExcept((byte)0);
        string name = Take(operand);
        if (zeroXor && zero && operand.Type is NftTextType.CtState or NftTextType.CtStatus
            && cmp.Op is NftCmpOp.Eq or NftCmpOp.Neq)
        {
            return $"{name} {(cmp.Op == NftCmpOp.Neq ? "" : "! ")}{ValueOf(operand.Type, mask)}";
        }

        if (zeroXor && operand.Type == NftTextType.TcpFlags)
        {
            return $"{name} {op}{ValueOf(operand.Type, value)} / {ValueOf(operand.Type, mask)}";
        }

        if (zeroXor && cmp.Op is NftCmpOp.Eq or NftCmpOp.Neq && PrefixOf(operand.Type, mask) is { } length)
        {
            return $"{name} {op}{ValueOf(operand.Type, value)}/{Text(length)}";
        }

        string compare = cmp.Op == NftCmpOp.Eq ? "== " : op;
        return $"{Value(operand, operand.Type)} {compare}{ValueOf(operand.Type, value)}";
    }

    private static int? PrefixOf(NftTextType type, ReadOnlySpan<byte> mask)
    {
        switch (type)
        {
            case NftTextType.Ipv4 or NftTextType.Ipv6:
                return MaskLength(mask);
            case NftTextType.Mark when mask.Length == 4:
                Span<byte> ordered = stackalloc byte[4];
                System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(ordered, MemoryMarshal.Read<uint>(mask));
                return MaskLength(ordered) is > 0 and int length ? length : null;
            default:
                return null;
        }
    }

    /// <summary>A comparison with less than the field is a prefix of whole bytes.</summary>
    private static string Constant(Operand operand, ReadOnlySpan<byte> value)
    {
        if (operand.FieldLength <= value.Length || operand.Type is not (NftTextType.Ipv4 or NftTextType.Ipv6))
        {
            return ValueOf(operand.Type, value);
        }

        Span<byte> whole = stackalloc byte[operand.FieldLength];
        whole.Clear();
        value.CopyTo(whole);
        return $"{ValueOf(operand.Type, whole)}/{Text(value.Length * 8)}";
    }

    /// <returns>The names of a set's key fields, joined; null if the set or a field is unknown.</returns>
    private string? Key(string set, NftReg sreg)
    {
        NftSet? found = null;
        foreach (NftSet candidate in table.Sets)
        {
            found = candidate.Name == set ? candidate : found;
        }

        var names = new List<string>();
        int word = sreg.Word;
        int fields = found?.Key.Count ?? 1;
        for (int i = 0; i < fields && word < Words; i++)
        {
            if (registers[word] is not { } operand)
            {
                return null;
            }

            names.Add(Value(operand, operand.Type, concatenated: fields > 1));
            word += (found is null ? operand.Length : NftSet.PaddedLength(found.Key[i])) + 3 >> 2;
        }

        return names.Count == fields ? string.Join(" . ", names) : null;
    }

    /// <summary>The text of what is in a register, as the right side of `set` or the left side of a match.</summary>
    /// <remarks>
    /// (v &amp; mask) ^ xor is printed as nft does: or = xor outside the mask, which nft also adds to the mask it
    /// prints; what of xor is inside the mask flips bits.
    /// </remarks>
    private string Value(Operand operand, NftTextType constantType, bool concatenated = false)
    {
        if (operand.Constant is { } constant)
        {
            return ValueOf(constantType, constant.AsSpan());
        }

        string name = Take(operand, concatenated);
        if (operand.Bits is not { } bits)
        {
            return name;
        }

        if (operand.Type is NftTextType.Number or NftTextType.Ether)
        {
            return $"{name} & {ValueOf(operand.Type, bits.Mask.AsSpan())}";
        }

        if (bits.Mask.Count != 4
            || operand.Type is not (NftTextType.Mark or NftTextType.CtState or NftTextType.HostNumber))
        {
            return $"{name} & {Hex(bits.Mask.AsSpan())}";
        }

        uint mask = MemoryMarshal.Read<uint>(bits.Mask.AsSpan());
        uint xor = MemoryMarshal.Read<uint>(bits.Xor.AsSpan());
        uint or = xor & ~mask;
        uint flip = xor & mask;
        mask |= or;
        return name
            + (mask == uint.MaxValue ? "" : $" & {Hex32(mask)}")
            + (flip == 0 ? "" : $" ^ {Hex32(flip)}")
            + (or == 0 ? "" : $" | {Hex32(or)}");
    }

    /// <summary>The operand's name; the protocol match that it implies loses its text.</summary>
    /// <remarks>Only a match with nothing but protocol matches behind it: a statement between them would
    /// move.</remarks>
    private string Take(Operand operand, bool concatenated = false)
    {
        if (operand.Source is NftExpr.Payload { Base: NftPayloadBase.Network } && operand.Type != NftTextType.Raw)
        {
            Silence(ref network);
        }
        else if (operand.Source is NftExpr.Payload { Base: NftPayloadBase.Transport } && operand.Type != NftTextType.Raw
            && !concatenated && !operand.Name.StartsWith("th ", StringComparison.Ordinal))
        {
            Silence(ref transport);
        }

        return operand.Name;
    }

    private void Silence(ref int? statement)
    {
        if (statement is { } index)
        {
            bool adjacent = true;
            for (int i = index + 1; i < statements.Count; i++)
            {
                adjacent &= i == network || i == transport || statements[i].Length == 0;
            }

            if (adjacent)
            {
                statements[index] = "";
            }

            statement = null;
        }
    }

    private void Add(string statement) => statements.Add(statement);

    /// <summary>What a register holds.</summary>
    private sealed record Operand(string Name, NftTextType Type, int Length)
    {
        internal NftExpr? Source { get; init; }

        internal NftExpr.Bitwise? Bits { get; init; }

        internal ValueArray<byte>? Constant { get; init; }

        /// <summary>
        /// Bytes of the whole header field; more than <see cref="Length"/> for a prefix of whole bytes.
        /// </summary>
        internal int FieldLength { get; init; }
    }
}
