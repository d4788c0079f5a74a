using System.Text;
using System.Text.Json;

namespace Agent.Cli.Input;

/// <summary>Reads JSON (RFC 8259, nothing more) and keeps the places.</summary>
internal ref struct JsonNodes
{
    private readonly ReadOnlySpan<byte> text;
    private Utf8JsonReader reader;
    private long counted;
    private long line;
    private long lineStart;

    private JsonNodes(ReadOnlySpan<byte> text)
    {
        this.text = text;
        reader = new Utf8JsonReader(text);
        line = 1;
    }

    /// <exception cref="MalformedTextException">It is not JSON.</exception>
    public static Node Read(ReadOnlySpan<byte> utf8)
    {
        var nodes = new JsonNodes(utf8);
        try
        {
            nodes.reader.Read();
            Node root = nodes.Value();
            nodes.reader.Read(); // reports what stands behind the end
            return root;
        }
        catch (JsonException e)
        {
            string message = e.Message.Split(" LineNumber:")[0].Split(" Change the reader options")[0];
            throw new MalformedTextException(
                new Place((e.LineNumber ?? 0) + 1, (e.BytePositionInLine ?? 0) + 1), message, "Correct the JSON.");
        }
        catch (InvalidOperationException)
        {
            // Well-formed JSON may escape half of a pair, which is no text.
            throw new MalformedTextException(
                nodes.Here(), "half of a surrogate pair is no character", "Correct the \\u escape.");
        }
    }

    private Node Value()
    {
        Place at = Here();
        switch (reader.TokenType)
        {
            case JsonTokenType.StartObject: return Object(at);
            case JsonTokenType.StartArray: return Array(at);
            case JsonTokenType.String: return new Scalar(at, reader.GetString()!, ScalarKind.Text);
            case JsonTokenType.Number:
                return new Scalar(at, Encoding.UTF8.GetString(reader.ValueSpan), ScalarKind.Number);
            case JsonTokenType.True: return new Scalar(at, "true", ScalarKind.Boolean);
            case JsonTokenType.False: return new Scalar(at, "false", ScalarKind.Boolean);
            default: return new Scalar(at, "null", ScalarKind.Null);
        }
    }

    private Mapping Object(Place at)
    {
        var entries = new List<Entry>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            Place keyAt = Here();
            string key = reader.GetString()!;
            reader.Read();
            entries.Add(new Entry(keyAt, key, Value()));
        }

        return new Mapping(at, entries);
    }

    private Sequence Array(Place at)
    {
        var items = new List<Node>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            items.Add(Value());
        }

        return new Sequence(at, items);
    }

    // Tokens come in order, so that each byte is looked at once.
    private Place Here()
    {
        for (; counted < reader.TokenStartIndex; counted++)
        {
            if (text[(int)counted] == (byte)'\n')
            {
                line++;
                lineStart = counted + 1;
            }
        }

        return new Place(line, counted - lineStart + 1);
    }
}
