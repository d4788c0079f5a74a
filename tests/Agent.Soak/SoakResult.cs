using System.Globalization;
using Agent.Soak.Judging;
using Agent.Soak.Sampling;

namespace Agent.Soak;

/// <summary>Everything that a run showed.</summary>
/// <param name="Options">How it was made.</param>
/// <param name="Daemon">What ran.</param>
/// <param name="Took">All in all.</param>
/// <param name="Counts">What was done.</param>
/// <param name="Faults">What must not have been.</param>
/// <param name="Samples">In time's order.</param>
/// <param name="Before">With the first policy in force, and nothing else going on.</param>
/// <param name="After">The same policy, after everything.</param>
internal sealed record SoakResult(
    SoakOptions Options, string Daemon, TimeSpan Took, IReadOnlyDictionary<string, long> Counts,
    IReadOnlyCollection<string> Faults, IReadOnlyList<Sample> Samples, Sample Before, Sample After)
{
    public IEnumerable<Finding> Findings => Quantity.All
        .Where(quantity => quantity != Quantity.Flowtables
            && (quantity != Quantity.Proof || Options.Verify != "off"))
        .Select(quantity => Finding.Judge(quantity, Samples));

    /// <summary>One sentence each; none: it passed.</summary>
    public IEnumerable<string> Failures()
    {
        foreach (string fault in Faults)
        {
            yield return fault;
        }

        foreach (Finding finding in Findings.Where(finding => !finding.IsFlat))
        {
            yield return finding.Sentence;
        }

        foreach (Quantity quantity in Quantity.SameAtRest.Where(
            quantity => Before.Values[quantity] != After.Values[quantity]))
        {
            yield return string.Create(CultureInfo.InvariantCulture,
                $"{quantity.Name}: {After.Values[quantity]} for the same policy that took {Before.Values[quantity]}");
        }

        if (After.Values[Quantity.Flowtables] > 0)
        {
            yield return "there are flowtables, which the agent never makes";
        }

        foreach (string kind in (string[])["allowed: ", "forbidden: ", "change: ", "client: "])
        {
            if (!Counts.Keys.Any(key => key.StartsWith(kind, StringComparison.Ordinal)))
            {
                yield return $"nothing was counted of \"{kind.TrimEnd(' ', ':')}\": the run shows nothing";
            }
        }
    }
}
