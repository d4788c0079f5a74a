using System.Collections.Immutable;
using System.Globalization;
using Agent.Compiler;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Proof;

/// <summary>One line of a filter set.</summary>
/// <param name="Source">Source addresses.</param>
/// <param name="Destination">Destination addresses.</param>
/// <param name="SourcePorts">Null: any.</param>
/// <param name="DestinationPorts">Null: any.</param>
/// <param name="Protocol">Null: any.</param>
internal sealed record Filter(
    IpPrefix Source, IpPrefix Destination, PortRange? SourcePorts, PortRange? DestinationPorts, byte? Protocol);

/// <summary>
/// Filter sets in the format of ClassBench's generator (Taylor and Turner, IEEE/ACM ToN 15(3), 2007), in which most
/// published sets for packet classification are written.
/// </summary>
/// <remarks>
/// <code>
/// @198.51.100.0/24  10.0.0.7/32  0 : 65535  80 : 80  0x06/0xFF  0x0000/0x0200
/// source            destination  ports      ports    protocol   TCP flags (no rule of ours has any: left out)
/// </code>
/// </remarks>
internal static class ClassBench
{
    /// <summary>The most addresses that a vNIC gets, or one or two more.</summary>
    private const int OwnAddresses = 5;

    /// <exception cref="FormatException">A line is no filter.</exception>
    public static ImmutableArray<Filter> Read(IEnumerable<string> lines) =>
        [.. lines.Where(line => line.Trim().Length > 0).Select(Read)];

    /// <summary>
    /// Two vNICs, whose groups judge the set's traffic as it enters one and as it leaves the other: each may have as
    /// many rules as a set has. Their addresses are some of the set's. A set is a list that says nothing of verdicts:
    /// priorities follow its order, every third rule drops.
    /// </summary>
    public static CompileRequest Request(IReadOnlyList<Filter> filters) =>
        CompilerAgainstOracleTests.Request(new PolicySnapshot
        {
            Revision = 1,
            Groups = new[] { Group("in", Direction.Ingress, filters), Group("out", Direction.Egress, filters) }
                .ToImmutableSortedDictionary(group => group.Id, group => group, StringComparer.Ordinal),
            Vnics = new PolicyBuilder().Nic("one", string.Join(' ', Own(filters, atSource: false)), "in")
                .Nic("two", string.Join(' ', Own(filters, atSource: true)), "out").Build().Vnics,
        });

    private static Filter Read(string line)
    {
        string[] words = line.TrimStart('@').Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
        if (words.Length < 9 || words[3] != ":" || words[6] != ":")
        {
            throw new FormatException($"not a filter: {line}");
        }

        byte? protocol = words[8] switch
        {
            ['0', 'x', .. string rest] when rest.EndsWith("/0x00", StringComparison.OrdinalIgnoreCase) => null,
            ['0', 'x', .. string rest] when rest.EndsWith("/0xFF", StringComparison.OrdinalIgnoreCase) =>
                byte.Parse(rest.Split('/')[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture),
            _ => throw new FormatException($"not a protocol: {words[8]}"),
        };
        bool hasPorts = protocol is { } number && IpProtocol.HasPorts(number);
        return new Filter(
            IpPrefix.Parse(words[0]), IpPrefix.Parse(words[1]),
            hasPorts ? Ports(words[2], words[4]) : null, hasPorts ? Ports(words[5], words[7]) : null, protocol);
    }

    private static PortRange? Ports(string first, string last)
    {
        var range = new PortRange(
            ushort.Parse(first, CultureInfo.InvariantCulture), ushort.Parse(last, CultureInfo.InvariantCulture));
        return range == PortRange.All ? null : range;
    }

    private static SecurityGroup Group(string id, Direction direction, IReadOnlyList<Filter> filters) => new()
    {
        Id = id,
        VpcId = PolicyBuilder.Vpc,
        InnerAccess = Verdict.Drop,
        Rules =
        [
            .. filters.Select((filter, at) => new GroupRule
            {
                Id = string.Create(CultureInfo.InvariantCulture, $"r{at}"),
                Direction = direction,
                Priority = (byte)(1 + at * 100 / filters.Count),
                Verdict = at % 3 == 2 ? Verdict.Drop : Verdict.Accept,
                Protocol = filter.Protocol,
                SourcePorts = filter.SourcePorts,
                DestinationPorts = filter.DestinationPorts,
                Remote = new Remote.Cidr(direction == Direction.Ingress ? filter.Source : filter.Destination),
                OwnSide = direction == Direction.Ingress ? filter.Destination : filter.Source,
            }),
        ],
    };

    // Far apart in the set, so that they are of different rules.
    private static IEnumerable<string> Own(IReadOnlyList<Filter> filters, bool atSource) =>
        filters.Where((_, at) => at % Math.Max(1, filters.Count / OwnAddresses) == 0)
            .Select(filter => atSource ? filter.Source : filter.Destination)
            .Where(prefix => prefix.Bits != 0)
            .Select(prefix => new IpPrefix(prefix.Family, prefix.Bits, 32).ToString())
            .Distinct(StringComparer.Ordinal);
}
