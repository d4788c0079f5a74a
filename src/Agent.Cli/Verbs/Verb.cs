using System.CommandLine;
using System.Globalization;
using System.Numerics;
using Agent.Cli.Completion;
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

    /// <summary>Text for people may be long: a pager shows it where the terminal is too low.</summary>
    protected virtual bool IsLong => false;

    /// <returns>One of <see cref="ExitCode"/>.</returns>
    protected abstract Task<int> RunAsync(Call call);

    /// <summary>FILE or -, the one argument of all verbs that read a policy.</summary>
    protected static Argument<string> PolicyArgument() => new("FILE")
    {
        Description = "Policy file, JSON or YAML; - is standard input",
        CompletionSources = { Suggestions.Files },
    };

    protected static Option<bool> NextRevisionOption() => new("--next-revision")
    {
        Description = "Take the agent's next revision, whatever the file says",
    };

    protected static Option<bool> OverrideOption() => new("--override-lease")
    {
        Description = "Write although a controller holds the lease; its next snapshot takes this back",
    };

    /// <summary>A number outside is a mistake; what is no number is one already.</summary>
    protected static void InRange<T>(Option<T> option, T least, T most) where T : INumber<T> =>
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && T.TryParse(
                token.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out T? value)
                && !(value >= least && value <= most))
            {
                result.AddError(string.Create(
                    CultureInfo.InvariantCulture, $"{option.Name} is a number from {least} to {most}"));
            }
        });

    /// <summary>What a person claims: nothing, or to be above the lease.</summary>
    protected static Writer? WriterOf(Call call, Option<bool> over) =>
        call.Parsed.GetValue(over) ? new Writer { OverrideLease = true } : null;

    private async Task<int> GuardAsync(ParseResult parsed, CancellationToken cancel)
    {
        Surroundings around = options.Around;
        bool color = !parsed.GetValue(options.NoColor) && around.Environment("NO_COLOR") is null or ""
            && around.ObeysEscapes;
        bool json = parsed.GetValue(options.Json);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancel, around.OutClosed);
        var call = new Call
        {
            Parsed = parsed,
            Around = around,
            Json = json,
            SocketPath = parsed.GetValue(options.Socket)!,
            Out = new Screen(
                IsLong && !json && !parsed.GetValue(options.NoPager) ? options.Output.Begin() : around.Out,
                around.OutWidth, color && around.OutWidth is not null),
            Error = new Screen(around.Error, around.ErrorWidth, color && around.ErrorWidth is not null),
            Cancel = ended.Token,
        };
        try
        {
            return await RunAsync(call).ConfigureAwait(false);
        }
        catch (CliException e)
        {
            Errors.Print(call, e.Code == CliException.NotFound && e.Remedy.Length == 0 ? Remedied(call, e) : e);
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
        catch (OperationCanceledException) when (around.OutClosed.IsCancellationRequested)
        {
            return ExitCode.Done; // whoever read has seen enough
        }
        catch (IOException e)
        {
            call.Error.Line(("sgctl: ", Screen.Bad), ($"cannot write the answer: {e.Message}", Screen.Plain));
            return ExitCode.Failed;
        }
    }

    /// <summary>What the agent did not find is mostly the name of a vNIC.</summary>
    private static CliException Remedied(Call call, CliException error)
    {
        string[] known = VnicNames.Known(call.SocketPath);
        string? wrong = call.Parsed.CommandResult.Children.SelectMany(child => child.Tokens)
            .Select(token => token.Value)
            .FirstOrDefault(word => error.Message.Contains($"'{word}'", StringComparison.Ordinal));
        return wrong is null || known.Length == 0 ? error : new CliException(
            error.ExitCode, error.Code, error.Message, VnicNames.Hint(wrong, known));
    }
}
