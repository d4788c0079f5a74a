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

    private const string Convert = """
        {
          "type": "object",
          "description": "Security groups of another cloud as a policy.",
          "required": ["policy", "warnings", "skipped", "notes"],
          "properties": {
            "policy": { "type": "object", "description": "A policy file: see sgctl-get." },
            "warnings": {
              "type": "array",
              "description": "What the policy does not say as the input did.",
              "items": { "$ref": "#/$defs/fault" }
            },
            "skipped": {
              "type": "array",
              "description": "Rules that --skip-unsupported left out.",
              "items": { "$ref": "#/$defs/fault" }
            },
            "notes": {
              "type": "array",
              "description": "What the agent would say of the policy.",
              "items": { "type": "string" }
            }
          }
        }
        """;

    private const string SupportDump = """
        {
          "type": "object",
          "description": "What is in the archive, and what is not.",
          "required": [
            "file", "made_at", "sgctl_version", "agent_answered", "anonymized", "sections", "never_included"
          ],
          "properties": {
            "file": { "type": "string" },
            "made_at": { "type": "string", "format": "date-time" },
            "sgctl_version": { "type": "string" },
            "agent_answered": { "type": "boolean" },
            "anonymized": { "type": "boolean" },
            "sections": {
              "type": "array",
              "items": {
                "type": "object",
                "required": ["name", "file", "about", "result", "bytes", "secrets_removed", "detail"],
                "properties": {
                  "name": { "type": "string" },
                  "file": { "type": "string", "description": "In the archive." },
                  "about": { "type": "string" },
                  "result": { "type": "string", "description": "Such as included, failed." },
                  "bytes": { "type": "integer", "minimum": 0 },
                  "secrets_removed": { "type": "integer", "minimum": 0 },
                  "detail": { "type": "string" }
                }
              }
            },
            "never_included": { "type": "array", "items": { "type": "string" } }
          }
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
        ["convert"] = [new JsonAnswer.Document(Convert)],
        ["diff"] = [new JsonAnswer.Message(Difference.Descriptor), new JsonAnswer.Message(ApplyResponse.Descriptor)],
        ["drops"] = [new JsonAnswer.Messages("drops", DropRecord.Descriptor),
            new JsonAnswer.Message(DropRecord.Descriptor)],
        ["explain"] = [new JsonAnswer.Message(ExplainResponse.Descriptor)],
        ["export-sessions"] = [new JsonAnswer.Policy(ExportedSessions.Descriptor)],
        ["get"] = [new JsonAnswer.Policy(Snapshot.Descriptor)],
        ["groups"] = [new JsonAnswer.Messages("groups", SecurityGroup.Descriptor)],
        ["import-sessions"] = [new JsonAnswer.Message(ImportSessionsResponse.Descriptor)],
        ["log-level"] = [new JsonAnswer.Message(LogLevelStatus.Descriptor)],
        ["rules"] = [new JsonAnswer.Message(VnicRules.Descriptor)],
        ["sessions"] = [new JsonAnswer.Messages("sessions", SessionStatus.Descriptor)],
        ["stage"] = [new JsonAnswer.Message(StageResponse.Descriptor)],
        ["staged"] = [new JsonAnswer.Message(StagedReport.Descriptor),
            new JsonAnswer.Message(ApplyResponse.Descriptor), new JsonAnswer.Message(DiscardStagedResponse.Descriptor)],
        ["status"] = [new JsonAnswer.Message(AgentStatus.Descriptor),
            new JsonAnswer.Message(EffectiveConfig.Descriptor)],
        ["support-dump"] = [new JsonAnswer.Document(SupportDump)],
        ["top"] = [new JsonAnswer.Message(TopReport.Descriptor)],
        ["verify"] = [new JsonAnswer.Message(VerifyResponse.Descriptor)],
        ["vnics"] = [new JsonAnswer.Messages("vnics", VnicStatus.Descriptor)],
    };
}
