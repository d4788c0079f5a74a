using System.Buffers;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Agent.Contract;

/// <summary>
/// What a message costs beside its bytes, found before it is unpacked: two bytes may stand for an object of 400.
/// </summary>
/// <remarks>
/// A message inside it weighs 96, a text 8, an unknown field 96; a quarter of what they take in memory beside their
/// content, so that bytes and weight together are at least a quarter of the memory.
/// </remarks>
public static class MessageWeight
{
    /// <summary>Of one message; 700,000 rules, or 8 million members.</summary>
    public const long Most = 64L << 20;

    private const int PerMessage = 96;
    private const int PerText = 8;

    /// <summary>Deeper than any message of the contract.</summary>
    private const int DepthMax = 16;

    /// <summary>Walks over the bytes, makes nothing of them. Ends at what is malformed, as a parser will.</summary>
    public static long Of(ReadOnlySequence<byte> wire, MessageDescriptor type)
    {
        var walk = new Walk(wire);
        walk.Over(type, wire.Length, depth: 0);
        return walk.Weight;
    }

    /// <summary>Of what was unpacked already.</summary>
    public static long Of(V1.SnapshotChunk chunk)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        long messages = chunk.Groups.Count + chunk.PrefixLists.Count + chunk.PortLists.Count + chunk.Vnics.Count
            + chunk.Vpcs.Count;
        long texts = 0;
        foreach (V1.SecurityGroup group in chunk.Groups)
        {
            messages += (long)group.Rules.Count + group.Labels.Count;
            texts += group.Members.Count;
        }

        texts += chunk.PrefixLists.Sum(list => (long)list.Entries.Count)
            + chunk.PortLists.Sum(list => (long)list.Entries.Count)
            + chunk.Vnics.Sum(vnic =>
                (long)vnic.Addresses.Count + vnic.DelegatedPrefixes.Count + vnic.GroupIds.Count)
            + chunk.Vpcs.Sum(vpc => (long)vpc.UplinkInterfaces.Count);
        return (messages * PerMessage) + (texts * PerText);
    }

    private ref struct Walk(ReadOnlySequence<byte> wire)
    {
        private SequenceReader<byte> reader = new(wire);

        public long Weight { get; private set; }

        /// <returns>False: malformed.</returns>
        public bool Over(MessageDescriptor type, long end, int depth)
        {
            while (reader.Consumed < end)
            {
                if (!TryVarint(end, out ulong tag) || !Field(type, (uint)(tag & uint.MaxValue), end, depth))
                {
                    return false;
                }
            }

            return true;
        }

        private bool Field(MessageDescriptor type, uint tag, long end, int depth)
        {
            FieldDescriptor? field = type.FindFieldByNumber((int)(tag >> 3));
            Weight += field?.FieldType switch
            {
                FieldType.Message or null => PerMessage,
                FieldType.String or FieldType.Bytes => PerText,
                _ => 0,
            };
            switch (WireFormat.GetTagWireType(tag))
            {
                case WireFormat.WireType.Varint: return TryVarint(end, out _);
                case WireFormat.WireType.Fixed64: return TrySkip(8, end);
                case WireFormat.WireType.Fixed32: return TrySkip(4, end);
                case WireFormat.WireType.LengthDelimited:
                    if (!TryVarint(end, out ulong length) || length > (ulong)(end - reader.Consumed))
                    {
                        return false;
                    }

                    return field?.FieldType == FieldType.Message && depth < DepthMax
                        ? Over(field.MessageType, reader.Consumed + (long)length, depth + 1)
                        : TrySkip((long)length, end);
                default: return true; // a group's ends: what is in it is walked over like its neighbours
            }
        }

        private bool TrySkip(long bytes, long end)
        {
            if (bytes > end - reader.Consumed)
            {
                return false;
            }

            reader.Advance(bytes);
            return true;
        }

        private bool TryVarint(long end, out ulong value)
        {
            value = 0;
            for (int shift = 0; shift < 70 && reader.Consumed < end && reader.TryRead(out byte next); shift += 7)
            {
                value |= shift < 64 ? unchecked((ulong)(next & 0x7f) << shift) : 0;
                if (next < 0x80)
                {
                    return true;
                }
            }

            return false;
        }
    }
}
