namespace Agent.Cli.Input;

/// <summary>Where in a file; both count from 1.</summary>
internal readonly record struct Place(long Line, long Column)
{
    public override string ToString() => $"{Line}:{Column}";
}

internal enum ScalarKind
{
    /// <summary>Quoted: text and nothing else.</summary>
    Text,

    /// <summary>YAML without quotes: the field that it fills decides what it is.</summary>
    Plain,
    Number,
    Boolean,
    Null,
}

/// <summary>What JSON and YAML have in common, with the place of every part.</summary>
internal abstract record Node(Place At);

internal sealed record Scalar(Place At, string Text, ScalarKind Kind) : Node(At);

internal sealed record Sequence(Place At, IReadOnlyList<Node> Items) : Node(At);

internal sealed record Mapping(Place At, IReadOnlyList<Entry> Entries) : Node(At);

/// <summary>One key and its value. Keys may repeat; whoever reads them objects.</summary>
internal readonly record struct Entry(Place KeyAt, string Key, Node Value);

/// <summary>The text is not JSON or YAML at all.</summary>
internal sealed class MalformedTextException(Place at, string message, string remedy) : Exception(message)
{
    public Place At { get; } = at;

    public string Remedy { get; } = remedy;
}
