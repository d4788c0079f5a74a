using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <content>Loads from the packet and from its conntrack entry, and what is computed with them.</content>
internal sealed partial class SymbolicRun
{
    private const int Ipv4HeaderBytes = 20;
    private const int Ipv6HeaderBytes = 40;
    private const int MacBytes = 6;

    private PacketFunction Payload(
        Site site, int index, NftExpr.Payload e, SymbolicRegisters registers, Outcome state)
    {
        if (e.Length is 0 or > 64 || e.Offset > 1024)
        {
            return Unknown("a load of no bytes, or of many");
        }

        (int offset, int length) = ((int)e.Offset, (int)e.Length);
        var value = new SymbolicByte[length];
        if (e is { Base: NftPayloadBase.LinkLayer, Offset: 0, Length: MacBytes } && circumstances.FrameTo is not null)
        {
            return registers.TryStore(e.Dreg.Word, Symbols(SymbolKind.DestinationMac, MacBytes))
                ? From(site, index + 1, registers, state) : Unknown("a value does not fit");
        }

        if (circumstances.FrameType is not null)
        {
            return e.Base == NftPayloadBase.Transport ? Leaf(state) : Unknown("a load from a frame that is no IP");
        }

        if (e.Base == NftPayloadBase.Network && BridgeByte(offset, length) is SymbolicByte[] bytes)
        {
            return registers.TryStore(e.Dreg.Word, bytes)
                ? From(site, index + 1, registers, state) : Unknown("a value does not fit");
        }

        if (e.Base == NftPayloadBase.Network)
        {
            int header = circumstances.Family == IpFamily.V4 ? Ipv4HeaderBytes : Ipv6HeaderBytes;
            if (offset + length > header)
            {
                return Unknown("a load from behind the network header");
            }

            for (int i = 0; i < length; i++)
            {
                value[i] = NetworkByte(offset + i);
            }

            return registers.TryStore(e.Dreg.Word, value)
                ? From(site, index + 1, registers, state) : Unknown("a value does not fit");
        }

        if (e.Base != NftPayloadBase.Transport || offset + length >= TransportSize.Max)
        {
            return Unknown($"a load from {e.Base}");
        }

        for (int i = 0; i < length; i++)
        {
            value[i] = TransportByte(offset + i);
        }

        return Loaded(site, index, registers, state, e.Dreg, value, HasTransport(offset + length));
    }

    // A bridge sees packets that no IP layer has looked at. Later fragments are not among them: conntrack puts them
    // together. So the offset is 0, and there may be a fragment header all the same.
    private SymbolicByte[]? BridgeByte(int offset, int length)
    {
        if (circumstances.Table != NftFamily.Bridge)
        {
            return null;
        }

        const byte NoOffset4 = 0xe0; // the flags, above 13 bits
        const byte NoOffset6 = 0x07; // the flags, below them
        return (circumstances.Family, offset, length) switch
        {
            (IpFamily.V4, 6, 2) => [new SymbolicByte(SymbolKind.Other, 0, NoOffset4, 0), SymbolicByte.Of(0)],
            (IpFamily.V6, 6, 1) => [SymbolicByte.Of(SymbolKind.NextHeader, 0)],
            (IpFamily.V6, 42, 2) => [SymbolicByte.Of(0), new SymbolicByte(SymbolKind.Other, 1, NoOffset6, 0)],
            _ => null,
        };
    }

    private SymbolicByte NetworkByte(int offset)
    {
        (int source, int destination, int length) = circumstances.Family == IpFamily.V4 ? (12, 16, 4) : (8, 24, 16);
        return offset >= source && offset < source + length
            ? SymbolicByte.Of(SymbolKind.SourceAddress, offset - source)
            : offset >= destination && offset < destination + length
            ? SymbolicByte.Of(SymbolKind.DestinationAddress, offset - destination)
            : SymbolicByte.Of(SymbolKind.Other, 0);
    }

