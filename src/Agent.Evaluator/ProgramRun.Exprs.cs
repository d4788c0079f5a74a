using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using Agent.Nftables;

namespace Agent.Evaluator;

/// <content>The expressions. "Host order" is the byte order of the machine that runs the kernel: this one.</content>
internal sealed partial class ProgramRun
{
    /// <summary>nf_tables.h NFT_OBJECT_*: the two kinds that never change a verdict.</summary>
    private const uint ObjectCounter = 1;
    private const uint ObjectCtTimeout = 7;

    private const byte NfProtoIpv4 = 2;
    private const byte NfProtoIpv6 = 10;
    private const ushort EtherTypeIpv4 = 0x0800;
    private const ushort EtherTypeIpv6 = 0x86dd;

    private Step Execute(NftExpr expr, out NftVerdict? verdict)
    {
        verdict = null;
        switch (expr)
        {
            case NftExpr.VerdictIs e:
                verdict = e.Verdict;
                return e.Verdict.Code switch
                {
                    NftVerdictCode.Continue => Step.Next,
                    NftVerdictCode.Break => Step.Break,
                    _ => Step.Verdict,
                };
            case NftExpr.LookupVerdict e:
                return LookupVerdict(e, out verdict);
            case NftExpr.Meta e:
                return Meta(e);
            case NftExpr.MetaSet e:
                return MetaSet(e);
            case NftExpr.Payload e:
                return Payload(e);
            case NftExpr.Cmp e:
                return Compare(e);
            case NftExpr.Range e:
                return InRange(e);
            case NftExpr.Bitwise e:
                return Bitwise(e);
            case NftExpr.ByteOrder e:
                return ByteOrder(e);
            case NftExpr.Immediate e:
                return Store(e.Dreg, e.Data.Items.AsSpan());
            case NftExpr.Lookup e:
                return Lookup(e);
            case NftExpr.LookupData e:
                return LookupData(e);
            case NftExpr.Ct e:
                return Ct(e);
            case NftExpr.CtSet e:
                return CtSet(e);
            case NftExpr.Counter or NftExpr.Log:
                return Step.Next;
            case NftExpr.ObjectRef e:
                return RunObject(e.Type, e.Name);
            case NftExpr.ObjectMap e:
                return ObjectMap(e);
            case NftExpr.Limit:
                return Choose();
            case NftExpr.ConnLimit e:
                return ConnLimit(e);
            case NftExpr.NoTrack:
                return NoTrack();
            case NftExpr.Opaque e:
                return Unknown($"this build cannot read '{e.Name}'");
            default:
                return Unknown($"expression {expr.GetType().Name}");
        }
    }

    private Step Store(NftReg register, ReadOnlySpan<byte> value) =>
        registers.TryStore(register, value) ? Step.Next : Unknown($"a value does not fit at {register}");

    private Step StoreHost(NftReg register, uint value) =>
        Store(register, MemoryMarshal.AsBytes(new ReadOnlySpan<uint>(in value)));

    private Step StoreByte(NftReg register, byte value) => Store(register, [value]);

    private bool TryLoad(NftReg register, int length, out ReadOnlySpan<byte> value)
    {
        bool loaded = registers.TryLoad(register, length, out value);
        if (!loaded)
        {
            unknown ??= $"register {register} is read before this rule wrote it";
        }

        return loaded;
    }

