using System.Text.RegularExpressions;
using Agent.TestNet;
using Google.Protobuf.Reflection;

namespace Agent.Tests.Documents;

/// <summary>The comments of agent.proto, which stand above what they are of.</summary>
internal static partial class MessageText
{
    private static readonly Dictionary<string, string> Comments = Read();

    public static string Of(MessageDescriptor type) => Comments.GetValueOrDefault(type.FullName, "");

    public static string Of(FieldDescriptor field) => Comments.GetValueOrDefault(field.FullName, "");

    private static Dictionary<string, string> Read()
    {
        var found = new Dictionary<string, string>();
        var comment = new List<string>();
        var path = new List<string> { "agent.v1" };
        foreach (string line in File.ReadLines(
            Path.Combine(BuiltProgram.RepositoryRoot(), "proto/agent/v1/agent.proto")).Select(line => line.Trim()))
        {
            if (line.StartsWith("//", StringComparison.Ordinal))
            {
                comment.Add(line.TrimStart('/').Trim());
                continue;
            }

            if (Opening().Match(line) is { Success: true } opening)
            {
                // A oneof has no name of its own in the names of its fields.
                path.Add(opening.Groups[1].Value == "oneof" ? "" : opening.Groups[2].Value);
                Keep("");
            }
            else if (line.StartsWith('}'))
            {
                path.RemoveAt(path.Count - 1);
            }
            else if (Field().Match(line) is { Success: true } field)
            {
                Keep($".{field.Groups[1].Value}");
            }

            comment.Clear();
        }

        return found;

        void Keep(string member)
        {
            if (comment.Count > 0)
            {
                found[string.Join('.', path.Where(part => part.Length > 0)) + member] = string.Join(' ', comment);
            }
        }
    }

    [GeneratedRegex(@"^(message|oneof|enum|service) (\w+) \{$")]
    private static partial Regex Opening();

    [GeneratedRegex(@"^[\w.<>, ]+ (\w+) = \d+;$")]
    private static partial Regex Field();
}
