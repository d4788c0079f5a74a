using System.Text.Json;
using System.Text.Json.Nodes;
using Json.Schema;

namespace Agent.TestNet;

/// <summary>What sgctl prints with --json, against the schema that packaging/schema has for its verb.</summary>
public static class AnswerSchema
{
    private static readonly EvaluationOptions Options = new() { OutputFormat = OutputFormat.List };

    /// <returns>What does not fit, and where; also fields that the schema does not know. None: it fits.</returns>
    public static IReadOnlyList<string> Faults(string verb, string answer)
    {
        using JsonDocument document = JsonDocument.Parse(answer);
        EvaluationResults results = Of(verb).Evaluate(document.RootElement, Options);
        return results.IsValid ? [] :
        [
            .. (results.Details ?? []).Where(detail => detail is { IsValid: false, Errors: not null })
                .SelectMany(detail => detail.Errors!.Select(
                    error => $"{detail.InstanceLocation}: {error.Value} ({detail.EvaluationPath})")),
        ];
    }

    private static JsonSchema Of(string verb)
    {
        JsonNode schema = JsonNode.Parse(File.ReadAllText(Path.Combine(
            BuiltProgram.RepositoryRoot(), "packaging", "schema", $"sgctl-{verb}.schema.json")))!;
        Close(schema);
        schema.AsObject().Remove("$id"); // it is another schema now
        return JsonSchema.FromText(schema.ToJsonString());
    }

    /// <summary>Readers may meet fields of a newer version; ours must be known.</summary>
    private static void Close(JsonNode? node)
    {
        if (node is JsonObject one)
        {
            foreach ((string _, JsonNode? child) in one)
            {
                Close(child);
            }

            if (one["properties"] is JsonObject && one["type"] is JsonValue && !one.ContainsKey("additionalProperties"))
            {
                one["additionalProperties"] = false;
            }
        }
        else if (node is JsonArray list)
        {
            foreach (JsonNode? child in list)
            {
                Close(child);
            }
        }
    }
}
