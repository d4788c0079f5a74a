using System.CommandLine;
using System.CommandLine.Parsing;
using Agent.Contract;

namespace Agent.Cli;

/// <summary>A command line that was not understood, in a few lines.</summary>
internal static class Mistakes
{
    public static void Print(TextWriter error, ParseResult parsed)
    {
        Command verb = parsed.CommandResult.Command;
        string[] unmatched = [.. parsed.UnmatchedTokens];
        if (unmatched.Length > 0)
        {
            // What follows a wrong word is wrong only because of it.
            error.WriteLine(Sentence(unmatched[0], verb, parsed));
        }
        else if (parsed.Errors.Count > 0 && verb is RootCommand)
        {
            error.WriteLine($"sgctl: name a verb: {string.Join(", ", verb.Subcommands.Select(sub => sub.Name))}");
        }
        else
        {
            foreach (ParseError one in parsed.Errors)
            {
                error.WriteLine(
                    $"sgctl: {one.Message.ReplaceLineEndings(" ").Replace("\t", "", StringComparison.Ordinal)}");
            }
        }

        error.WriteLine(verb is RootCommand ? "See sgctl --help." : $"See sgctl {verb.Name} --help.");
    }

    private static string Sentence(string word, Command verb, ParseResult parsed)
    {
        bool option = word.StartsWith('-');
        IEnumerable<string> known = option
            ? verb.Options.Concat(parsed.RootCommandResult.Command.Options).Select(one => one.Name)
            : verb.Subcommands.Select(sub => sub.Name);
        string what = option ? "option" : verb is RootCommand ? "verb" : "further argument";
        string near = Spelling.Nearest(word, known) is string name ? $" Did you mean {name}?" : "";
        return $"sgctl: there is no {what} '{Output.Screen.Visible(word)}'.{near}";
    }
}
