using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Agent.Cli.Input;
using Google.Protobuf;

namespace Agent.Cli.Output;

/// <summary>JSON for programs. Messages are protobuf's JSON with the field names of the .proto.</summary>
internal static class Json
{
    private static readonly JsonFormatter Whole = new(
        JsonFormatter.Settings.Default
            .WithPreserveProtoFieldNames(true).WithIndentation().WithFormatDefaultValues(true));

    private static readonly JsonFormatter Plain = new(
        JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true).WithFormatDefaultValues(true));

    private static readonly JsonFormatter Sparse = new(
        JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true).WithIndentation());

    private static readonly JsonWriterOptions Options = new()
    {
        Indented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // it goes to programs and files, never into a page
    };

    /// <summary>Answers: every field stands there, so that a reader need not know the defaults.</summary>
    public static string Answer(IMessage message) => Whole.Format(message) + "\n";

    /// <summary>States: what a person would write in a file.</summary>
    public static string State(IMessage message) => Sparse.Format(message) + "\n";

    /// <summary>One message on one line: for answers that have no end.</summary>
    public static string Line(IMessage message) => Plain.Format(message) + "\n";

    /// <summary>{ "name": [ ... ] }, where a verb answers with one of a message's lists.</summary>
    public static string List(string name, IEnumerable<IMessage> messages) => Document(json =>
    {
        json.WriteStartArray(name);
        foreach (IMessage message in messages)
        {
            using JsonDocument one = JsonDocument.Parse(Whole.Format(message));
            one.WriteTo(json);
        }

        json.WriteEndArray();
    });

    /// <summary>A document that is no message.</summary>
    public static string Document(Action<Utf8JsonWriter> write) => Text(json =>
    {
        json.WriteStartObject();
        write(json);
        json.WriteEndObject();
    });

    /// <summary>Whatever is written, and the end of its last line.</summary>
    public static string Text(Action<Utf8JsonWriter> write)
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, Options))
        {
            write(json);
        }

        return Encoding.UTF8.GetString(text.GetBuffer().AsSpan(0, (int)text.Length)) + "\n";
    }

    public static void Write(Utf8JsonWriter json, string name, IEnumerable<string> texts)
    {
        json.WriteStartArray(name);
        foreach (string text in texts)
        {
            json.WriteStringValue(text);
        }

        json.WriteEndArray();
    }

    public static void Write(Utf8JsonWriter json, string name, IEnumerable<FileFault> faults)
    {
        json.WriteStartArray(name);
        foreach (FileFault one in faults)
        {
            json.WriteStartObject();
            if (one.File is string file)
            {
                json.WriteString("file", file);
            }

            if (one.At is Place at)
            {
                json.WriteNumber("line", at.Line);
                json.WriteNumber("column", at.Column);
            }

            json.WriteString("path", one.Fault.Path);
            json.WriteString("code", one.Fault.Code);
            json.WriteString("message", one.Fault.Message);
            json.WriteString("remedy", one.Fault.Remedy);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
