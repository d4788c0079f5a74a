using System.Globalization;
using Google.Protobuf;

namespace Agent.KernelTests.Tracing;

/// <summary>A span as it travels (opentelemetry/proto/trace/v1/trace.proto), as far as the tests look.</summary>
internal sealed record OtlpSpan
{
    public string TraceId { get; private init; } = "";

    public string SpanId { get; private init; } = "";

    /// <summary>Empty: a root.</summary>
    public string ParentId { get; private init; } = "";

    public string Name { get; private init; } = "";

    /// <summary>Nanoseconds since 1970.</summary>
    public ulong Start { get; private init; }

    public ulong End { get; private init; }

    /// <summary>2: an error.</summary>
    public int StatusCode { get; private init; }

    public string StatusMessage { get; private init; } = "";

    public IReadOnlyDictionary<string, string> Attributes { get; private init; } = new Dictionary<string, string>();

    /// <summary>Of the process that it comes from.</summary>
    public IReadOnlyDictionary<string, string> Resource { get; private init; } = new Dictionary<string, string>();

    /// <summary>Trace and span ids.</summary>
    public IReadOnlyList<(string TraceId, string SpanId)> Links { get; private init; } = [];

    /// <summary>The spans of an ExportTraceServiceRequest.</summary>
    public static IReadOnlyList<OtlpSpan> Of(ReadOnlySpan<byte> request)
    {
        var spans = new List<OtlpSpan>();
        foreach ((_, byte[] resourceSpans) in Fields(request.ToArray()).Where(field => field.Number == 1))
        {
            (int Number, byte[] Value)[] parts = [.. Fields(resourceSpans)];
            Dictionary<string, string> resource = Attribute(
                parts.Where(part => part.Number == 1).SelectMany(part => Fields(part.Value)), number: 1);
            spans.AddRange(parts.Where(part => part.Number == 2).SelectMany(part => Fields(part.Value))
                .Where(part => part.Number == 2).Select(part => Span(part.Value) with { Resource = resource }));
        }

        return spans;
    }

    private static OtlpSpan Span(byte[] bytes)
    {
        (int Number, byte[] Value)[] fields = [.. Fields(bytes)];
        (int Number, byte[] Value)[] status = [.. fields.Where(field => field.Number == 15)
            .SelectMany(field => Fields(field.Value))];
        return new OtlpSpan
        {
            TraceId = Hex(fields, 1),
            SpanId = Hex(fields, 2),
            ParentId = Hex(fields, 4),
            Name = Text(fields, 5),
            Start = BitConverter.ToUInt64(fields.Single(field => field.Number == 7).Value),
            End = BitConverter.ToUInt64(fields.Single(field => field.Number == 8).Value),
            Attributes = Attribute(fields, number: 9),
            Links = [.. fields.Where(field => field.Number == 13).Select(field => Fields(field.Value).ToArray())
                .Select(link => (Hex(link, 1), Hex(link, 2)))],
            StatusMessage = Text(status, 2),
            StatusCode = (int)Number(status.FirstOrDefault(field => field.Number == 3).Value),
        };
    }

    private static Dictionary<string, string> Attribute(IEnumerable<(int Number, byte[] Value)> fields, int number) =>
        fields.Where(field => field.Number == number).Select(field => Fields(field.Value).ToArray())
            .ToDictionary(pair => Text(pair, 1), pair => Value(Fields(pair.Single(part => part.Number == 2).Value)
                .Single()));

    private static string Value((int Number, byte[] Value) any) => any.Number switch
    {
        1 => System.Text.Encoding.UTF8.GetString(any.Value),
        2 => Number(any.Value) != 0 ? "true" : "false",
        3 => Number(any.Value).ToString(CultureInfo.InvariantCulture),
        _ => throw new FormatException($"attribute value of kind {any.Number}"),
    };

    private static string Hex((int Number, byte[] Value)[] fields, int number) =>
        Convert.ToHexStringLower(fields.FirstOrDefault(field => field.Number == number).Value ?? []);

    private static string Text((int Number, byte[] Value)[] fields, int number) =>
        System.Text.Encoding.UTF8.GetString(fields.FirstOrDefault(field => field.Number == number).Value ?? []);

    private static long Number(byte[]? value) => value is null ? 0 : BitConverter.ToInt64(value);

    /// <summary>Field numbers with what they carry; numbers as 8 bytes, little endian.</summary>
    private static List<(int Number, byte[] Value)> Fields(byte[] message)
    {
        var fields = new List<(int, byte[])>();
        using var input = new CodedInputStream(message);
        while (input.ReadTag() is var tag && tag != 0)
        {
            fields.Add((WireFormat.GetTagFieldNumber(tag), WireFormat.GetTagWireType(tag) switch
            {
                WireFormat.WireType.Varint => BitConverter.GetBytes(input.ReadInt64()),
                WireFormat.WireType.Fixed64 => BitConverter.GetBytes(input.ReadFixed64()),
                WireFormat.WireType.Fixed32 => BitConverter.GetBytes((ulong)input.ReadFixed32()),
                WireFormat.WireType.LengthDelimited => input.ReadBytes().ToByteArray(),
                var other => throw new FormatException($"wire type {other}"),
            }));
        }

        return fields;
    }
}
