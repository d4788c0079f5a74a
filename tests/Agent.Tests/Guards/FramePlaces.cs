using Agent.Evaluator;
using Agent.Evaluator.Guards;

namespace Agent.Tests.Guards;

/// <summary>Where a real frame is in the prover's functions, found from its bytes.</summary>
internal static class FramePlaces
{
    /// <summary>The shapes that it is of: one, or two if kernels differ about it.</summary>
    public static IEnumerable<FrameShape> ShapesOf(PacketBytes frame) => FrameShape.All.Where(shape =>
        shape.IsTagged == (frame.Link.Length == 18)
        && (shape.EtherType ?? frame.EtherType) == frame.EtherType
        && (shape.EtherType is not null
            || frame.EtherType is not (FrameShape.Ipv4 or FrameShape.Ipv6 or FrameShape.Arp))
        && shape.Protocol is null == frame.TransportOffset < 0
        && shape.IsLater == frame.IsLaterFragment
        && shape.Domain.All(test => Value(frame, shape, test.Slice) is UInt128 value && test.Values.Contains(value)));

    /// <summary>The class of each field; of one that the frame does not have, any.</summary>
    public static int ClassOf(PacketBytes frame, FrameShape shape, FrameFields fields, int field)
    {
        if (Value(frame, shape, fields.SliceOf(field)) is not UInt128 value)
        {
            return 0;
        }

        int found = fields.ClassOf(field, value);
        Assert.True(found >= 0, $"{shape}: {fields.SliceOf(field)} cannot be {value:x}");
        return found;
    }

    private static UInt128? Value(PacketBytes frame, FrameShape shape, FrameSlice slice)
    {
        // What stands behind longer headers is further away than in the shape.
        int further = shape.IsLater || shape.Transport is not int start ? 0 : frame.TransportOffset - start;
        ReadOnlySpan<byte> bytes = slice.Part == FramePart.Link ? frame.Link.AsSpan() : frame.Network.AsSpan();
        int from = slice.Part == FramePart.Network && slice.Offset >= shape.SolidBytes
            ? slice.Offset + further : slice.Offset;
        return slice.Part switch
        {
            FramePart.Length => (UInt128)(frame.Network.Length - Math.Max(0, further)),
            FramePart.UpperLayer => frame.Protocol,
            _ when from >= bytes.Length => null,
            _ => Padded(bytes[from..Math.Min(bytes.Length, from + slice.Length)], slice.Length),
        };
    }

    private static UInt128 Padded(ReadOnlySpan<byte> bytes, int length)
    {
        byte[] all = new byte[length];
        bytes.CopyTo(all);
        return GuardReader.Number(all);
    }
}
