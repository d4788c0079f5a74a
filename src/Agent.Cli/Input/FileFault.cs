using Agent.Policy;

namespace Agent.Cli.Input;

/// <summary>A fault, and where in the file it is.</summary>
/// <param name="At">Null where no line can be named.</param>
/// <param name="Fault">What, and what to do about it.</param>
internal sealed record FileFault(Place? At, PolicyFault Fault)
{
    /// <summary>Where there are several files: which one. Null: the one that there is.</summary>
    public string? File { get; init; }
}

/// <summary>Codes of faults that only files have.</summary>
internal static class FileCodes
{
    public const string Unreadable = "Unreadable";
    public const string Malformed = "MalformedFile";
    public const string Field = "UnknownField";
    public const string Type = "InvalidType";
    public const string Enumeration = "InvalidEnumValue";
    public const string Duplicate = "Duplicate";
}
