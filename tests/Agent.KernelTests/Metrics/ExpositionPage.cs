using System.Globalization;
using System.Text.RegularExpressions;
using Agent.KernelTests.Daemon;

namespace Agent.KernelTests.Metrics;

/// <summary>
/// A page of /metrics, read as Prometheus' text format 0.0.4 wants it and no laxer: what is wrong with it throws.
/// </summary>
internal sealed partial class ExpositionPage
{
    private static readonly string[] HistogramParts = ["_bucket", "_sum", "_count"];

    private readonly Dictionary<string, (string Help, string Type)> families = new(StringComparer.Ordinal);
    private readonly Dictionary<string, double> samples = new(StringComparer.Ordinal);

    private ExpositionPage(string text)
    {
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        string family = "";
        var ended = new HashSet<string>(StringComparer.Ordinal);
        string? help = null;
        foreach (string line in text[..^1].Split('\n'))
        {
            if (Help().Match(line) is { Success: true } helped)
            {
                Assert.True(help is null, $"two HELP lines: {line}");
                help = helped.Groups[2].Value;
                family = helped.Groups[1].Value;
                Assert.True(ended.Add(family), $"a family begins twice: {line}");
            }
            else if (Typed().Match(line) is { Success: true } typed)
            {
                Assert.True(help is not null && typed.Groups[1].Value == family, $"TYPE without its HELP: {line}");
                families.Add(family, (help!, typed.Groups[2].Value));
                help = null;
            }
            else
            {
                Add(line, family);
            }
        }

        Assert.All(families, CheckName);
        Assert.All(families.Where(one => one.Value.Type == "histogram"), one => CheckHistogram(one.Key));
    }

    public IReadOnlyDictionary<string, (string Help, string Type)> Families => families;

    /// <summary>By name and labels, as they stand on the page.</summary>
    public IReadOnlyDictionary<string, double> Samples => samples;

    /// <summary>A daemon that has just started serves metrics a moment after its first socket.</summary>
    public static async Task<ExpositionPage> ReadAsync(DaemonLab lab)
    {
        string page = "";
        await DaemonLab.UntilAsync("a page", async () =>
        {
            try
            {
                page = await lab.Daemon.ReadPageAsync();
                return true;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        });
        return Of(page);
    }

    public static ExpositionPage Of(string text) => new(text);

    /// <summary>Packets of a vNIC.</summary>
    public long Packets(string vnic, string direction, string reason) => (long)samples[
        $"sg_agent_vnic_packets_total{{vnic=\"{vnic}\",direction=\"{direction}\","
            + $"verdict=\"{(reason == "passed" ? "accept" : "drop")}\",reason=\"{reason}\"}}"];

    public IEnumerable<string> Labels(string family) => samples.Keys
        .Where(name => name.StartsWith(family + "{", StringComparison.Ordinal));

    private void Add(string line, string family)
    {
        Match sample = Sample().Match(line);
        Assert.True(sample.Success, $"not a sample: {line}");
        string name = sample.Groups[1].Value;
        Assert.True(families.TryGetValue(family, out (string Help, string Type) of), $"without a family: {line}");
        Assert.True(name == family || (of.Type == "histogram" && HistogramParts.Any(part => name == family + part)),
            $"of another family: {line}");
        string labels = sample.Groups[2].Value;
        string[] names = [.. Label().Matches(labels).Select(match => match.Groups[1].Value)];
        Assert.Equal(names.Distinct(), names);
        Assert.Equal(labels, labels.Length == 0 ? ""
            : $"{{{string.Join(',', Label().Matches(labels).Select(match => match.Value))}}}");
        double value = sample.Groups[3].Value switch
        {
            "NaN" => double.NaN,
            "+Inf" => double.PositiveInfinity,
            "-Inf" => double.NegativeInfinity,
            var text => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture),
        };
        Assert.True(of.Type != "counter" || value >= 0, $"a negative counter: {line}");
        Assert.True(samples.TryAdd(name + labels, value), $"twice: {line}");
    }

    private static void CheckName(KeyValuePair<string, (string Help, string Type)> family)
    {
        Assert.True(family.Value.Type is "counter" or "gauge" or "histogram", family.Key);
        // process_... and dotnet_... are prometheus-net's.
        if (family.Key.StartsWith("sg_agent_", StringComparison.Ordinal))
        {
            Assert.True(family.Value.Help.Length > 10 && family.Value.Help.EndsWith('.'), $"no help: {family.Key}");
            Assert.Equal(family.Value.Type == "counter", family.Key.EndsWith("_total", StringComparison.Ordinal));
            Assert.DoesNotMatch("_(ms|milliseconds|us|kib|mib|minutes)(_|$)", family.Key);
        }
    }

    private void CheckHistogram(string family)
    {
        foreach (IGrouping<string, (string Labels, string Bound)> series in samples.Keys
            .Where(name => name.StartsWith(family + "_bucket{", StringComparison.Ordinal))
            .Select(name => (Labels: name[(family.Length + 7)..], Bound: Bound().Match(name).Groups[1].Value))
            .GroupBy(one => Bound().Replace(one.Labels, "")))
        {
            double last = 0;
            foreach ((string labels, _) in series.OrderBy(one => one.Bound == "+Inf" ? double.PositiveInfinity
                : double.Parse(one.Bound, CultureInfo.InvariantCulture)))
            {
                double count = samples[$"{family}_bucket{labels}"];
                Assert.True(count >= last, $"buckets of {family} are not cumulative");
                last = count;
            }

            string rest = series.Key.Replace("{}", "", StringComparison.Ordinal);
            Assert.Equal(samples[$"{family}_count{rest}"], last);
            Assert.Contains(series, one => one.Bound == "+Inf");
        }
    }

    [GeneratedRegex(@"^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\\n]|\\\\|\\n)*)$")]
    private static partial Regex Help();

    [GeneratedRegex("^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$")]
    private static partial Regex Typed();

    [GeneratedRegex(@"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.+\})? (\S+)$")]
    private static partial Regex Sample();

    [GeneratedRegex(@"([a-zA-Z_][a-zA-Z0-9_]*)=""(?:[^\\""\n]|\\\\|\\""|\\n)*""")]
    private static partial Regex Label();

    [GeneratedRegex(@",?le=""([^""]+)""")]
    private static partial Regex Bound();
}
