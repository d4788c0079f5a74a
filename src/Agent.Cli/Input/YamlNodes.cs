using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Agent.Cli.Input;

/// <summary>Reads one YAML document and keeps the places.</summary>
/// <remarks>
/// Anchors, aliases and tags are refused: a few lines of them can stand for gigabytes, and a policy that a person must
/// expand in the head to know who reaches whom is no good policy.
/// </remarks>
internal sealed class YamlNodes
{
    private const int MaxDepth = 64;

    private readonly Parser parser;
    private int depth;

    private YamlNodes(TextReader text) => parser = new Parser(text);

    /// <exception cref="MalformedTextException">It is not YAML, or more of YAML than is read here.</exception>
    public static Node Read(string text)
    {
        try
        {
            return new YamlNodes(new StringReader(text)).Document();
        }
        catch (YamlException e)
        {
            throw new MalformedTextException(PlaceOf(e.Start), e.Message, "Correct the YAML.");
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            // The scanner gives up so where a text is at odds with itself: "  : {", then a word on the next line.
            throw new MalformedTextException(new Place(1, 1), "this is no YAML", "Correct the YAML.");
        }
    }

    private Node Document()
    {
        Expect<StreamStart>();
        if (Next() is not DocumentStart)
        {
            return new Cli.Input.Scalar(new Place(1, 1), "", ScalarKind.Null);
        }

        Next();
        Node root = Value();
        Expect<DocumentEnd>();
        if (Next() is DocumentStart second)
        {
            throw new MalformedTextException(
                PlaceOf(second.Start), "a second document in one file", "Keep one policy a file.");
        }

        return root;
    }

    /// <summary>The node that begins with the current event.</summary>
    private Node Value()
    {
        ParsingEvent at = parser.Current!;
        if (at is AnchorAlias || at is NodeEvent { Anchor.IsEmpty: false })
        {
            throw new MalformedTextException(
                PlaceOf(at.Start), "anchors and aliases are not read", "Write the value out.");
        }

        if (at is NodeEvent { Tag.IsEmpty: false })
        {
            throw new MalformedTextException(PlaceOf(at.Start), "tags are not read", "Leave the tag out.");
        }

        if (++depth > MaxDepth)
        {
            throw new MalformedTextException(
                PlaceOf(at.Start), $"nested deeper than {MaxDepth}", "A policy is six levels deep.");
        }

        Node node = at switch
        {
            YamlDotNet.Core.Events.Scalar scalar => Plain(scalar),
            SequenceStart start => Items(start),
            MappingStart start => Fields(start),
            _ => throw new MalformedTextException(PlaceOf(at.Start), "a value is missing", "Correct the YAML."),
        };
        depth--;
        return node;
    }

    private Sequence Items(SequenceStart start)
    {
        var items = new List<Node>();
        while (Next() is not SequenceEnd)
        {
            items.Add(Value());
        }

        return new Sequence(PlaceOf(start.Start), items);
    }

    private Mapping Fields(MappingStart start)
    {
        var entries = new List<Entry>();
        while (Next() is not MappingEnd)
        {
            if (Value() is not Cli.Input.Scalar key)
            {
                throw new MalformedTextException(
                    PlaceOf(parser.Current!.Start), "a key must be a word", "Correct the YAML.");
            }

            Next();
            entries.Add(new Entry(key.At, key.Text, Value()));
        }

        return new Mapping(PlaceOf(start.Start), entries);
    }

    private static Cli.Input.Scalar Plain(YamlDotNet.Core.Events.Scalar scalar)
    {
        ScalarKind kind = scalar.Style != ScalarStyle.Plain ? ScalarKind.Text
            : scalar.Value is "" or "~" or "null" or "Null" or "NULL" ? ScalarKind.Null
            : ScalarKind.Plain;
        return new Cli.Input.Scalar(PlaceOf(scalar.Start), scalar.Value, kind);
    }

    private ParsingEvent Next() => parser.MoveNext() ? parser.Current!
        : throw new MalformedTextException(new Place(1, 1), "the text ends early", "Correct the YAML.");

    private void Expect<T>() where T : ParsingEvent
    {
        if (Next() is not T)
        {
            throw new MalformedTextException(PlaceOf(parser.Current!.Start), "unexpected here", "Correct the YAML.");
        }
    }

    private static Place PlaceOf(Mark mark) => new(Math.Max(1, mark.Line), Math.Max(1, mark.Column));
}
