namespace Agent.Cli;

/// <summary>A verb cannot go on: why, and what the person can do.</summary>
/// <param name="exitCode">One of <see cref="ExitCode"/>.</param>
/// <param name="code">One word for programs that read --json.</param>
/// <param name="message">What is wrong.</param>
/// <param name="remedy">What to do about it; may be empty.</param>
internal sealed class CliException(int exitCode, string code, string message, string remedy) : Exception(message)
{
    /// <summary>What was asked for is not there.</summary>
    public const string NotFound = "not_found";

    public int ExitCode { get; } = exitCode;

    public string Code { get; } = code;

    public string Remedy { get; } = remedy;
}