    private static SymbolicByte TransportByte(int offset) => offset switch
    {
        0 or 1 => SymbolicByte.Of(SymbolKind.SourcePort, offset),
        2 or 3 => SymbolicByte.Of(SymbolKind.DestinationPort, offset - 2),
        13 => SymbolicByte.Of(SymbolKind.TcpFlags, 0),
        _ => SymbolicByte.Of(SymbolKind.Other, 0),
    };

    // Conntrack finds no session in a header that is cut off (nf_conntrack_proto_tcp.c, _udp.c, _icmp.c): where there
    // is an entry, these are whole, and nothing needs to be asked.
    private Diagram HasTransport(int bytes)
    {
        Diagram asked = functions.Diagrams.Where(PacketField.Transport, TransportSize.Of(bytes), TransportSize.Max,
            Diagrams.Leaf(1), Diagrams.Leaf(0));
        if (!circumstances.HasEntry)
        {
            return asked;
        }

        if (functions.Transports.TryGetValue((bytes, circumstances.Family), out Diagram result))
        {
            return result;
        }

        result = asked;
        foreach ((byte protocol, int header) in SituationPackets.WholeHeaders(circumstances.Family))
        {
            Diagram here = bytes <= header ? Diagrams.Leaf(1) : asked;
            var put = new DiagramMerge(functions.Diagrams, (mask, below) => mask == 2 ? below : mask);
            result = put.Of(functions.Diagrams.Where(
                PacketField.Protocol, protocol, protocol, here, Diagrams.Leaf(2)), result);
        }

        functions.Transports.Add((bytes, circumstances.Family), result);
        return result;
    }

    private PacketFunction Ct(Site site, int index, NftExpr.Ct e, SymbolicRegisters registers, Outcome state)
    {
        if (circumstances.BeforeConntrack)
        {
            return Unknown("ct before conntrack");
        }

        if (e.Key != NftCtKey.State && !circumstances.HasEntry)
        {
            return Leaf(state);
        }

        SymbolicByte[]? value = e.Key switch
        {
            NftCtKey.State => Constants(BitConverter.GetBytes((uint)circumstances.State)),
            NftCtKey.Direction => Constants([circumstances.Reply ? (byte)1 : (byte)0]),
            NftCtKey.Status => StatusBytes(),
            NftCtKey.Mark => CtMark(state),
            NftCtKey.Zone => Constants(BitConverter.GetBytes(circumstances.Zone)),
            _ => null,
        };
        return value is null ? Unknown($"ct {e.Key}")
            : registers.TryStore(e.Dreg.Word, value) ? From(site, index + 1, registers, state)
            : Unknown("a value does not fit");
    }

    // Of the status only "confirmed" is known.
    private SymbolicByte[] StatusBytes()
    {
        byte[] confirmed = BitConverter.GetBytes(ConfirmedStatus);
        var bytes = new SymbolicByte[confirmed.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            byte known = circumstances.Confirmed ? confirmed[i] : (byte)0;
            bytes[i] = new SymbolicByte(SymbolKind.Other, (byte)i, (byte)(confirmed[i] ^ 0xff), known);
        }

        return bytes;
    }

    private SymbolicByte[] CtMark(Outcome state)
    {
        uint known = circumstances.Epoch is null ? 0 : circumstances.EpochMask;
        byte[] kept = BitConverter.GetBytes(state.CtKept & ~known);
        byte[] value = BitConverter.GetBytes(
            state.CtKept & known & (circumstances.Epoch ?? 0) ^ state.CtXor);
        var bytes = new SymbolicByte[kept.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            bytes[i] = kept[i] == 0
                ? SymbolicByte.Of(value[i]) : new SymbolicByte(SymbolKind.CtMark, (byte)i, kept[i], value[i]);
        }

        return bytes;
    }