    private Step Meta(NftExpr.Meta e)
    {
        switch (e.Key)
        {
            case NftMetaKey.Len:
                return StoreHost(e.Dreg, (uint)input.Packet.Network.Length);
            case NftMetaKey.Protocol:
                Span<byte> etherType = stackalloc byte[2];
                BinaryPrimitives.WriteUInt16BigEndian(etherType, input.Packet.EtherType);
                return Store(e.Dreg, etherType);
            case NftMetaKey.Mark:
                return StoreHost(e.Dreg, mark);
            case NftMetaKey.Iif:
                return StoreHost(e.Dreg, input.InIndex);
            case NftMetaKey.Oif:
                return StoreHost(e.Dreg, input.OutIndex);
            case NftMetaKey.IifName:
                return StoreName(e.Dreg, input.InInterface);
            case NftMetaKey.OifName:
                return StoreName(e.Dreg, input.OutInterface);
            case NftMetaKey.NfProto:
                return NfProto(e.Dreg);
            case NftMetaKey.L4Proto:
                // Without an upper-layer header nft_set_pktinfo leaves NFT_PKTINFO_L4PROTO off, and the load breaks.
                return input.Packet.TransportOffset < 0 ? Step.Break : StoreByte(e.Dreg, input.Packet.Protocol);
            case NftMetaKey.PktType:
                return StoreByte(e.Dreg, input.PacketType);
            default:
                return Unknown($"meta {e.Key}");
        }
    }

    /// <summary>In inet chains the packet's family, elsewhere the chain's own (nft_pf).</summary>
    private Step NfProto(NftReg register) => input.Family != NftFamily.Inet
        ? StoreByte(register, (byte)input.Family)
        : input.Packet.EtherType switch
        {
            EtherTypeIpv4 => StoreByte(register, NfProtoIpv4),
            EtherTypeIpv6 => StoreByte(register, NfProtoIpv6),
            _ => Unknown("a packet of neither IP family in an inet chain"),
        };

    private Step StoreName(NftReg register, string name)
    {
        Span<byte> field = stackalloc byte[NftElements.InterfaceBytes];
        field.Clear();
        NftElements.PutName(field, name);
        return Store(register, field);
    }

    private Step MetaSet(NftExpr.MetaSet e)
    {
        if (e.Key != NftMetaKey.Mark)
        {
            return Unknown($"meta {e.Key} set");
        }

        if (!TryLoad(e.Sreg, sizeof(uint), out ReadOnlySpan<byte> value))
        {
            return Step.Unknown;
        }

        mark = MemoryMarshal.Read<uint>(value);
        return Step.Next;
    }

    private Step Compare(NftExpr.Cmp e)
    {
        if (!TryLoad(e.Sreg, e.Data.Count, out ReadOnlySpan<byte> value))
        {
            return Step.Unknown;
        }

        int order = value.SequenceCompareTo(e.Data.Items.AsSpan());
        bool? match = e.Op switch
        {
            NftCmpOp.Eq => order == 0,
            NftCmpOp.Neq => order != 0,
            NftCmpOp.Lt => order < 0,
            NftCmpOp.Lte => order <= 0,
            NftCmpOp.Gt => order > 0,
            NftCmpOp.Gte => order >= 0,
            _ => null,
        };
        return match is not { } yes ? Unknown($"comparison {e.Op}") : yes ? Step.Next : Step.Break;
    }

    private Step InRange(NftExpr.Range e)
    {
        if (e.From.Count != e.To.Count)
        {
            return Unknown("a range with bounds of different length");
        }

        if (!TryLoad(e.Sreg, e.From.Count, out ReadOnlySpan<byte> value))
        {
            return Step.Unknown;
        }

        bool inside = value.SequenceCompareTo(e.From.Items.AsSpan()) >= 0
            && value.SequenceCompareTo(e.To.Items.AsSpan()) <= 0;
        return inside != e.Negated ? Step.Next : Step.Break;
    }

    private Step Bitwise(NftExpr.Bitwise e)
    {
        if (e.Mask.Count != e.Xor.Count)
        {
            return Unknown("a bitwise with mask and xor of different length");
        }

        if (!TryLoad(e.Sreg, e.Mask.Count, out ReadOnlySpan<byte> value))
        {
            return Step.Unknown;
        }

        byte[] result = new byte[value.Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = (byte)(value[i] & e.Mask[i] ^ e.Xor[i]);
        }

        return Store(e.Dreg, result);
    }

