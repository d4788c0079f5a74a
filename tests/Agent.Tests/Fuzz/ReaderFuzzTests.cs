using System.Diagnostics;
using System.Globalization;
using Agent.Tests.Documents;

namespace Agent.Tests.Fuzz;

/// <summary>
/// Every reader of what comes from elsewhere, with what should never come: README.md beside this file.
/// The same inputs each time, so that what is green here is green elsewhere; <c>make fuzz</c> looks longer.
/// </summary>
public sealed class ReaderFuzzTests(ITestOutputHelper output)
{
    /// <summary>A round forgets what it found new at its end: so a seed comes to an input again, in seconds.</summary>
    private const int InputsPerRound = 30_000;

    private const int MostFindings = 12;

    private static readonly FuzzTarget[] All =
    [
        new NftablesTarget(), new AckTarget(), new LinkTarget(), new FlowTarget(), new PacketTarget(),
        new PolicyFileTarget(), new ConvertTarget(), new SessionArchiveTarget(), new ConfigTarget(),
        new StateFileTarget(), new StateTextTarget(), new LedgerTarget(),
    ];

    private static readonly int? Seconds = Number("SG_FUZZ_SECONDS");

    private static readonly int? Seed = Number("SG_FUZZ_SEED");

    private static readonly string Only = Environment.GetEnvironmentVariable("SG_FUZZ_TARGET") ?? "";

    public static TheoryData<string> Targets =>
        [.. All.Select(target => target.Name).Where(name => Only.Length == 0 || name == Only)];

    [Theory]
    [MemberData(nameof(Targets))]
    public void Whatever_comes_is_read_or_refused(string name)
    {
        FuzzTarget target = All.Single(one => one.Name == name);
        var fuzzer = new Fuzzer(target, Corpus.Of(name));
        long started = Stopwatch.GetTimestamp();
        int first = Seed ?? 1;
        var found = new List<FuzzFinding>();
        int kinds = 0; // a last round that was cut short has few
        for (int seed = first; found.Count < MostFindings && (seed == first || !IsOver()); seed++)
        {
            // A seed that was asked for is looked through, however long it takes.
            bool isAsked = Seed is not null && seed == first;
            FuzzFinding? one = fuzzer.Round(seed, InputsPerRound, () => !isAsked && IsOver());
            found.AddRange(one is null ? [] : [one]);
            kinds = Math.Max(kinds, fuzzer.Kinds);
        }

        bool IsOver() => Seconds is int seconds ? Stopwatch.GetElapsedTime(started).TotalSeconds >= seconds
            : fuzzer.Inputs >= target.Inputs;

        output.WriteLine(
            $"{name}: {fuzzer.Inputs} inputs from seed {first} on, {kinds} kinds in the richest round");
        Assert.True(found.Count == 0, string.Join('\n', found));
        Assert.True(kinds > 3, $"{name}: broken inputs come to {kinds} things only");
    }

    [Fact]
    public void The_written_corpus_files_are_up_to_date() =>
        WrittenFiles.Check($"{Corpus.Folder}/written", WrittenCorpus.Files());

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int number)
            ? number : null;
}
