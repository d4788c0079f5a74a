using System.CommandLine;
using System.CommandLine.Completions;

namespace Agent.Cli.Completion;

/// <summary>What the word at the end of a command line may become.</summary>
/// <param name="Word">The whole word; <see cref="Suggestions.FilesLabel"/>: names of files.</param>
/// <param name="Description">For shells that show it; may be empty.</param>
internal readonly record struct Candidate(string Word, string Description);

/// <summary>Completes command lines by the tree of verbs.</summary>
/// <param name="root">sgctl.</param>
/// <param name="parser">As for real command lines.</param>
internal sealed class LineCompletion(RootCommand root, ParserConfiguration parser)
{
    /// <param name="line">From the name of the program up to the cursor.</param>
    public IReadOnlyList<Candidate> Of(string line) => Of([.. ShellWords.Of(line).Skip(1)]);

    /// <param name="words">Behind the name of the program; the last one is to be completed, and may be empty.</param>
    private Candidate[] Of(string[] words)
    {
        if (words.Length == 0)
        {
            return [];
        }

        Place place = PlaceOf(words[..^1]);
        string word = words[^1];
        CompletionContext context = root.Parse(words, parser).GetCompletionContext();
        if (place.Pending is { } pending)
        {
            return Fitting(Values(pending.CompletionSources, context), word);
        }

        if (word.StartsWith('-') && !place.OnlyArguments)
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            return equals < 0 ? Fitting(Options(place), word)
                : Find(place.Command, word[..equals]) is not { } named ? []
                : Behind(word[..(equals + 1)], Fitting(Values(named.CompletionSources, context), word[(equals + 1)..]));
        }

        if (place.Command.Subcommands.Count > 0)
        {
            return Fitting(place.Command.Subcommands.Where(verb => !verb.Hidden)
                .Select(verb => new Candidate(verb.Name, FirstSentence(verb.Description))), word);
        }

        Argument? argument = ArgumentAt(place.Command, place.Arguments.Count);
        IEnumerable<Candidate> values = argument is null ? [] : Values(argument.CompletionSources, context)
            .Where(value => !place.Arguments.Contains(value.Word));

        // Where nothing else can stand, a person looks for options.
        return Fitting(argument is null && word.Length == 0 ? Options(place) : values, word);
    }

    private Place PlaceOf(IEnumerable<string> words)
    {
        var place = new Place(root);
        foreach (string word in words)
        {
            if (place.Pending is not null)
            {
                place.Pending = null;
            }
            else if (word == "--" && !place.OnlyArguments)
            {
                place.OnlyArguments = true;
            }
            else if (word.StartsWith('-') && word.Length > 1 && !place.OnlyArguments)
            {
                string name = word.Split('=')[0];
                place.Given.Add(name);
                place.Pending = Find(place.Command, name) is { } option && option.Arity.MinimumNumberOfValues > 0
                    && name == word ? option : null;
            }
            else if (place.Command.Subcommands.FirstOrDefault(verb => verb.Name == word) is { } verb)
            {
                place.Command = verb;
            }
            else
            {
                place.Arguments.Add(word);
            }
        }

        return place;
    }

    private IEnumerable<Candidate> Options(Place place) => place.Command.Options
        .Concat(place.Command == root ? [] : root.Options.Where(option => option.Recursive))
        .Where(option => !option.Hidden && !place.Given.Contains(option.Name)
            && !option.Aliases.Any(place.Given.Contains))
        .OrderBy(option => option.Recursive)
        .Select(option => new Candidate(option.Name, FirstSentence(option.Description)))
        .DistinctBy(candidate => candidate.Word);

    private Option? Find(Command command, string name) => command.Options.Concat(root.Options)
        .FirstOrDefault(option => option.Name == name || option.Aliases.Contains(name));

    private static Argument? ArgumentAt(Command command, int place) =>
        place < command.Arguments.Count ? command.Arguments[place]
        : command.Arguments.LastOrDefault() is { Arity.MaximumNumberOfValues: > 1 } last ? last : null;

    private static IEnumerable<Candidate> Values(
        IEnumerable<Func<CompletionContext, IEnumerable<CompletionItem>>> sources, CompletionContext context) =>
        sources.SelectMany(source => source(context))
            .Select(item => new Candidate(item.InsertText ?? item.Label, item.Detail ?? ""));

    private static Candidate[] Fitting(IEnumerable<Candidate> candidates, string word) =>
    [
        .. candidates.Where(one => one.Word == Suggestions.FilesLabel
            || one.Word.StartsWith(word, StringComparison.Ordinal)),
    ];

    private static Candidate[] Behind(string prefix, IEnumerable<Candidate> candidates) =>
    [
        .. candidates.Select(one => one.Word == Suggestions.FilesLabel ? one : one with { Word = prefix + one.Word }),
    ];

    private static string FirstSentence(string? text) =>
        (text ?? "").Split([". ", "; ", " ("], StringSplitOptions.None)[0].TrimEnd('.');

    /// <summary>Where the word that is completed stands.</summary>
    private sealed class Place(Command command)
    {
        public Command Command { get; set; } = command;

        /// <summary>The option whose value it is.</summary>
        public Option? Pending { get; set; }

        public bool OnlyArguments { get; set; }

        public List<string> Arguments { get; } = [];

        public HashSet<string> Given { get; } = [];
    }
}