    private Step Lookup(NftExpr.Lookup e)
    {
        if (!TryFind(e.Set, e.Sreg, out NftSet? set, out int row))
        {
            return Step.Unknown;
        }

        if (row >= 0)
        {
            Note(set, row);
        }

        return row >= 0 != e.Negated ? Step.Next : Step.Break;
    }

    private Step LookupData(NftExpr.LookupData e)
    {
        if (!TryFind(e.Map, e.Sreg, out NftSet? set, out int row))
        {
            return Step.Unknown;
        }

        if (set.Kind is not (NftSetKind.MarkMap or NftSetKind.ZoneMap))
        {
            return Unknown($"{e.Map} carries no data");
        }

        if (row < 0)
        {
            return Step.Break;
        }

        Note(set, row);
        return Store(e.Dreg, SetSearch.DataOf(set, row));
    }

    private Step LookupVerdict(NftExpr.LookupVerdict e, out NftVerdict? verdict)
    {
        verdict = null;
        if (!TryFind(e.Map, e.Sreg, out NftSet? set, out int row))
        {
            return Step.Unknown;
        }

        if (set.Kind != NftSetKind.VerdictMap)
        {
            return Unknown($"{e.Map} carries no verdicts");
        }

        if (row < 0)
        {
            return Step.Break;
        }

        Note(set, row);
        verdict = NftElements.GetVerdict(SetSearch.DataOf(set, row));
        return verdict.Code switch
        {
            NftVerdictCode.Continue => Step.Next,
            NftVerdictCode.Break => Step.Break,
            _ => Step.Verdict,
        };
    }

    private bool TryFind(
        string name, NftReg register, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out NftSet? set, out int row)
    {
        row = SetSearch.NotFound;
        set = SetOf(name);
        if (set is null || !SetSearch.IsReadable(set))
        {
            unknown ??= set is null ? $"set {name} does not exist"
                : $"set {name} has a key of unknown width, or a rate decides";
            return false;
        }

        if (!TryLoad(register, set.KeyBytes, out ReadOnlySpan<byte> key))
        {
            return false;
        }

        row = SetSearch.Find(set, key);
        if (row == SetSearch.Ambiguous)
        {
            unknown ??= $"elements of {name} overlap";
            return false;
        }

        return true;
    }

    private void Note(NftSet set, int row)
    {
        ReadOnlySpan<byte> element = set.Elements[row];
        string text = KeyText(set, element[..set.KeyBytes]);
        matched.Add(set.Interval
            ? $"{set.Name} {text}-{KeyText(set, element.Slice(set.KeyBytes, set.KeyBytes))}"
            : $"{set.Name} {text}");
    }

    private static string KeyText(NftSet set, ReadOnlySpan<byte> key) => set.Key is not [NftType type]
        ? Convert.ToHexStringLower(key)
        : type switch
        {
            NftType.IfName => Encoding.ASCII.GetString(key.TrimEnd((byte)0)),
            NftType.Ipv4Addr or NftType.Ipv6Addr => new IPAddress(key).ToString(),
            _ => Convert.ToHexStringLower(key),
        };

    private Step Ct(NftExpr.Ct e)
    {
        if (tracking == Tracking.Undetermined)
        {
            return Unknown("ct in a chain at the very priority of conntrack");
        }

        if (tracking == Tracking.Before && zone is not null)
        {
            return Unknown("ct behind a zone that was set before conntrack");
        }

        CtInput entry = noTrack ? new CtInput(CtState.Untracked) : tracking == Tracking.Before
            ? CtInput.None : input.Ct;
        if (e.Key == NftCtKey.State)
        {
            return StoreHost(e.Dreg, (uint)entry.State);
        }

        if (!entry.HasEntry)
        {
            return Step.Break;
        }

        switch (e.Key)
        {
            case NftCtKey.Direction:
                return StoreByte(e.Dreg, entry.Reply ? (byte)1 : (byte)0);
            case NftCtKey.Status:
                return StoreHost(e.Dreg, entry.Status);
            case NftCtKey.Mark:
                return StoreHost(e.Dreg, ctMark);
            case NftCtKey.Zone:
                ushort number = entry.Zone;
                return Store(e.Dreg, MemoryMarshal.AsBytes(new ReadOnlySpan<ushort>(in number)));
            default:
                return Unknown($"ct {e.Key}");
        }
    }

