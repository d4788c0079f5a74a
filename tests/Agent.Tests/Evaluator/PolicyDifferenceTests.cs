using System.Collections.Immutable;
using System.Diagnostics;
using Agent.Evaluator;
using Agent.Evaluator.Differences;
using Agent.Evaluator.Forms;
using Agent.Policy;
using Agent.Tests.Compiler;

namespace Agent.Tests.Evaluator;

/// <summary>What an operator reads before pressing enter is exactly what changes.</summary>
public sealed class PolicyDifferenceTests
{
    private static readonly IpFamily[] Families = [IpFamily.V4, IpFamily.V6];
    private static readonly Direction[] Directions = [Direction.Ingress, Direction.Egress];

    [Theory]
    [InlineData(21, 60)]
    [InlineData(22, 60)]
    public void A_packet_is_in_a_line_if_and_only_if_its_verdict_differs(int seed, int pairs)
    {
        var random = new Random(seed);
        int different = 0;
        int same = 0;
        for (int i = 0; i < pairs; i++)
        {
            string[] rules = CompilerAgainstOracleTests.Rules(random);
            string[] others = [.. rules.Where(_ => random.Next(4) > 0), .. random.Next(2) == 0
                ? CompilerAgainstOracleTests.Rules(random).Take(2) : []];
            int build = random.Next();
            PolicySnapshot before = CompilerAgainstOracleTests.Snapshot(new Random(build), rules);
            PolicySnapshot after = CompilerAgainstOracleTests.Snapshot(new Random(build), others);
            PolicySettings settings = PolicySettings.Default with
            {
                EgressInner = random.Next(2) == 0 ? EgressInner.CustomFirst : EgressInner.InnerFirst,
            };
            (int differing, int equal) = Check(Change(before, random), Change(after, random), settings, random);
            (different, same) = (different + differing, same + equal);
        }

        Assert.True(different > 3000 && same > 3000, $"{different} packets differ, {same} do not");
    }

    [Fact]
    public void A_policy_that_uses_everything_against_nothing_and_a_part_of_itself()
    {
        PolicySnapshot rich = RichPolicy.Snapshot;
        SecurityGroup web = rich.Groups["web"];
        PolicySnapshot part = rich with
        {
            Groups = rich.Groups.SetItem("web", web with { Rules = [.. web.Rules.Where((_, i) => i % 3 > 0)] })
                .SetItem("peers", rich.Groups["peers"] with { Members = [IpPrefix.Parse("10.9.0.0/30")] }),
        };
        var random = new Random(5);
        Assert.All(
            new[] { (rich, part), (PolicySnapshot.Empty, rich), (part, PolicySnapshot.Empty), (rich, rich) },
            pair => Check(pair.Item1, pair.Item2, RichPolicy.Settings, random));
        Assert.Empty(PolicyDifference.Between(rich, rich, RichPolicy.Settings));
    }

    [Theory]
    [InlineData("in 1 accept tcp 22/22 10.0.0.0/8", "",
        "Ingress Accept tcp 22 from 10.0.0.0/8 but members of web | web/r1 -> default")]
    [InlineData("", "in 1 accept tcp 22/22 0.0.0.0/0;in 1 accept tcp 22/22 ::/0",
        "Ingress Drop tcp 22 from any IPv6 address and any IPv4 address but members of web | "
            + "default -> web/r1, web/r2")]
    [InlineData("in 1 accept tcp 80/90 group:peers", "in 1 accept tcp 80/84 group:peers",
        "Ingress Accept tcp 85-90 from members of peers | web/r1 -> default")]
    [InlineData("in 2 accept all -1/-1 192.0.2.0/24",
        "in 2 accept all -1/-1 192.0.2.0/24;in 1 drop tcp 25/25 0.0.0.0/0",
        "Ingress Accept tcp 25 from 192.0.2.0/24 | web/r1 -> web/r2")]
    [InlineData("", "out 1 drop all -1/-1 0.0.0.0/0;out 1 drop all -1/-1 ::/0;out 1 accept tcp 443/443 0.0.0.0/0",
        "Egress Accept every protocol but tcp 25 to any IPv6 address and any IPv4 address but "
            + "100.100.100.200 | default -> web/r1, web/r2")]
    public void Lines_are_what_a_person_would_write(string before, string after, string expected)
    {
        string[] lines = [.. PolicyDifference.Between(Of(before), Of(after), PolicySettings.Default)
            .Select(change => $"{change.Line.Direction} {change.Line.Before} {change.Line.Traffic} | "
                + $"{string.Join(", ", change.Line.DecidedBefore)} -> {string.Join(", ", change.Line.DecidedAfter)}")];
        Assert.Equal(expected, string.Join('\n', lines));

        static PolicySnapshot Of(string rules) => new PolicyBuilder()
            .Group("peers", GroupType.Basic, Verdict.Accept, ["10.1.2.3", "10.1.2.9", "10.7.0.0/16"])
            .Basic("web", rules.Split(';', StringSplitOptions.RemoveEmptyEntries)).Nic("e1", "10.0.0.1", "web").Build();
    }

