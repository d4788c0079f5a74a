using System.Collections.Immutable;

namespace Agent.Evaluator.Guards;

/// <summary>Which bytes of a frame, or what about it.</summary>
internal enum FramePart : byte
{
    /// <summary>Bytes behind the link-layer header: a number, not bytes of the frame.</summary>
    Length,

    /// <summary>The link-layer header, its outermost tag in it.</summary>
    Link,

    /// <summary>What follows it.</summary>
    Network,

    /// <summary>The upper layer's number, where it stands behind more headers than one reads.</summary>
    UpperLayer,
}

/// <summary>Some bytes of a frame.</summary>
/// <param name="Part">Of what.</param>
/// <param name="Offset">From where on.</param>
/// <param name="Length">How many; 1 to 16.</param>
internal readonly record struct FrameSlice(FramePart Part, int Offset, int Length)
{
    public int End => Offset + Length;

    public override string ToString() => $"{Part} {Offset}, {Length} bytes";
}

/// <summary>A condition on a frame: the slice's value is among some.</summary>
internal readonly record struct FrameTest(FrameSlice Slice, FrameSet Values);

/// <summary>How the headers of frames stand, for all frames of which they stand so.</summary>
/// <remarks>
/// <para>
/// Every frame is of a shape. Inside of one, headers are where they are, and what they hold is free: each slice of
/// bytes is a field of its own, with <see cref="Domain"/> as the only bounds. The kernel's way to the upper layer is
/// that of <see cref="PacketBytes.OfFrame"/>; what it cannot follow is a shape without an upper layer.
/// </para>
/// <para>
/// IPv4 options, and the length of an IPv6 extension header, only shift what stands behind them: one length stands for
/// all, and a program that reads across (<see cref="SolidBytes"/>) is not modelled. Shapes may have more frames than
/// there are (total lengths, versions): what is proved for more is proved.
/// </para>
/// </remarks>
internal sealed record FrameShape
{
    public const ushort Ipv4 = 0x0800;
    public const ushort Ipv6 = 0x86dd;
    public const ushort Arp = 0x0806;
    public const ushort Vlan = 0x8100;
    public const ushort ServiceVlan = 0x88a8;

    public const byte HopByHop = 0;
    public const byte Routing = 43;
    public const byte Fragment = 44;
    public const byte Authentication = 51;
    public const byte DestinationOptions = 60;

    private const int EthernetBytes = 14;
    private const int TagBytes = 4;
    private const int Ipv4Bytes = 20;
    public const int Ipv6Bytes = 40;

    /// <summary>The shortest extension header.</summary>
    private const int ExtensionBytes = 8;

    /// <summary>No frame has more: BIG TCP takes less than this.</summary>
    public const int LengthMax = 1 << 20;

    public static readonly FrameSlice SizeSlice = new(FramePart.Length, 0, 4);
    private static readonly FrameSlice Ipv6Next = new(FramePart.Network, 6, 1);
    private static readonly FrameSlice Ipv6Second = new(FramePart.Network, 40, 1);
    private static readonly FrameSlice Ipv4Offset = new(FramePart.Network, 6, 2);
    private static readonly FrameSlice Ipv6Offset = new(FramePart.Network, 42, 2);
    private static readonly FrameSet Extensions = FrameSet.Of(1, HopByHop, Routing, Fragment, DestinationOptions);
    private static readonly FrameSet Options = FrameSet.Of(1, HopByHop, Routing, DestinationOptions);
    private static readonly FrameSet UpperLayers = Extensions.Complement();

    private static readonly FrameSet LaterUpperLayers =
        FrameSet.Of(1, HopByHop, Routing, Fragment, DestinationOptions, Authentication).Complement();

    private static readonly FrameSet FirstV4 = FrameSet.Masked(2, 0x1fff, 0)!;
    private static readonly FrameSet FirstV6 = FrameSet.Masked(2, 0xfff8, 0)!;
    private static readonly FrameSet Lengths = FrameSet.Between(4, 0, LengthMax);
    private static readonly FrameTest Version4 =
        new(new FrameSlice(FramePart.Network, 0, 1), FrameSet.Between(1, 0x45, 0x4f));

    private static readonly FrameTest Version6 =
        new(new FrameSlice(FramePart.Network, 0, 1), FrameSet.Between(1, 0x60, 0x6f));

    /// <summary>For people.</summary>
    public required string Name { get; init; }

    /// <summary>The outermost VLAN tag is there.</summary>
    public bool IsTagged { get; init; }

    /// <summary>The type behind a tag; null: neither IPv4, IPv6 nor ARP.</summary>
    public ushort? EtherType { get; init; }

    /// <summary>The upper layer's number; null: the way to it cannot be followed, or there is none.</summary>
    public FrameSlice? Protocol { get; init; }

    /// <summary>Where the upper layer's header begins in the network bytes; null: no load of it succeeds.</summary>
    public int? Transport { get; init; }

    /// <summary>
    /// A fragment that is not the first. Newer kernels load nothing of its upper layer, older ones some bytes: each is
    /// a shape (ProgramRun.TransportOf).
    /// </summary>
    public bool IsLater { get; init; }

    /// <summary>Loads from the network header must end here; what follows stands at different places.</summary>
    public int SolidBytes { get; init; } = int.MaxValue;

    /// <summary>What all frames of the shape fulfil.</summary>
    public required ImmutableArray<FrameTest> Domain { get; init; }

    /// <summary>An IPv6 header says how long the packet is, and the frame is no shorter.</summary>
    public bool HasPayloadLength { get; init; }

    public int LinkBytes => IsTagged ? EthernetBytes + TagBytes : EthernetBytes;

