using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Agent.Policy;
using Google.Protobuf;

namespace Agent.Cli.Input;

/// <summary>JSON or YAML as the message that it must become.</summary>
internal static class MessageDocument
{
    private const int MostSaid = 300;

    /// <returns>The message, or everything that is wrong with the document.</returns>
    public static (T? Message, ImmutableArray<FileFault> Faults) Read<T>(Node root)
        where T : class, IMessage<T>, new()
    {
        var text = new MemoryStream();
        using var json = new Utf8JsonWriter(text);
        var reader = new SchemaReader(json);
        reader.Message(Trail.Root, new T().Descriptor, root);
        json.Flush();
        if (reader.Faults.Count > 0)
        {
            return (null, [.. reader.Faults]);
        }

        try
        {
            return (JsonParser.Default.Parse<T>(
                Encoding.UTF8.GetString(text.GetBuffer().AsSpan(0, (int)text.Length))), []);
        }
        catch (InvalidProtocolBufferException e)
        {
            return (null, [Fault(root.At, e.Message, "Correct the file.")]);
        }
    }

    /// <summary>That something cannot be read at all. Parsers repeat what they stumble over, however long it is.
    /// </summary>
    public static FileFault Fault(Place at, string message, string remedy) => new(
        at, new PolicyFault("", FileCodes.Malformed, SchemaReader.Shorten(message, MostSaid), remedy));
}
