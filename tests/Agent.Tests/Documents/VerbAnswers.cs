using Agent.V1;
using Google.Protobuf.Reflection;

namespace Agent.Tests.Documents;

/// <summary>A document that a verb prints with --json.</summary>
internal abstract record JsonAnswer
{
    private JsonAnswer()
    {
    }

    /// <summary>A message: every field that is no message itself stands there, whatever its value.</summary>
    public sealed record Message(MessageDescriptor Type) : JsonAnswer;

    /// <summary>A policy file: fields of default value are left out.</summary>
    public sealed record Policy(MessageDescriptor Type) : JsonAnswer;

    /// <summary>{ "name": [ messages ] }.</summary>
    public sealed record Messages(string Name, MessageDescriptor Type) : JsonAnswer;

    /// <summary>No message: its own schema, as JSON.</summary>
    public sealed record Document(string Schema) : JsonAnswer;
}

/// <summary>What each verb answers with; a new verb is a line here.</summary>
internal static class VerbAnswers
{
    private const string Check = """
        {
          "type": "object",
          "description": "What there is to say of a policy file.",
          "required": ["file", "valid", "faults", "warnings"],
          "properties": {
            "file": { "type": "string", "description": "Its name; <stdin>: standard input." },
            "valid": { "type": "boolean" },
            "faults": { "type": "array", "items": { "$ref": "#/$defs/fault" } },
            "warnings": { "type": "array", "items": { "type": "string" } }
          }
        }
        """;

    private const string Compile = """
        {
          "type": "object",
          "description": "The ruleset that a policy becomes.",
          "required": ["ruleset", "failed_vnics"],
          "properties": {
            "ruleset": { "type": "string", "description": "As nft -f reads it." },
            "failed_vnics": {
              "type": "object",
              "description": "Why a vNIC has no ruleset and is closed, by its id.",
              "additionalProperties": { "type": "string" }
            }
          }
        }
        """;

    private const string Completion = """
        {
          "type": "object",
          "description": "A completion script.",
          "required": ["shell", "script"],
          "properties": { "shell": { "enum": ["bash", "zsh", "fish"] }, "script": { "type": "string" } }
        }
        """;

    /// <summary>By verb; one of these, or what went wrong.</summary>
    public static IReadOnlyDictionary<string, JsonAnswer[]> All { get; } = new Dictionary<string, JsonAnswer[]>
    {
        ["analyze"] = [new JsonAnswer.Message(Analysis.Descriptor)],
        ["apply"] = [new JsonAnswer.Message(ApplyResponse.Descriptor)],
        ["check"] = [new JsonAnswer.Document(Check)],
        ["compile"] = [new JsonAnswer.Document(Compile)],
        ["completion"] = [new JsonAnswer.Document(Completion)],
        ["diff"] = [new JsonAnswer.Message(Difference.Descriptor), new JsonAnswer.Message(ApplyResponse.Descriptor)],
        ["drops"] = [new JsonAnswer.Messages("drops", DropRecord.Descriptor),
            new JsonAnswer.Message(DropRecord.Descriptor)],
        ["explain"] = [new JsonAnswer.Message(ExplainResponse.Descriptor)],
        ["get"] = [new JsonAnswer.Policy(Snapshot.Descriptor)],
        ["groups"] = [new JsonAnswer.Messages("groups", SecurityGroup.Descriptor)],
        ["log-level"] = [new JsonAnswer.Message(LogLevelStatus.Descriptor)],
        ["rules"] = [new JsonAnswer.Message(VnicRules.Descriptor)],
        ["sessions"] = [new JsonAnswer.Messages("sessions", SessionStatus.Descriptor)],
        ["stage"] = [new JsonAnswer.Message(StageResponse.Descriptor)],
        ["staged"] = [new JsonAnswer.Message(StagedReport.Descriptor),
            new JsonAnswer.Message(ApplyResponse.Descriptor), new JsonAnswer.Message(DiscardStagedResponse.Descriptor)],
        ["status"] = [new JsonAnswer.Message(AgentStatus.Descriptor)],
        ["top"] = [new JsonAnswer.Message(TopReport.Descriptor)],
        ["verify"] = [new JsonAnswer.Message(VerifyResponse.Descriptor)],
        ["vnics"] = [new JsonAnswer.Messages("vnics", VnicStatus.Descriptor)],
    };
}
