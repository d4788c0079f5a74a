using System.Globalization;
using Agent.Cli.Input;

namespace Agent.Cli.Conversion;

/// <summary>
/// One object of a provider's document. A field that is null, empty text or an empty list is not there: providers write
/// both. It remembers what was asked for, so that nothing is overlooked.
/// </summary>
internal sealed class ForeignObject
{
    private readonly string file;
    private readonly Trail trail;
    private readonly Mapping mapping;
    private readonly Findings findings;
    private readonly Dictionary<string, Entry> entries = new(StringComparer.Ordinal);
    private readonly HashSet<string> asked = new(StringComparer.Ordinal);

    public ForeignObject(string file, Trail trail, Mapping mapping, Findings findings)
    {
        this.file = file;
        this.trail = trail;
        this.mapping = mapping;
        this.findings = findings;
        foreach (Entry entry in mapping.Entries)
        {
            if (!entries.TryAdd(entry.Key, entry))
            {
                findings.Fault(
                    new Origin(file, entry.KeyAt, trail.Field(SchemaReader.Shorten(entry.Key)).ToString()),
                    FileCodes.Duplicate, "stands twice", "Remove one.");
            }
        }
    }

    public Origin Origin => new(file, mapping.At, trail.ToString());

    public bool Has(string name) => entries.TryGetValue(name, out Entry entry) && !IsEmpty(entry.Value);

    /// <summary>The kinds of documents differ by what a field is, too.</summary>
    public bool HasList(string name) => entries.TryGetValue(name, out Entry entry) && entry.Value is Sequence;

    public bool HasObject(string name) => entries.TryGetValue(name, out Entry entry) && entry.Value is Mapping;

    public Origin At(string name) => entries.TryGetValue(name, out Entry entry)
        ? new Origin(file, entry.Value.At, trail.Field(SchemaReader.Shorten(name)).ToString()) : Origin;

    /// <summary>Text or a number as text; empty if it is not there.</summary>
    public string Text(string name) => Find(name) switch
    {
        null => "",
        Scalar { Kind: not (ScalarKind.Boolean or ScalarKind.Null) } scalar => scalar.Text,
        Node other => Wrong(name, other, "text", ""),
    };

    public string Needed(string name)
    {
        string text = Text(name);
        if (text.Length == 0 && !Has(name))
        {
            findings.Fault(Origin, ConversionCodes.Missing, $"there is no {name}", "Use the provider's whole answer.");
        }

        return text;
    }

    /// <summary>
    /// A list may be empty, but must be there: an answer from which it was cut says nothing, which is not that there is
    /// nothing.
    /// </summary>
    public void MustHave(string name)
    {
        if (!entries.TryGetValue(name, out Entry entry) || entry.Value is Scalar { Kind: ScalarKind.Null })
        {
            findings.Fault(Origin, ConversionCodes.Missing, $"there is no {name}", "Use the provider's whole answer.");
        }
    }

    public int? Number(string name) => Find(name) switch
    {
        null => null,
        Scalar { Kind: not ScalarKind.Boolean } scalar when int.TryParse(
            scalar.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) => number,
        Node other => Wrong<int?>(name, other, "a whole number", null),
    };

    public bool? Flag(string name) => Find(name) switch
    {
        null => null,
        Scalar { Kind: ScalarKind.Boolean or ScalarKind.Plain, Text: "true" or "True" } => true,
        Scalar { Kind: ScalarKind.Boolean or ScalarKind.Plain, Text: "false" or "False" } => false,
        Node other => Wrong<bool?>(name, other, "true or false", null),
    };

    public ForeignObject? Object(string name) => Find(name) switch
    {
        null => null,
        Mapping inner => new ForeignObject(file, trail.Field(name), inner, findings),
        Node other => Wrong<ForeignObject?>(name, other, "an object", null),
    };

    public IReadOnlyList<ForeignObject> Objects(string name)
    {
        var objects = new List<ForeignObject>();
        foreach ((Trail at, Node item) in Items(name))
        {
            if (item is Mapping inner)
            {
                objects.Add(new ForeignObject(file, at, inner, findings));
            }
            else
            {
                findings.Fault(
                    new Origin(file, item.At, at.ToString()), FileCodes.Type, $"{Show(item)} where an object must be",
                    "Use the provider's answer as JSON, as it came.");
            }
        }

        return objects;
    }

    public IReadOnlyList<string> Texts(string name)
    {
        var texts = new List<string>();
        foreach ((Trail at, Node item) in Items(name))
        {
            if (item is Scalar { Kind: not (ScalarKind.Boolean or ScalarKind.Null) } scalar)
            {
                texts.Add(scalar.Text);
            }
            else
            {
                findings.Fault(
                    new Origin(file, item.At, at.ToString()), FileCodes.Type, $"{Show(item)} where text must be",
                    "Use the provider's answer as JSON, as it came.");
            }
        }

        return texts;
    }

    /// <summary>These mean nothing for verdicts.</summary>
    public void Ignore(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            asked.Add(name);
        }
    }

    /// <summary>Fields that say something and were never asked for.</summary>
    public IReadOnlyList<string> Overlooked() =>
    [
        .. entries.Where(entry => !asked.Contains(entry.Key) && !IsEmpty(entry.Value.Value)).Select(entry => entry.Key),
    ];

    private IEnumerable<(Trail, Node)> Items(string name)
    {
        switch (Find(name))
        {
            case null:
                return [];
            case Sequence list:
                Trail at = trail.Field(name);
                return list.Items.Select((item, i) => (at.Key(i.ToString(CultureInfo.InvariantCulture)), item));
            case Node other:
                return Wrong<(Trail, Node)[]>(name, other, "a list", []);
        }
    }

    private Node? Find(string name)
    {
        asked.Add(name);
        return entries.TryGetValue(name, out Entry entry) && !IsEmpty(entry.Value) ? entry.Value : null;
    }

    private T Wrong<T>(string name, Node found, string expected, T instead)
    {
        findings.Fault(
            At(name), FileCodes.Type, $"{Show(found)} where {expected} must be",
            "Use the provider's answer as JSON, as it came.");
        return instead;
    }

    private static bool IsEmpty(Node node) => node is Scalar { Kind: ScalarKind.Null } or Scalar { Text: "" }
        or Sequence { Items.Count: 0 } or Mapping { Entries.Count: 0 };

    private static string Show(Node node) => node switch
    {
        Scalar scalar => $"'{SchemaReader.Shorten(scalar.Text)}'",
        Sequence => "a list",
        _ => "an object",
    };
}
