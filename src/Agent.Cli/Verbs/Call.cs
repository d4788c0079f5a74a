using System.CommandLine;
using Agent.Cli.Input;
using Agent.Cli.Output;

namespace Agent.Cli.Verbs;

/// <summary>A verb being run: what was asked, and where the answer goes.</summary>
internal sealed record Call
{
    public required ParseResult Parsed { get; init; }

    public required Surroundings Around { get; init; }

    /// <summary>The answer is one JSON document on <see cref="Out"/>.</summary>
    public required bool Json { get; init; }

    public required string SocketPath { get; init; }

    public required Screen Out { get; init; }

    public required Screen Error { get; init; }

    public required CancellationToken Cancel { get; init; }

    /// <summary>For the line that moves while something takes long.</summary>
    private Live.Progress? Progress => !Json && Around.ErrorWidth is { } width && Around.ObeysEscapes
        ? new Live.Progress(Around.Error, width, TimeProvider.System) : null;

    /// <summary>Waits, and shows on a terminal that it does.</summary>
    /// <param name="what">Such as "proving".</param>
    /// <param name="work">What is waited for.</param>
    public Task<T> WaitAsync<T>(string what, Task<T> work) => Progress?.WhileAsync(what, work) ?? work;

    /// <summary>The same for what is done here.</summary>
    public Task<T> WaitAsync<T>(string what, Func<T> work) => WaitAsync(what, Task.Run(work, Cancel));

    /// <exception cref="InvalidInputException">With every fault of the file.</exception>
    public PolicyFile ReadPolicy(string path)
    {
        PolicyFileResult result = TryReadPolicy(path);
        return result.File ?? throw new InvalidInputException(path, result.Faults);
    }

    public PolicyFileResult TryReadPolicy(string path)
    {
        (byte[]? content, FileFault? fault) = ReadFile(path);
        return content is null ? new PolicyFileResult(null, [fault!])
            : PolicyFile.Read(path == "-" ? InvalidInputException.StandardInput : path, content);
    }

    /// <summary>A file's bytes, or why there are none; - is standard input.</summary>
    public (byte[]? Content, FileFault? Fault) ReadFile(string path)
    {
        try
        {
            if (path != "-")
            {
                return (File.ReadAllBytes(path), null);
            }

            using Stream input = Around.OpenInput();
            using var content = new MemoryStream();
            input.CopyTo(content);
            return (content.ToArray(), null);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            (string message, string remedy) = e switch
            {
                FileNotFoundException or DirectoryNotFoundException =>
                    ("there is no such file", "Name a file that exists, or - for standard input."),
                UnauthorizedAccessException =>
                    ("it may not be read", "Check the file's permissions, and that it is no directory."),
                _ => (e.Message, "Name a file that can be read."),
            };
            return (null, new FileFault(null, new Policy.PolicyFault("", FileCodes.Unreadable, message, remedy)));
        }
    }
}
