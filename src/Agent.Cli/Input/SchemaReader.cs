using System.Globalization;
using System.Text.Json;
using Agent.Contract;
using Agent.Policy;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Cli.Input;

/// <summary>
/// Holds a file against the message that it must become. Finds every fault, not the first; what is right is written
/// as the JSON that protobuf's own parser reads.
/// </summary>
internal sealed class SchemaReader(Utf8JsonWriter json)
{
    private const int MaxFaults = 1000;

    private readonly List<FileFault> faults = [];

    public IReadOnlyList<FileFault> Faults => faults;

    /// <summary>Told the path and the place of everything that is read.</summary>
    public Action<Trail, Place>? OnValue { get; init; }

    public void Message(Trail trail, MessageDescriptor type, Node node)
    {
        if (node is not Mapping mapping)
        {
            Fault(
                node.At, trail, FileCodes.Type, $"{Show(node)} where fields of {Words(type.Name)} must be",
                "Write names and values.");
            json.WriteNullValue();
            return;
        }

        var seen = new Dictionary<string, string>(StringComparer.Ordinal);
        json.WriteStartObject();
        foreach (Entry entry in mapping.Entries)
        {
            if (Find(type, entry.Key) is not FieldDescriptor field)
            {
                Unknown(trail, type, entry);
                continue;
            }

            Trail at = trail.Field(field.Name);
            OnValue?.Invoke(at, entry.KeyAt);
            string slot = field.RealContainingOneof?.Name ?? field.Name;
            bool absent = entry.Value is Scalar { Kind: ScalarKind.Null };
            if (!absent && !seen.TryAdd(slot, field.Name))
            {
                Fault(entry.KeyAt, at, FileCodes.Duplicate,
                    seen[slot] == field.Name ? "stands twice"
                    : $"set beside {seen[slot]}: only one of them may be",
                    "Remove one.");
            }
            else if (!absent)
            {
                json.WritePropertyName(field.JsonName);
                Field(at, field, entry.Value);
            }
        }

        json.WriteEndObject();
    }

    private void Field(Trail trail, FieldDescriptor field, Node node)
    {
        if (field.IsMap)
        {
            Map(trail, node);
        }
        else if (!field.IsRepeated)
        {
            Single(trail, field, node);
        }
        else if (node is Sequence list)
        {
            json.WriteStartArray();
            for (int i = 0; i < list.Items.Count; i++)
            {
                Trail at = trail.Key(IdOf(field, list.Items[i]) ?? i.ToString(CultureInfo.InvariantCulture));
                OnValue?.Invoke(at, list.Items[i].At);
                Single(at, field, list.Items[i]);
            }

            json.WriteEndArray();
        }
        else
        {
            Fault(
                node.At, trail, FileCodes.Type, $"{Show(node)} where a list must be",
                "Write [ ... ] around the elements.");
            json.WriteNullValue();
        }
    }

    private void Map(Trail trail, Node node)
    {
        if (node is not Mapping mapping)
        {
            Fault(
                node.At, trail, FileCodes.Type, $"{Show(node)} where names and values must be",
                "Write { name: value }.");
            json.WriteNullValue();
            return;
        }

        var seen = new HashSet<string>(StringComparer.Ordinal);
        json.WriteStartObject();
        foreach (Entry entry in mapping.Entries)
        {
            Trail at = trail.Key(entry.Key);
            OnValue?.Invoke(at, entry.KeyAt);
            if (!seen.Add(entry.Key))
            {
                Fault(entry.KeyAt, at, FileCodes.Duplicate, "stands twice", "Remove one.");
                continue;
            }

            json.WritePropertyName(entry.Key);
            Text(at, entry.Value);
        }

        json.WriteEndObject();
    }

    private void Single(Trail trail, FieldDescriptor field, Node node)
    {
        switch (field.FieldType)
        {
            case FieldType.Message when field.MessageType == Timestamp.Descriptor:
                Written<Timestamp>(trail, node, "a time", "2026-01-31T12:00:00Z");
                break;
            case FieldType.Message when field.MessageType == Duration.Descriptor:
                Written<Duration>(trail, node, "a duration", "300s");
                break;
            case FieldType.Message: Message(trail, field.MessageType, node); break;
            case FieldType.String: Text(trail, node); break;
            case FieldType.Enum: Choice(trail, field.EnumType, node); break;
            case FieldType.Bool: Flag(trail, node); break;
            case FieldType.UInt32: Number(trail, uint.MaxValue, node); break;
            case FieldType.UInt64: Number(trail, ulong.MaxValue, node); break;
            default: throw new NotSupportedException($"{field.FullName}: {field.FieldType} is in no file");
        }
    }

