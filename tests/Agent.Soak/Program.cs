using System.Globalization;
using Agent.Soak;

// sg-soak --hours N [--out FILE] [--commit NAME] [--steps PER_SECOND] [--seed N] [--plant GROUP] [--verify MODE]
//   lets the real daemon live under churn, traffic, scrapes, clients and restarts, and judges what it takes of the host
//   0: all is flat, nothing forbidden passed, nothing allowed was lost; 1: not so; 2: the command line
//   --plant puts a vNIC in this group as well: tests/Agent.ErringDaemon errs for those in certain groups
Dictionary<string, string> given = args.Chunk(2).ToDictionary(pair => pair[0], pair => pair[^1]);
if (!given.TryGetValue("--hours", out string? hours))
{
    Console.Error.WriteLine("sg-soak --hours N [--out FILE] [--commit NAME] [--steps PER_SECOND] [--seed N]");
    return 2;
}

var options = new SoakOptions
{
    Time = TimeSpan.FromHours(Number(hours)),
    StepsPerSecond = Number(given.GetValueOrDefault("--steps", "4")),
    Seed = (int)Number(given.GetValueOrDefault("--seed", "1")),
    Plant = given.GetValueOrDefault("--plant"),
    Verify = given.GetValueOrDefault("--verify", "enforce"),
};
Console.WriteLine($"seed {options.Seed}, {options.Time} and a few seconds");
SoakResult result = await new SoakRun(options, Console.WriteLine).RunAsync();
string[] failures = [.. result.Failures()];
if (given.TryGetValue("--out", out string? path))
{
    Report.Write(path, result, given.GetValueOrDefault("--commit", "unknown"));
}

Console.WriteLine(Report.Table(result));
foreach (string failure in failures)
{
    Console.Error.WriteLine(failure);
}

Console.WriteLine(failures.Length == 0
    ? "flat; nothing forbidden passed, nothing allowed was lost" : $"failed: {failures.Length} findings");
return failures.Length == 0 ? 0 : 1;

static double Number(string text) => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture);