    private static string? MarkFrom(SymbolicRegisters registers, NftExpr.MetaSet e, out PacketMark mark)
    {
        mark = default;
        ReadOnlySpan<SymbolicByte> value = registers.Load(e.Sreg.Word, sizeof(uint));
        if (e.Key != NftMetaKey.Mark || value.IsEmpty)
        {
            return $"meta {e.Key} set, or a register that was never written";
        }

        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!value[i].IsConstant)
            {
                return "a packet mark that is not a constant";
            }

            bytes[i] = value[i].Xor;
        }

        mark = PacketMark.Of(BitConverter.ToUInt32(bytes));
        return null;
    }

    /// <returns>Why it is not modelled; null if it is.</returns>
    private string? SetCt(SymbolicRegisters registers, NftExpr.CtSet e, ref Outcome state)
    {
        if (e.Key == NftCtKey.Zone)
        {
            return SetZone(registers, e, ref state);
        }

        ReadOnlySpan<SymbolicByte> value = registers.Load(e.Sreg.Word, sizeof(uint));
        if (e.Key != NftCtKey.Mark || value.IsEmpty)
        {
            return $"ct {e.Key} set, or a register that was never written";
        }

        uint kept = 0;
        uint xor = 0;
        for (int i = 0; i < value.Length; i++)
        {
            if (!value[i].IsConstant && (value[i].Kind != SymbolKind.CtMark || value[i].Index != i))
            {
                return "a conntrack mark made of something else";
            }

            kept |= (uint)(value[i].IsConstant ? (byte)0 : value[i].Mask) << 8 * Comparison.Shift(i);
            xor |= (uint)value[i].Xor << 8 * Comparison.Shift(i);
        }

        state = circumstances.HasEntry ? state with { CtKept = kept, CtXor = xor } : state;
        return null;
    }

    private string? SetZone(SymbolicRegisters registers, NftExpr.CtSet e, ref Outcome state)
    {
        ReadOnlySpan<SymbolicByte> value = registers.Load(e.Sreg.Word, sizeof(ushort));
        if (!circumstances.BeforeConntrack)
        {
            return circumstances.HasEntry ? null : "ct zone set behind conntrack";
        }

        if (value.IsEmpty || !value[0].IsConstant || !value[1].IsConstant)
        {
            return "a conntrack zone that is not a constant";
        }

        state = state with { Zone = state.Zone ?? BitConverter.ToUInt16([value[0].Xor, value[1].Xor]) };
        return null;
    }

    private static bool TryCompute(NftExpr expr, SymbolicRegisters registers)
    {
        if (expr is NftExpr.Bitwise mask)
        {
            ReadOnlySpan<SymbolicByte> from = registers.Load(mask.Sreg.Word, mask.Mask.Count);
            var masked = new SymbolicByte[from.Length];
            for (int i = 0; i < masked.Length; i++)
            {
                masked[i] = from[i].Masked(mask.Mask[i], mask.Xor[i]);
            }

            return masked.Length > 0 && mask.Xor.Count == masked.Length && registers.TryStore(mask.Dreg.Word, masked);
        }

        var order = (NftExpr.ByteOrder)expr;
        int size = (int)order.Size;
        if (size is not (2 or 4 or 8) || order.Length > 64)
        {
            return false;
        }

        SymbolicByte[] swapped = registers.Load(order.Sreg.Word, (int)order.Length).ToArray();
        for (int at = 0; BitConverter.IsLittleEndian && at + size <= swapped.Length; at += size)
        {
            swapped.AsSpan(at, size).Reverse();
        }

        return swapped.Length > 0 && registers.TryStore(order.Dreg.Word, swapped);
    }

    // Counters count, timeouts set idle times: neither changes a verdict.
    private static string? Object(Site site, NftExpr.ObjectRef e) =>
        (site.Chain.Objects.GetValueOrDefault(e.Name), e.Type) switch
        {
            (NftObject.Counter, ObjectCounter) or (NftObject.CtTimeout, ObjectCtTimeout) => null,
            _ => $"object {e.Name} of type {e.Type}",
        };
}
