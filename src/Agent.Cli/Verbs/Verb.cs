using System.CommandLine;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>One verb of sgctl. A new one is one class, named in <see cref="Sgctl.Build"/>.</summary>
internal abstract class Verb : Command
{
    private readonly GlobalOptions options;

    protected Verb(GlobalOptions options, string name, string description) : base(name, description)
    {
        this.options = options;
        SetAction(GuardAsync);
    }

    /// <summary>For --help: command lines that work.</summary>
    public abstract IReadOnlyList<string> Examples { get; }

    /// <returns>One of <see cref="ExitCode"/>.</returns>
    protected abstract Task<int> RunAsync(Call call);

    /// <summary>FILE or -, the one argument of all verbs that read a policy.</summary>
    protected static Argument<string> PolicyArgument() => new("FILE")
    {
        Description = "Policy file, JSON or YAML; - is standard input",
    };

    protected static Option<bool> NextRevisionOption() => new("--next-revision")
    {
        Description = "Take the agent's next revision, whatever the file says",
    };

    protected static Option<bool> OverrideOption() => new("--override-lease")
    {
        Description = "Write although a controller holds the lease; its next snapshot takes this back",
    };

    /// <summary>What a person claims: nothing, or to be above the lease.</summary>
    protected static Writer? WriterOf(Call call, Option<bool> over) =>
        call.Parsed.GetValue(over) ? new Writer { OverrideLease = true } : null;

    private async Task<int> GuardAsync(ParseResult parsed, CancellationToken cancel)
    {
        Surroundings around = options.Around;
        bool color = !parsed.GetValue(options.NoColor) && around.Environment("NO_COLOR") is null or "";
        var call = new Call
        {
            Parsed = parsed,
            Around = around,
            Json = parsed.GetValue(options.Json),
            SocketPath = parsed.GetValue(options.Socket)!,
            Out = new Screen(around.Out, around.OutWidth, color && around.OutWidth is not null),
            Error = new Screen(around.Error, null, color && around.ErrorIsTerminal),
            Cancel = cancel,
        };
        try
        {
            return await RunAsync(call).ConfigureAwait(false);
        }
        catch (CliException e)
        {
            Errors.Print(call, e);
            return e.ExitCode;
        }
        catch (InvalidInputException e)
        {
            Errors.Print(call, e);
            return ExitCode.InputInvalid;
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            call.Error.Line("interrupted");
            return ExitCode.Interrupted;
        }
    }
}
