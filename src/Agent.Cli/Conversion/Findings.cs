using System.Collections.Immutable;
using Agent.Cli.Input;
using Agent.Policy;

namespace Agent.Cli.Conversion;

/// <summary>Codes of what a conversion has to say, besides those of files and of the agent.</summary>
internal static class ConversionCodes
{
    public const string Shape = "UnknownDocument";
    public const string Missing = "MissingField";
    public const string Value = "InvalidValue";

    /// <summary>There is no policy that says this and nothing else.</summary>
    public const string Inexpressible = "NotExpressible";

    /// <summary>What it names is in none of the documents.</summary>
    public const string Absent = "NotInDocuments";

    /// <summary>A page of a longer answer: what the next pages deny would be allowed.</summary>
    public const string Partial = "PartialDocument";

    public const string Narrowed = "Narrowed";
    public const string LeftOut = "LeftOut";
}

/// <summary>Everything that a conversion has to say of its documents, each with its place.</summary>
/// <param name="skipUnsupported">Accept rules that cannot be expressed are left out instead of refused.</param>
internal sealed class Findings(bool skipUnsupported)
{
    private const int Max = 1000;

    private readonly List<FileFault> faults = [];
    private readonly List<FileFault> skipped = [];
    private readonly List<FileFault> warnings = [];

    public ImmutableArray<FileFault> Faults => [.. faults];

    /// <summary>Accept rules that were left out, because that was asked for.</summary>
    public ImmutableArray<FileFault> Skipped => [.. skipped];

    public ImmutableArray<FileFault> Warnings => [.. warnings];

    public void Fault(FileFault one) => Add(faults, one);

    public void Fault(Origin at, string code, string message, string remedy) =>
        Add(faults, Of(at, code, message, remedy));

    /// <summary>
    /// A rule that no policy expresses exactly. Without an accept rule less passes, which a person may choose; without
    /// a drop rule more would, which nobody may.
    /// </summary>
    public void Inexpressible(Origin at, bool isDrop, string message, string remedy) =>
        Add(skipUnsupported && !isDrop ? skipped : faults, Of(at, ConversionCodes.Inexpressible, message, remedy));

    public void Warn(Origin at, string code, string message, string remedy) =>
        Add(warnings, Of(at, code, message, remedy));

    /// <summary>Fields of a group that this does not know: they cannot be about packets, which rules decide.</summary>
    public void Overlooked(ForeignObject one)
    {
        foreach (string field in one.Overlooked())
        {
            Warn(
                one.At(field), ConversionCodes.LeftOut, $"{SchemaReader.Shorten(field)} is not known, and left out",
                "See whether it matters.");
        }
    }

    /// <summary>Fields of a rule that this does not know: they may say which packets are not meant.</summary>
    /// <returns>There are such fields: the rule cannot be used.</returns>
    public bool SaysMore(ForeignObject rule, bool isDrop)
    {
        if (rule.Overlooked() is not { Count: > 0 } fields)
        {
            return false;
        }

        Inexpressible(
            rule.Origin, isDrop,
            $"{SchemaReader.Shorten(string.Join(", ", fields))}: not known, and may narrow the rule",
            "Remove it if it does not.");
        return true;
    }

    private static FileFault Of(Origin at, string code, string message, string remedy) =>
        new(at.Place, new PolicyFault(at.Path, code, message, remedy)) { File = at.File };

    private static void Add(List<FileFault> list, FileFault one)
    {
        if (list.Count < Max)
        {
            list.Add(one);
        }
    }
}

/// <summary>Where something stands in what was read.</summary>
/// <param name="File">As the person named it.</param>
/// <param name="Place">Line and column.</param>
/// <param name="Path">As in <c>SecurityGroups[0].IpPermissions[2]</c>.</param>
internal readonly record struct Origin(string File, Place Place, string Path);