    /// <summary>The type as it stands in the header, behind a tag.</summary>
    public FrameSlice TypeSlice => new(FramePart.Link, LinkBytes - 2, 2);

    public static ImmutableArray<FrameShape> All { get; } =
        [.. Untagged().SelectMany(shape => new[] { shape, Tag(shape) })];

    public override string ToString() => Name;

    private static IEnumerable<FrameShape> Untagged() =>
        [.. Ipv4Shapes(), .. Ipv6Shapes(), Of("ARP", Arp), Other()];

    private static FrameShape Tag(FrameShape shape) => shape with
    {
        Name = $"{shape.Name}, tagged",
        IsTagged = true,
        Domain =
        [
            .. shape.Domain.Select(test => test.Slice.Part == FramePart.Link
                ? test with { Slice = test.Slice with { Offset = test.Slice.Offset + TagBytes } } : test),
            new FrameTest(new FrameSlice(FramePart.Link, EthernetBytes - 2, 2), FrameSet.Of(2, Vlan, ServiceVlan)),
        ],
    };

    private static FrameShape Of(string name, ushort type, params ReadOnlySpan<FrameTest> tests) => new()
    {
        Name = name,
        EtherType = type,
        Domain =
        [
            new FrameTest(new FrameSlice(FramePart.Link, EthernetBytes - 2, 2), FrameSet.Of(2, type)),
            new FrameTest(SizeSlice, Lengths), .. tests.ToArray(),
        ],
    };

    private static FrameShape Other() => new()
    {
        Name = "another type of frame",
        Domain =
        [
            new FrameTest(
                new FrameSlice(FramePart.Link, EthernetBytes - 2, 2), FrameSet.Of(2, Ipv4, Ipv6, Arp).Complement()),
            new FrameTest(SizeSlice, Lengths),
        ],
    };

    private static IEnumerable<FrameShape> Ipv4Shapes()
    {
        FrameTest whole = AtLeast(Ipv4Bytes);
        FrameShape first = Of("IPv4", Ipv4, whole, Version4, new FrameTest(Ipv4Offset, FirstV4)) with
        {
            Protocol = new FrameSlice(FramePart.Network, 9, 1),
            Transport = Ipv4Bytes,
            SolidBytes = Ipv4Bytes,
        };
        FrameShape later = Of(
            "IPv4, later fragment", Ipv4, whole, Version4, new FrameTest(Ipv4Offset, FirstV4.Complement())) with
        {
            Protocol = first.Protocol,
            SolidBytes = Ipv4Bytes,
            IsLater = true,
        };
        return [Of("IPv4, header broken", Ipv4), first, later, Older(later, Ipv4Bytes)];
    }

    private static IEnumerable<FrameShape> Ipv6Shapes()
    {
        yield return Of("IPv6, headers broken", Ipv6);
        yield return Of("IPv6", Ipv6, AtLeast(Ipv6Bytes), Version6, new FrameTest(Ipv6Next, UpperLayers)) with
        {
            Protocol = Ipv6Next,
            Transport = Ipv6Bytes,
            HasPayloadLength = true,
        };
        foreach (FrameShape first in (FrameShape[])[
            Of("IPv6 with options", Ipv6, new FrameTest(Ipv6Next, Options)),
            Of("IPv6, first fragment", Ipv6,
                new FrameTest(Ipv6Next, FrameSet.Of(1, Fragment)), new FrameTest(Ipv6Offset, FirstV6))])
        {
            yield return Extended(first, 1, new FrameTest(Ipv6Second, UpperLayers)) with
            {
                Protocol = Ipv6Second,
                Transport = Ipv6Bytes + ExtensionBytes,
            };
            FrameShape deep = Extended(first, 2, new FrameTest(Ipv6Second, Extensions)) with
            {
                Name = $"{first.Name}, and more headers",
                Protocol = new FrameSlice(FramePart.UpperLayer, 0, 1),
            };
            yield return Behind(deep, UpperLayers) with { Transport = Ipv6Bytes + 2 * ExtensionBytes };
            FrameShape hidden = Behind(deep, LaterUpperLayers) with
            {
                Name = $"{deep.Name}, later fragment",
                IsLater = true,
            };
            yield return hidden;
            yield return Older(hidden, 0);
        }

        FrameShape later = Extended(
            Of("IPv6, later fragment", Ipv6, new FrameTest(Ipv6Next, FrameSet.Of(1, Fragment)),
                new FrameTest(Ipv6Offset, FirstV6.Complement())), 1, new FrameTest(Ipv6Second, LaterUpperLayers)) with
        {
            Protocol = Ipv6Second,
            IsLater = true,
        };
        yield return later;
        yield return Older(later, 0);
    }

    private static FrameShape Extended(FrameShape shape, int headers, FrameTest second) => shape with
    {
        Domain =
        [
            .. shape.Domain.Where(test => test.Slice != SizeSlice),
            AtLeast(Ipv6Bytes + headers * ExtensionBytes), Version6, second,
        ],
        SolidBytes = Ipv6Bytes + ExtensionBytes,
        HasPayloadLength = true,
    };

    private static FrameShape Behind(FrameShape shape, FrameSet upperLayers) => shape with
    {
        Domain = [.. shape.Domain, new FrameTest(shape.Protocol!.Value, upperLayers)],
    };

    private static FrameShape Older(FrameShape shape, int transport) => shape with
    {
        Name = $"{shape.Name}, to an older kernel",
        Transport = transport,
    };

    private static FrameTest AtLeast(int bytes) => new(SizeSlice, FrameSet.Between(4, (UInt128)bytes, LengthMax));
}
