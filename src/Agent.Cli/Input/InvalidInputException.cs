using System.Collections.Immutable;

namespace Agent.Cli.Input;

/// <summary>A file has faults; nothing was sent or changed.</summary>
/// <param name="file">As the person named it.</param>
/// <param name="faults">All of them.</param>
internal sealed class InvalidInputException(string file, ImmutableArray<FileFault> faults)
    : Exception($"{file} has faults")
{
    public const string StandardInput = "<stdin>";

    public string File { get; } = file == "-" ? StandardInput : file;

    public ImmutableArray<FileFault> Faults { get; } = faults;
}
