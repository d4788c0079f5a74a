using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Parsing;
using System.Text.RegularExpressions;
using Agent.Cli.Output;
using Agent.Contract;

namespace Agent.Cli;

/// <summary>A command line that was not understood, in a few lines.</summary>
internal static partial class Mistakes
{
    public static void Print(Screen error, ParseResult parsed)
    {
        foreach (string sentence in Sentences(parsed))
        {
            error.Line($"sgctl: {sentence}");
        }

        error.Line(Remedy(parsed));
    }

    /// <summary>The one document that --json promises.</summary>
    public static string Document(ParseResult parsed) =>
        Errors.Document("usage", string.Join("; ", Sentences(parsed)), Remedy(parsed));

    private static string Remedy(ParseResult parsed) => parsed.CommandResult.Command is RootCommand
        ? "See sgctl --help." : $"See sgctl {parsed.CommandResult.Command.Name} --help.";

    private static IEnumerable<string> Sentences(ParseResult parsed)
    {
        Command verb = parsed.CommandResult.Command;
        string[] unmatched = [.. parsed.UnmatchedTokens];
        return unmatched.Length > 0
            ? [Sentence(unmatched[0], verb, parsed)] // what follows a wrong word is wrong only because of it
            : verb is RootCommand ? [$"name a verb: {string.Join(", ", verb.Subcommands.Select(sub => sub.Name))}"]
            : parsed.Errors.Select(one => OneLine(one.Message) + DidYouMean(one.SymbolResult));
    }

    /// <summary>A list of words, one a line, becomes one of the sentence.</summary>
    private static string OneLine(string message)
    {
        string[] lines = message.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return lines.Length == 1 ? NoNumber().Replace(lines[0], "'$1' is no number that $2 takes")
            : $"{lines[0]} {string.Join(", ", lines[1..].Select(line => line.Trim('\'')))}.";
    }

    /// <summary>All types of options and arguments are words and numbers.</summary>
    [GeneratedRegex(@"^Cannot parse argument '(.*)' for \w+ '(.*)' as expected type '.*'\.$")]
    private static partial Regex NoNumber();

    /// <summary>Of words that an argument or option is limited to.</summary>
    private static string DidYouMean(SymbolResult? result)
    {
        IEnumerable<Func<CompletionContext, IEnumerable<CompletionItem>>> sources = result switch
        {
            ArgumentResult { Parent: OptionResult option } => option.Option.CompletionSources,
            ArgumentResult argument => argument.Argument.CompletionSources,
            OptionResult option => option.Option.CompletionSources,
            _ => [],
        };
        string word = result?.Tokens is [.., Token last] ? last.Value : "";
        return Spelling.Nearest(word, sources
            .SelectMany(source => source(CompletionContext.Empty)).Select(item => item.Label)) is { } near
            && near != word ? $" Did you mean {near}?" : "";
    }

    private static string Sentence(string word, Command verb, ParseResult parsed)
    {
        bool option = word.StartsWith('-');
        IEnumerable<string> known = option
            ? verb.Options.Concat(parsed.RootCommandResult.Command.Options).Select(one => one.Name)
            : verb.Subcommands.Select(sub => sub.Name);
        string what = option ? "option" : verb is RootCommand ? "verb" : "further argument";
        string near = Spelling.Nearest(word, known) is string name ? $" Did you mean {name}?" : "";
        return $"there is no {what} '{Screen.Visible(word)}'.{near}";
    }
}
