using System.Text;
using System.Text.Json;
using Agent.Cli.Output;

namespace Agent.Cli.Support;

/// <summary>A JSON document with its texts exchanged and its structure kept.</summary>
internal static class JsonTexts
{
    /// <param name="json">A whole document.</param>
    /// <param name="exchange">Told the name that a text stands under, and the text.</param>
    /// <exception cref="JsonException">It is no JSON.</exception>
    public static string Rewrite(string json, Func<string, string, string> exchange) => Json.Text(writer =>
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(json));
        string name = "";
        while (reader.Read())
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject: writer.WriteStartObject(); break;
                case JsonTokenType.EndObject: writer.WriteEndObject(); break;
                case JsonTokenType.StartArray: writer.WriteStartArray(); break;
                case JsonTokenType.EndArray: writer.WriteEndArray(); break;
                case JsonTokenType.PropertyName:
                    name = reader.GetString()!;
                    writer.WritePropertyName(name);
                    break;
                case JsonTokenType.String: writer.WriteStringValue(exchange(name, reader.GetString()!)); break;
                default: writer.WriteRawValue(reader.ValueSpan); break;
            }
        }
    });
}