    [Fact]
    public void A_large_host_is_compared_in_a_moment_and_vnics_of_the_same_groups_once()
    {
        PolicySnapshot before = LargePolicy.Of(vnics: 500, profiles: 40, rules: 200);
        SecurityGroup group = before.Groups["sg-7"];
        PolicySnapshot after = before with
        {
            Groups = before.Groups.SetItem("sg-7", group with { Rules = group.Rules.RemoveAt(3) }),
            Vnics = before.Vnics.SetItem("eni-1", before.Vnics["eni-1"] with { GroupIds = ["sg-2"] }),
        };
        long started = Stopwatch.GetTimestamp();
        ImmutableArray<ChangedTraffic> changes = PolicyDifference.Between(before, after, PolicySettings.Default);
        TimeSpan took = Stopwatch.GetElapsedTime(started);
        Assert.Equal(13, changes.Max(change => change.Vnics.Length)); // every 40th of 500
        Assert.True(took < TimeSpan.FromSeconds(10), $"{took}");
        started = Stopwatch.GetTimestamp();
        changes = PolicyDifference.Between(PolicySnapshot.Empty, before, PolicySettings.Default);
        took += Stopwatch.GetElapsedTime(started);
        TestContext.Current.TestOutputHelper?.WriteLine($"{took} {changes.Length} lines");
    }

    private static (int Differing, int Same) Check(
        PolicySnapshot before, PolicySnapshot after, PolicySettings settings, Random random)
    {
        PolicyOracle[] oracles = [new(before, settings), new(after, settings)];
        ImmutableArray<ChangedTraffic> changes = PolicyDifference.Between(before, after, settings);
        int differing = 0;
        int same = 0;
        foreach (string id in before.Vnics.Keys.Union(after.Vnics.Keys))
        {
            Vnic?[] vnics = [before.Vnics.GetValueOrDefault(id), after.Vnics.GetValueOrDefault(id)];
            foreach ((Direction direction, PacketTuple packet) in Packets(oracles, vnics, random))
            {
                bool[] accepted = [.. oracles.Zip(vnics, (oracle, vnic) =>
                    vnic is not null && oracle.Judge(vnic, direction, packet).Accepted)];
                DifferenceLine[] lines = [.. changes
                    .Where(change => change.Vnics.Contains(id) && Covers(change.Line, vnics, direction, packet))
                    .Select(change => change.Line)];
                if (accepted[0] == accepted[1])
                {
                    Assert.True(lines.Length == 0, $"{id} {direction} {packet} does not differ");
                    same++;
                    continue;
                }

                Assert.True(lines.Length == 1, $"{id} {direction} {packet} differs, in {lines.Length} lines");
                Assert.Equal(accepted[0], lines[0].Before == Verdict.Accept);
                differing++;
            }
        }

        return (differing, same);
    }

    private static bool Covers(DifferenceLine line, Vnic?[] vnics, Direction direction, PacketTuple packet) =>
        line.Direction == direction && line.Services.Contains(packet)
        && line.Remotes.Any(scope => scope.Family == packet.Family && scope.Contains(packet.Remote(direction)))
        && (line.Own?.Contains(packet.Own(direction)) ?? vnics.Any(vnic => vnic is not null
            && PolicyOracle.OwnAddressesOf(vnic, packet.Family).Contains(packet.Own(direction))));

    // Corners of both forms, and the same with addresses that the vNIC has or had.
    private static IEnumerable<(Direction, PacketTuple)> Packets(
        PolicyOracle[] oracles, Vnic?[] vnics, Random random)
    {
        var forms = new PolicyForms();
        foreach (IpFamily family in Families)
        {
            IpPrefix[] own = [.. vnics.OfType<Vnic>().SelectMany(v => v.Addresses.Concat(v.DelegatedPrefixes))
                .Where(prefix => prefix.Family == family)];
            foreach (Direction direction in Directions)
            {
                PacketTuple[] corners = [.. oracles.Zip(vnics).Where(one => one.Second is not null)
                    .SelectMany(one => PolicyFormTests.Corners(
                        forms.Of(one.First, one.Second!, direction, family)))];
                foreach (PacketTuple packet in random.GetItems(corners, 60))
                {
                    if (packet.Own(direction) != 0)
                    {
                        yield return (direction, packet);
                    }

                    foreach (IpPrefix prefix in own)
                    {
                        yield return (direction, direction == Direction.Ingress
                            ? packet with { Destination = prefix.Last } : packet with { Source = prefix.Last });
                    }
                }
            }
        }
    }

    private static PolicySnapshot Change(PolicySnapshot policy, Random random)
    {
        Vnic one = policy.Vnics["one"] with { SourceDestinationCheck = random.Next(3) > 0 };
        one = random.Next(3) switch
        {
            0 => one with { Addresses = [.. one.Addresses.Skip(1)] },
            1 => one with { GroupIds = ["a"] },
            _ => one,
        };
        ImmutableSortedDictionary<string, Vnic> vnics = policy.Vnics.SetItem("one", one);
        return policy with { Vnics = random.Next(3) == 0 ? vnics.Remove("two") : vnics };
    }
}
