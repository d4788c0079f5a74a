using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Policy;

namespace Agent.Tests.Proof;

/// <summary>
/// Filter sets that others have published. The sets may not be copied into this repository, so who has them names the
/// directory: <c>make corpus FILTER_SETS=directory</c>.
/// </summary>
public sealed class PublicFilterSetTests
{
    private const string Variable = "SG_FILTER_SETS";

    private static readonly string[] Sample =
    [
        "@198.51.100.0/24\t10.0.0.7/32\t0 : 65535\t80 : 80\t0x06/0xFF\t0x0000/0x0200\t",
        "@198.51.100.8/29\t10.0.0.0/24\t1024 : 65535\t0 : 65535\t0x11/0xFF\t0x0000/0x0000\t",
        "@0.0.0.0/0\t10.0.0.7/32\t0 : 65535\t0 : 65535\t0x01/0xFF\t0x0000/0x0000\t",
        "",
        "@198.51.0.0/16\t0.0.0.0/0\t0 : 65535\t0 : 65535\t0x00/0x00\t0x0000/0x0000\t",
    ];

    [Fact]
    public void A_set_is_read_as_it_is_written()
    {
        ImmutableArray<Filter> filters = ClassBench.Read(Sample);
        Assert.Equal(4, filters.Length);
        Assert.Equal(
            new Filter(
                IpPrefix.Parse("198.51.100.0/24"), IpPrefix.Parse("10.0.0.7/32"), null, new PortRange(80, 80), 6),
            filters[0]);
        Assert.Equal(new PortRange(1024, 65_535), filters[1].SourcePorts);
        Assert.Equal([6, 17, 1, null], filters.Select(filter => filter.Protocol));
        Assert.Throws<FormatException>(() => ClassBench.Read(["permit tcp any any"]));
        Assert.Throws<FormatException>(() => ClassBench.Read([Sample[0].Replace("0x06/0xFF", "0x06/0xF0")]));
        ProverTests.Proved(ClassBench.Request(filters), "sample");
    }

    /// <summary>Proved, and faults that are put into what was compiled are found.</summary>
    [Fact]
    public void Published_sets_are_proved()
    {
        string? directory = Environment.GetEnvironmentVariable(Variable);
        Assert.SkipWhen(string.IsNullOrEmpty(directory), $"{Variable} names no directory of filter sets");
        string[] files = [.. Directory.EnumerateFiles(directory!, "*", SearchOption.AllDirectories)
            .Where(file => !file.Contains("/.git/", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        Assert.NotEmpty(files);
        foreach (string file in files)
        {
            CompileRequest request = ClassBench.Request(ClassBench.Read(File.ReadLines(file)));
            long began = TimeProvider.System.GetTimestamp();
            ProverTests.Proved(request, file);
            TimeSpan took = TimeProvider.System.GetElapsedTime(began);
            string closed = string.Join(", ", RulesetCompiler.Compile(request).Failed
                .Select(failed => $"{failed.Key} {failed.Value}"));
            MutationTests.Tally tally = MutationTests.Seed(request, new Random(files.Length), faults: 5);
            TestContext.Current.SendDiagnosticMessage(
                $"{file}: {request.Policy.Groups["in"].Rules.Length} filters proved in {took.TotalSeconds:0.0} s,"
                + $" faults: {tally}{(closed.Length > 0 ? $"; closed: {closed}" : "")}");
        }
    }
}
