using System.Buffers;
using Agent.Contract;
using Agent.Policy;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Snapshot = Agent.V1.Snapshot;
using SyncRequest = Agent.V1.SyncRequest;

namespace Agent.Tests.Contract;

/// <summary>What a message takes in memory is known from its bytes, before it does.</summary>
public class WeightTests
{
    private const int Elements = 20_000;

    /// <summary>Path of repeated fields from a request, "snapshot_chunk.groups.rules".</summary>
    public static TheoryData<string> Repeated => [.. RepeatedFields(SyncRequest.Descriptor, "")
        .Concat(RepeatedFields(V1.ApplySnapshotRequest.Descriptor, "apply:")).Select(path => path)];

    /// <summary>Every list of the contract, full of the smallest elements that there are.</summary>
    [Theory]
    [MemberData(nameof(Repeated))]
    public void Bytes_and_weight_bound_the_memory_of_the_smallest_elements(string path)
    {
        MessageDescriptor root = path.StartsWith("apply:", StringComparison.Ordinal)
            ? V1.ApplySnapshotRequest.Descriptor : SyncRequest.Descriptor;
        foreach (byte[] element in (byte[][])[[0], [1, (byte)'x'], [3, 0x98, 6, 1]]) // empty; a letter; unknown
        {
            byte[] wire = Filled(root, path.Split(':')[^1].Split('.'), element);
            MessageParser parser = root.Parser.WithDiscardUnknownFields(true);
            long weight = MessageWeight.Of(new ReadOnlySequence<byte>(wire), root);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                GC.KeepAlive(parser.ParseFrom(wire));
            }
            catch (InvalidProtocolBufferException)
            {
                // A letter is no message.
            }

            long took = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(
                took < (5 * (wire.Length + weight)) + 100_000, $"{wire.Length} bytes, {weight} weight, {took} taken");
        }
    }

    [Fact]
    public void The_largest_message_full_of_nothing_is_too_heavy_and_is_weighed_without_memory()
    {
        byte[] wire = new byte[64 << 20];
        Span<byte> chunk = wire;
        int begin = Head(wire, field: 3); // snapshot_chunk
        for (int i = begin; i + 1 < chunk.Length; i += 2)
        {
            chunk[i] = 0x0a; // groups, of length 0
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        long weight = MessageWeight.Of(new ReadOnlySequence<byte>(wire), SyncRequest.Descriptor);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1000);
        Assert.True(weight > 40 * MessageWeight.Most, $"{weight}");
    }

    [Fact]
    public void A_host_of_everything_that_the_limits_allow_is_not_too_heavy()
    {
        Snapshot large = Messages.Valid();
        large.Group("web").Members.AddRange(Enumerable.Range(0, 65_536).Select(i => $"10.77.{i >> 8}.{i & 255}"));
        for (int i = 0; i < 40; i++)
        {
            V1.SecurityGroup group = large.Group("web").Clone();
            group.Id = $"web{i}";
            large.Groups.Add(group);
        }

        long weight = MessageWeight.Of(new ReadOnlySequence<byte>(large.ToByteArray()), Snapshot.Descriptor);
        Assert.InRange(weight, 1, MessageWeight.Most);
    }

    [Fact]
    public void A_chunk_weighs_no_more_unpacked_than_on_the_wire_and_takes_its_share_of_the_budget()
    {
        var random = new Random(1);
        for (int i = 0; i < 50; i++)
        {
            foreach (SyncRequest part in AssemblerTests.Stream(RandomStates.Next(random, 3), random))
            {
                if (part.SnapshotChunk is { } chunk)
                {
                    Assert.InRange(MessageWeight.Of(chunk), 96, MessageWeight.Of(
                        new ReadOnlySequence<byte>(chunk.ToByteArray()), V1.SnapshotChunk.Descriptor));
                }
            }
        }

        using var assembler = new SnapshotAssembler(PolicyLimits.Default, new SnapshotBudget(100_000));
        assembler.Begin(new V1.SnapshotBegin { Revision = 1 });
        var nothing = new V1.SnapshotChunk();
        nothing.Vnics.AddRange(Enumerable.Range(0, 2000).Select(_ => new V1.Vnic()));
        Assert.Equal(Codes.Limit, Assert.Single(assembler.Add(nothing)).Code);
    }

    private static IEnumerable<string> RepeatedFields(MessageDescriptor type, string path)
    {
        foreach (FieldDescriptor field in type.Fields.InDeclarationOrder())
        {
            string at = path.Length == 0 || path.EndsWith(':') ? path + field.Name : $"{path}.{field.Name}";
            if (field.IsRepeated)
            {
                yield return at;
            }

            foreach (string inner in field.FieldType == FieldType.Message && !field.IsMap
                ? RepeatedFields(field.MessageType, at) : [])
            {
                yield return inner;
            }
        }
    }

    private static byte[] Filled(MessageDescriptor type, ReadOnlySpan<string> path, byte[] element)
    {
        FieldDescriptor field = type.FindFieldByName(path[0]);
        using var stream = new MemoryStream();
        using var output = new CodedOutputStream(stream);
        if (path.Length > 1)
        {
            output.WriteTag(field.FieldNumber, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(ByteString.CopyFrom(Filled(field.MessageType, path[1..], element)));
        }

        for (int i = path.Length > 1 ? Elements : 0; i < Elements; i++)
        {
            output.WriteTag(field.FieldNumber, WireFormat.WireType.LengthDelimited);
            output.Flush();
            stream.Write(element);
        }

        output.Flush();
        return stream.ToArray();
    }

    private static int Head(byte[] wire, int field)
    {
        using var output = new CodedOutputStream(wire);
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteLength(wire.Length - 5);
        return (int)output.Position;
    }
}
