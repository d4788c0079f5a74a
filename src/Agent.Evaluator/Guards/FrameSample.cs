using System.Buffers.Binary;
using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Guards;

/// <summary>A frame of a shape: its fields are of given classes, otherwise it is an ordinary one.</summary>
/// <param name="Bytes">The frame; of another shape if there is none.</param>
/// <param name="Classes">The class of each field.</param>
internal sealed record FrameSample(ImmutableArray<byte> Bytes, int[] Classes)
{
    private const int Ipv4Bytes = 20;
    private const int ExtensionBytes = 8;
    private const int UpperBytes = 24;
    private const int EmptyBytes = 46;

    private static readonly byte[] Receiver = [0x0e, 0, 0, 0, 0, 2];
    private static readonly byte[] Elsewhere4 = [198, 51, 100, 7];
    private static readonly byte[] Elsewhere6 = [0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

    /// <param name="vnic">The sender.</param>
    /// <param name="shape">The shape.</param>
    /// <param name="fields">Fields and their classes.</param>
    /// <param name="wanted">The class of each field that matters.</param>
    public static FrameSample Of(
        Vnic vnic, FrameShape shape, FrameFields fields, IReadOnlyList<(int Field, int Class)> wanted)
    {
        Dictionary<int, int> known = wanted.ToDictionary(step => step.Field, step => step.Class);
        byte[] link = Link(vnic, shape);
        byte[] network = shape.EtherType switch
        {
            FrameShape.Ipv4 => Ipv4(vnic, shape),
            FrameShape.Ipv6 => Ipv6(vnic, shape),
            FrameShape.Arp =>
            [
                0, 1, 8, 0, 6, 4, 0, 1, .. vnic.Mac.ToBytes(), .. OwnOf(vnic, IpFamily.V4), 0, 0, 0, 0, 0, 0,
                .. Elsewhere4,
            ],
            _ => new byte[EmptyBytes],
        };
        int size = SizeOf(shape, fields, known, network.Length);
        Array.Resize(ref network, size);
        PutLengths(network, shape);
        int[] classes = new int[fields.Count];
        for (int field = 0; field < fields.Count; field++)
        {
            FrameSlice slice = fields.SliceOf(field);
            byte[] number = new byte[4];
            BinaryPrimitives.WriteInt32BigEndian(number, size);
            byte next = size > FrameShape.Ipv6Bytes + ExtensionBytes
                ? network[FrameShape.Ipv6Bytes + ExtensionBytes] : IpProtocol.Udp;
            byte[] upper = [next];
            classes[field] = Put(
                slice.Part switch
                {
                    FramePart.Link => link,
                    FramePart.Network => network,
                    FramePart.UpperLayer => upper,
                    _ => number,
                }, slice, fields, field, known);
            if (slice.Part == FramePart.UpperLayer && size > FrameShape.Ipv6Bytes + ExtensionBytes)
            {
                network[FrameShape.Ipv6Bytes + ExtensionBytes] = upper[0];
            }
        }

        return new FrameSample([.. link, .. network], classes);
    }

    private static void PutLengths(byte[] network, FrameShape shape)
    {
        if (shape is { EtherType: FrameShape.Ipv4, Protocol: not null } && network.Length >= Ipv4Bytes)
        {
            BinaryPrimitives.WriteUInt16BigEndian(
                network.AsSpan(2), (ushort)Math.Min(network.Length, ushort.MaxValue));
        }

        if (shape.HasPayloadLength && network.Length >= FrameShape.Ipv6Bytes)
        {
            BinaryPrimitives.WriteUInt16BigEndian(
                network.AsSpan(4), (ushort)Math.Min(network.Length - FrameShape.Ipv6Bytes, ushort.MaxValue));
        }
    }

    private static byte[] Link(Vnic vnic, FrameShape shape)
    {
        byte[] type = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(type, shape.EtherType ?? 0x88b5); // for local experiments (IEEE 802)
        byte[] tag = shape.IsTagged ? [0x81, 0, 0, 0] : [];
        return [.. Receiver, .. vnic.Mac.ToBytes(), .. tag, .. type];
    }

    /// <summary>Gives a field a value of its class; of the one that it has, if none is wanted.</summary>
    private static int Put(
        byte[] bytes, FrameSlice slice, FrameFields fields, int field, Dictionary<int, int> known)
    {
        Span<byte> value = stackalloc byte[16];
        Span<byte> present = slice.Offset < bytes.Length
            ? bytes.AsSpan(slice.Offset, Math.Min(slice.Length, bytes.Length - slice.Offset)) : [];
        present.CopyTo(value[(16 - slice.Length)..]);
        UInt128 ordinary = BinaryPrimitives.ReadUInt128BigEndian(value);
        if (!known.TryGetValue(field, out int @class))
        {
            @class = Math.Max(0, fields.ClassOf(field, ordinary));
        }

        BinaryPrimitives.WriteUInt128BigEndian(value, Choose(fields.ValuesOf(field, @class), ordinary));
        value.Slice(16 - slice.Length, present.Length).CopyTo(present);
        return @class;
    }

    private static int SizeOf(
        FrameShape shape, FrameFields fields, Dictionary<int, int> classes, int ordinary)
    {
        int wanted = ordinary;
        if (shape.HasPayloadLength && fields.FieldOf(FrameFields.PayloadLength) is int payload
            && fields.SliceOf(payload) == FrameFields.PayloadLength && classes.TryGetValue(payload, out int @class))
        {
            wanted = FrameShape.Ipv6Bytes + (int)Choose(
                fields.ValuesOf(payload, @class), (UInt128)(ordinary - FrameShape.Ipv6Bytes));
        }

        int field = fields.FieldOf(FrameShape.SizeSlice)!.Value;
        return (int)Choose(
            classes.TryGetValue(field, out int known) ? fields.ValuesOf(field, known)
                : [.. Enumerable.Range(0, fields.ClassesOf(field)).SelectMany(one => fields.ValuesOf(field, one))],
            (UInt128)wanted);
    }

    /// <summary>The value itself, or the nearest one.</summary>
    private static UInt128 Choose(IReadOnlyList<(UInt128 First, UInt128 Last)> values, UInt128 wanted)
    {
        UInt128 best = values[0].First;
        UInt128 away = UInt128.MaxValue;
        foreach ((UInt128 first, UInt128 last) in values)
        {
            UInt128 near = UInt128.Clamp(wanted, first, last);
            UInt128 distance = near > wanted ? near - wanted : wanted - near;
            (best, away) = distance < away ? (near, distance) : (best, away);
        }

        return best;
    }

    private static byte[] Ipv4(Vnic vnic, FrameShape shape)
    {
        byte version = shape.Protocol is null ? (byte)0x65 : (byte)0x45;
        byte[] fragment = shape.IsLater ? [0, 3] : [0, 0];
        return
        [
            version, 0, 0, 0, 0, 0, .. fragment, 64, IpProtocol.Udp, 0, 0, .. OwnOf(vnic, IpFamily.V4), .. Elsewhere4,
            .. Udp(),
        ];
    }

    private static byte[] Ipv6(Vnic vnic, FrameShape shape)
    {
        byte version = shape.Protocol is null ? (byte)0x50 : (byte)0x60;
        byte[] addresses = [.. OwnOf(vnic, IpFamily.V6), .. Elsewhere6];
        bool extended = shape.Protocol is { Offset: not 6 };
        bool deep = shape.Protocol is { Part: FramePart.UpperLayer };
        byte next = !extended ? IpProtocol.Udp : shape.Domain.Any(test => test.Slice.Offset == 42)
            ? FrameShape.Fragment : FrameShape.DestinationOptions;
        byte second = !deep ? IpProtocol.Udp : shape.IsLater ? FrameShape.Fragment : FrameShape.DestinationOptions;
        byte[] later = [0, shape.IsLater ? (byte)8 : (byte)0, 0, 0, 0, 0];
        byte[] options = [1, 4, 0, 0, 0, 0]; // PadN
        byte[] first = [second, 0, .. next != FrameShape.Fragment ? options : deep ? new byte[6] : later];
        byte[] behind = [IpProtocol.Udp, 0, .. second == FrameShape.Fragment ? later : options];
        return
        [
            version, 0, 0, 0, 0, 0, next, 64, .. addresses, .. extended ? first : [], .. deep ? behind : [], .. Udp(),
        ];
    }

    private static byte[] Udp()
    {
        byte[] header = new byte[UpperBytes];
        BinaryPrimitives.WriteUInt16BigEndian(header, 4000);
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(2), 53);
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(4), UpperBytes);
        return header;
    }

    private static byte[] OwnOf(Vnic vnic, IpFamily family)
    {
        IpPrefix[] own = [.. vnic.Addresses.Concat(vnic.DelegatedPrefixes).Where(prefix => prefix.Family == family)];
        UInt128 address = own.Length > 0 ? own[0].First
            : family == IpFamily.V6 ? PolicyOracle.LinkLocal(vnic.Mac) : 0x0a00_0001;
        return IpPrefix.AddressOf(family, address).GetAddressBytes();
    }
}