    /// <summary>
    /// A mark is written to the entry if there is one; a zone is chosen only before conntrack (nft_ct.c).
    /// </summary>
    private Step CtSet(NftExpr.CtSet e)
    {
        if (tracking == Tracking.Undetermined)
        {
            return Unknown("ct set in a chain at the very priority of conntrack");
        }

        int length = e.Key == NftCtKey.Zone ? sizeof(ushort) : sizeof(uint);
        if (!TryLoad(e.Sreg, length, out ReadOnlySpan<byte> value))
        {
            return Step.Unknown;
        }

        bool hasEntry = tracking == Tracking.After && input.Ct.HasEntry && !noTrack;
        switch (e.Key)
        {
            case NftCtKey.Mark:
                ctMark = hasEntry ? MemoryMarshal.Read<uint>(value) : ctMark;
                return Step.Next;
            case NftCtKey.Zone when tracking == Tracking.Before:
                zone ??= MemoryMarshal.Read<ushort>(value); // a second template is not attached over the first
                noTrack = false;
                return Step.Next;
            case NftCtKey.Zone:
                return hasEntry ? Step.Next : Unknown("ct zone set behind conntrack");
            default:
                return Unknown($"ct {e.Key} set");
        }
    }

    private Step NoTrack()
    {
        // A zone's template counts as an entry: notrack behind it does nothing (nft_notrack_eval).
        noTrack |= zone is null && !(tracking == Tracking.After && input.Ct.HasEntry);
        return Step.Next;
    }

    private Step RunObject(uint type, string name)
    {
        switch (ObjectOf(name), type)
        {
            case (NftObject.Counter, ObjectCounter):
                return Step.Next;
            case (NftObject.CtTimeout, ObjectCtTimeout):
                ctTimeout = name;
                return Step.Next;
            default:
                return Unknown($"object {name} of type {type}");
        }
    }

    private Step ObjectMap(NftExpr.ObjectMap e)
    {
        if (!TryFind(e.Map, e.Sreg, out NftSet? set, out int row))
        {
            return Step.Unknown;
        }

        if (set.Kind != NftSetKind.CounterMap)
        {
            return Unknown($"{e.Map} names no counters");
        }

        return row < 0 ? Step.Break : RunObject(ObjectCounter, NftElements.GetName(SetSearch.DataOf(set, row)));
    }

    private Step ConnLimit(NftExpr.ConnLimit e) =>
        input.SessionLimitExceeded is not { } exceeded ? Choose() : exceeded == e.Over ? Step.Next : Step.Break;

    // nft_byteorder.c swaps whole units; bytes behind the last whole one stay as they are.
    private Step ByteOrder(NftExpr.ByteOrder expr)
    {
        if (expr.Size is not (2 or 4 or 8) || expr.Length > 64)
        {
            return Unknown($"byteorder with units of {expr.Size} bytes");
        }

        int length = (int)expr.Length;
        if (!registers.TryLoad(expr.Sreg, length, out ReadOnlySpan<byte> value))
        {
            return Unknown("byteorder of a register that was never written");
        }

        byte[] swapped = value.ToArray();
        for (int at = 0; BitConverter.IsLittleEndian && at + (int)expr.Size <= length; at += (int)expr.Size)
        {
            swapped.AsSpan(at, (int)expr.Size).Reverse();
        }

        return Store(expr.Dreg, swapped);
    }
}