    /// <summary>A message that JSON has as text.</summary>
    private void Written<T>(Trail trail, Node node, string what, string example) where T : IMessage<T>, new()
    {
        if (node is Scalar { Kind: ScalarKind.Text or ScalarKind.Plain } scalar && IsOne(scalar.Text))
        {
            json.WriteStringValue(scalar.Text);
            return;
        }

        Fault(node.At, trail, FileCodes.Type, $"{Show(node)} where {what} must be", $"Write it as \"{example}\".");
        json.WriteNullValue();

        static bool IsOne(string text)
        {
            try
            {
                JsonParser.Default.Parse<T>($"\"{JsonEncodedText.Encode(text)}\"");
                return true;
            }
            catch (Exception e) when (e is InvalidProtocolBufferException or InvalidJsonException)
            {
                return false;
            }
        }
    }

    private void Text(Trail trail, Node node)
    {
        if (node is Scalar { Kind: ScalarKind.Text or ScalarKind.Plain } scalar)
        {
            json.WriteStringValue(scalar.Text);
            return;
        }

        Fault(node.At, trail, FileCodes.Type, $"{Show(node)} where text must be", "Write it in quotes.");
        json.WriteNullValue();
    }

    private void Flag(Trail trail, Node node)
    {
        if (node is Scalar { Kind: ScalarKind.Boolean or ScalarKind.Plain, Text: "true" or "false" } scalar)
        {
            json.WriteBooleanValue(scalar.Text == "true");
            return;
        }

        Fault(node.At, trail, FileCodes.Type, $"{Show(node)} is neither true nor false", "Write true or false.");
        json.WriteNullValue();
    }

    // As protobuf's JSON has it, a number may stand in quotes: 64 bits are more than other readers hold.
    private void Number(Trail trail, ulong max, Node node)
    {
        if (node is Scalar { Kind: ScalarKind.Number or ScalarKind.Plain or ScalarKind.Text } scalar
            && ulong.TryParse(scalar.Text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value)
            && value <= max)
        {
            json.WriteNumberValue(value);
            return;
        }

        Fault(node.At, trail, FileCodes.Type, $"{Show(node)} is not a whole number", $"Write 0 to {max}.");
        json.WriteNullValue();
    }

    private void Choice(Trail trail, EnumDescriptor type, Node node)
    {
        string prefix = type.Values[0].Name[..^"UNSPECIFIED".Length];
        string text = (node as Scalar)?.Text ?? "";
        EnumValueDescriptor? value = node is Scalar ? type.Values.FirstOrDefault(v => v.Name == text
            || v.Name[prefix.Length..].Equals(text, StringComparison.OrdinalIgnoreCase)
            || v.Number.ToString(CultureInfo.InvariantCulture) == text) : null;
        if (value is not null)
        {
            json.WriteStringValue(value.Name);
            return;
        }

        IEnumerable<string> names = type.Values.Skip(1).Select(v => v.Name[prefix.Length..].ToLowerInvariant());
        Fault(
            node.At, trail, FileCodes.Enumeration, $"{Show(node)} is not a value of {Words(type.Name)}",
            $"Use {string.Join(" or ", names)}.");
        json.WriteNullValue();
    }

    private void Unknown(Trail trail, MessageDescriptor type, Entry entry)
    {
        string[] known = [.. type.Fields.InFieldNumberOrder().Select(field => field.Name)];
        string? near = Spelling.Nearest(entry.Key, known);
        Fault(entry.KeyAt, trail.Field(Shorten(entry.Key)), FileCodes.Field, $"{Words(type.Name)} has no such field",
            near is null ? $"Known here: {string.Join(", ", known)}." : $"Did you mean {near}?");
    }

    private void Fault(Place at, Trail trail, string code, string message, string remedy)
    {
        if (faults.Count < MaxFaults)
        {
            faults.Add(new FileFault(at, new PolicyFault(trail.ToString(), code, message, remedy)));
        }
    }

    private static FieldDescriptor? Find(MessageDescriptor type, string key) =>
        type.FindFieldByName(key) ?? type.Fields.InFieldNumberOrder().FirstOrDefault(field => field.JsonName == key);

    private static string? IdOf(FieldDescriptor field, Node node) =>
        field.FieldType == FieldType.Message && node is Mapping mapping
            ? mapping.Entries.Where(entry => entry.Key == "id")
                .Select(entry => (entry.Value as Scalar)?.Text).FirstOrDefault()
            : null;

    private static string Show(Node node) => node switch
    {
        Scalar { Kind: ScalarKind.Null } => "nothing",
        Scalar scalar => $"'{Shorten(scalar.Text)}'",
        Sequence => "a list",
        _ => "names and values",
    };

    internal static string Shorten(string text, int most = 60)
    {
        string visible = string.Concat(text.Take(most).Select(c => char.IsControl(c) ? '?' : c));
        return text.Length > most ? visible + "..." : visible;
    }

    /// <summary>"SecurityGroup" for people: "security group".</summary>
    private static string Words(string name) => string.Concat(name.Select((c, i) =>
        char.IsUpper(c) ? (i > 0 ? " " : "") + char.ToLowerInvariant(c) : c.ToString()));
}
