using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Tests.Documents;

/// <summary>JSON Schemas (draft 2020-12) of what verbs print with --json, from agent.proto.</summary>
internal static class JsonSchemas
{
    /// <summary>Of what is no message.</summary>
    private const string Definitions = """
        {
          "error": {
            "type": "object",
            "description": "What could not be done.",
            "required": ["error"],
            "properties": {
              "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                  "code": { "type": "string", "description": "One word, such as usage, unreachable, input_invalid." },
                  "message": { "type": "string" },
                  "remedy": { "type": "string", "description": "What to do about it; may be empty." },
                  "file": { "type": "string", "description": "The policy file that has the faults." },
                  "faults": { "type": "array", "items": { "$ref": "#/$defs/fault" } }
                }
              }
            }
          },
          "fault": {
            "type": "object",
            "description": "One thing that is wrong with a policy file.",
            "required": ["path", "code", "message", "remedy"],
            "properties": {
              "file": { "type": "string", "description": "Where several were read." },
              "line": { "type": "integer", "minimum": 1 },
              "column": { "type": "integer", "minimum": 1 },
              "path": { "type": "string", "description": "Such as groups[sg-web].rules[http].port_range." },
              "code": { "type": "string" },
              "message": { "type": "string" },
              "remedy": { "type": "string" }
            }
          }
        }
        """;

    private static readonly JsonSerializerOptions Format = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>By the names of their files.</summary>
    public static IReadOnlyDictionary<string, string> All { get; } = VerbAnswers.All.ToDictionary(
        verb => FileOf(verb.Key), verb => Of(verb.Key, verb.Value).ToJsonString(Format) + "\n");

    public static string FileOf(string verb) => $"sgctl-{verb}.schema.json";

    private static JsonObject Of(string verb, JsonAnswer[] answers)
    {
        var definitions = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        JsonObject own = JsonNode.Parse(Definitions)!.AsObject();
        JsonNode[] any = [.. answers.Select(answer => Of(answer, definitions)), Reference("error")];
        foreach ((string name, JsonObject schema) in definitions)
        {
            own[name] = schema;
        }

        return new JsonObject
        {
            ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
            ["$id"] = $"urn:sg-agent:sgctl:{verb}",
            ["title"] = $"sgctl {verb} --json",
            ["description"] = verb is "top" or "drops" ? "One document; of an answer without end, each line is one."
                : "The one document on standard output.",
            ["anyOf"] = new JsonArray(any),
            ["$defs"] = own,
        };
    }

    private static JsonObject Of(JsonAnswer answer, SortedDictionary<string, JsonObject> definitions) => answer switch
    {
        JsonAnswer.Message message => Reference(message.Type, definitions, whole: true),
        JsonAnswer.Policy policy => Reference(policy.Type, definitions, whole: false),
        JsonAnswer.Messages list => new JsonObject
        {
            ["type"] = "object",
            ["required"] = new JsonArray(list.Name),
            ["properties"] = new JsonObject
            {
                [list.Name] = new JsonObject
                {
                    ["type"] = "array",
                    ["items"] = Reference(list.Type, definitions, whole: true),
                },
            },
        },
        JsonAnswer.Document document => JsonNode.Parse(document.Schema)!.AsObject(),
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    private static JsonObject Reference(string definition) => new() { ["$ref"] = $"#/$defs/{definition}" };

    private static JsonObject Reference(
        MessageDescriptor type, SortedDictionary<string, JsonObject> definitions, bool whole)
    {
        if (type == Duration.Descriptor || type == Timestamp.Descriptor)
        {
            return type == Timestamp.Descriptor
                ? new JsonObject { ["type"] = "string", ["format"] = "date-time" }
                : new JsonObject { ["type"] = "string", ["pattern"] = @"^-?\d+(\.\d{1,9})?s$" };
        }

        if (definitions.TryAdd(type.FullName, []))
        {
            JsonObject schema = definitions[type.FullName];
            schema["type"] = "object";
            Say(schema, MessageText.Of(type));
            FieldDescriptor[] fields = [.. type.Fields.InDeclarationOrder()];
            string[] always = [.. fields.Where(field => whole && !field.HasPresence).Select(field => field.Name)];
            if (always.Length > 0)
            {
                schema["required"] = new JsonArray([.. always.Select(name => (JsonNode)name)]);
            }

            schema["properties"] = new JsonObject(fields.Select(
                field => KeyValuePair.Create(field.Name, (JsonNode?)Field(field, definitions, whole))));
        }

        return Reference(type.FullName);
    }

    private static JsonObject Field(
        FieldDescriptor field, SortedDictionary<string, JsonObject> definitions, bool whole)
    {
        JsonObject schema = field.IsMap
            ? new JsonObject
            {
                ["type"] = "object",
                ["additionalProperties"] = Value(field.MessageType.FindFieldByNumber(2), definitions, whole),
            }
            : field.IsRepeated
                ? new JsonObject { ["type"] = "array", ["items"] = Value(field, definitions, whole) }
                : Value(field, definitions, whole);
        Say(schema, MessageText.Of(field));
        return schema;
    }

    /// <summary>As protobuf's JSON has it: what a double may lose is a string.</summary>
    private static JsonObject Value(
        FieldDescriptor field, SortedDictionary<string, JsonObject> definitions, bool whole) => field.FieldType switch
        {
            FieldType.Message => Reference(field.MessageType, definitions, whole),
            FieldType.Enum => new JsonObject
            {
                ["enum"] = new JsonArray([.. field.EnumType.Values.Select(value => (JsonNode)value.Name)]),
            },
            FieldType.String => new JsonObject { ["type"] = "string" },
            FieldType.Bytes => new JsonObject { ["type"] = "string", ["contentEncoding"] = "base64" },
            FieldType.Bool => new JsonObject { ["type"] = "boolean" },
            FieldType.Double or FieldType.Float => new JsonObject { ["type"] = "number" },
            FieldType.UInt64 or FieldType.Fixed64 => new JsonObject { ["type"] = "string", ["pattern"] = @"^\d+$" },
            FieldType.Int64 or FieldType.SInt64 or FieldType.SFixed64 =>
                new JsonObject { ["type"] = "string", ["pattern"] = @"^-?\d+$" },
            FieldType.UInt32 or FieldType.Fixed32 => new JsonObject { ["type"] = "integer", ["minimum"] = 0 },
            _ => new JsonObject { ["type"] = "integer" },
        };

    private static void Say(JsonObject schema, string text)
    {
        if (text.Length > 0)
        {
            schema["description"] = text;
        }
    }
}
