using Agent.Evaluator;
using Agent.Evaluator.Forms;
using Agent.Policy;
using Agent.Tests.Compiler;

namespace Agent.Tests.Evaluator;

/// <summary>A policy's canonical form is the oracle, for every packet at once.</summary>
public sealed class PolicyFormTests
{
    private static readonly IpFamily[] Families = [IpFamily.V4, IpFamily.V6];
    private static readonly Direction[] Directions = [Direction.Ingress, Direction.Egress];

    [Theory]
    [InlineData(1, 60)]
    [InlineData(2, 60)]
    public void Every_corner_of_every_box_is_judged_as_the_oracle_does(int seed, int policies)
    {
        var random = new Random(seed);
        long packets = 0;
        for (int i = 0; i < policies; i++)
        {
            packets += Check(CompilerAgainstOracleTests.Snapshot(random, CompilerAgainstOracleTests.Rules(random)),
                PolicySettings.Default, i == 0 ? int.MaxValue : 60, random);
        }

        Assert.True(packets > 20_000, $"only {packets} packets");
    }

    [Fact]
    public void A_policy_that_uses_everything_is_judged_as_the_oracle_does()
    {
        Check(RichPolicy.Snapshot, RichPolicy.Settings, 2000, new Random(3));
        Check(RichPolicy.Snapshot, RichPolicy.Settings with { EgressInner = EgressInner.InnerFirst }, 500,
            new Random(4));
    }

    [Fact]
    public void Scenarios_are_decided_by_the_row_that_the_specification_names()
    {
        foreach (Scenario scenario in Scenarios.All.Where(scenario => scenario.Mark == 0))
        {
            var oracle = new PolicyOracle(scenario.Snapshot, scenario.Settings);
            Vnic vnic = scenario.Snapshot.Vnics[scenario.VnicId];
            PolicyVerdict verdict = oracle.JudgeSession(vnic, scenario.Direction, scenario.Packet);
            PolicyRow row = new PolicyForms().Of(oracle, vnic, scenario.Direction, scenario.Packet.Family)
                .At(scenario.Packet);
            Assert.Equal((verdict.Reason, verdict.GroupId, verdict.Rule?.Id), row.Identity);
        }
    }

    [Theory]
    [InlineData(11, 80)]
    public void Differences_are_all_packets_that_two_policies_judge_differently(int seed, int policies)
    {
        var random = new Random(seed);
        var forms = new PolicyForms();
        int different = 0;
        for (int i = 0; i < policies; i++)
        {
            string[] rules = CompilerAgainstOracleTests.Rules(random);
            string[] fewer = [.. rules.Where(_ => random.Next(5) > 0)];
            int build = random.Next();
            PolicyOracle[] oracles =
                [.. new[] { rules, fewer }.Select(text => new PolicyOracle(
                    CompilerAgainstOracleTests.Snapshot(new Random(build), text), PolicySettings.Default))];
            foreach (IpFamily family in Families)
            {
                foreach (Direction direction in Directions)
                {
                    different += CheckDifference(oracles, direction, family, forms, random);
                }
            }
        }

        Assert.True(different > 20, $"only {different} differences");
    }

    [Fact]
    public void The_same_function_is_the_same_diagram_however_it_is_written()
    {
        var forms = new PolicyForms();
        PolicyForm one = Ingress("in 1 accept tcp 80/90 0.0.0.0/0", "in 2 accept tcp 91/99 0.0.0.0/0");
        PolicyForm two = Ingress(
            "in 5 accept tcp 85/99 0.0.0.0/0", "in 7 accept tcp 80/84 0.0.0.0/0", "in 9 drop udp 1/2 0.0.0.0/0");
        Assert.Equal(one.Verdicts(0, 0), two.Verdicts(0, 0));
        Assert.Empty(PolicyForm.Difference(one, two));

        PolicyForm Ingress(params string[] rules) => forms.Of(
            new PolicyOracle(new PolicyBuilder().Basic("a", Verdict.Drop, rules).Nic("e1", "10.0.0.1", "a").Build(),
                PolicySettings.Default),
            new PolicyBuilder().Basic("a").Nic("e1", "10.0.0.1", "a").Build().Vnics["e1"],
            Direction.Ingress, IpFamily.V4);
    }

    [Fact]
    public void The_number_of_atoms_follows_the_policy_and_not_its_members()
    {
        string[] members = [.. Enumerable.Range(0, 4000).Select(i => $"10.{i / 200}.{i % 200}.7")];
        PolicySnapshot policy = new PolicyBuilder()
            .Group("many", GroupType.Basic, Verdict.Drop, members)
            .Group("half", GroupType.Basic, Verdict.Drop, [.. members.Where((_, i) => i % 2 == 0)])
            .Basic("a", "in 1 accept tcp 80/80 group:many", "in 2 accept tcp 81/81 group:half")
            .Nic("e1", "192.0.2.1", "a").Build();
        var oracle = new PolicyOracle(policy, PolicySettings.Default);
        PolicyForm form = new PolicyForms().Of(oracle, policy.Vnics["e1"], Direction.Ingress, IpFamily.V4);
        Assert.Equal(4, form.Remote.Count); // both, many alone, the vNIC's own group, anybody
        Assert.True(form.Remote.Starts.Length > 8000);
    }

    private static long Check(PolicySnapshot policy, PolicySettings settings, int perForm, Random random)
    {
        var forms = new PolicyForms();
        var oracle = new PolicyOracle(policy, settings);
        long packets = 0;
        foreach (Vnic vnic in policy.Vnics.Values)
        {
            foreach (IpFamily family in Families)
            {
                foreach (Direction direction in Directions)
                {
                    PolicyForm form = forms.Of(oracle, vnic, direction, family);
                    PacketTuple[] corners = [.. Corners(form)];
                    foreach (PacketTuple packet in corners.Length <= perForm
                        ? corners : random.GetItems(corners, perForm))
                    {
                        PolicyVerdict expected = oracle.JudgeSession(vnic, direction, packet);
                        PolicyRow row = form.At(packet);
                        Assert.True(
                            (expected.Verdict, expected.Reason, expected.GroupId, expected.Rule?.Id)
                                == (row.Verdict, row.Reason, row.GroupId, row.Rule?.Id),
                            $"{vnic.Id} {direction} {packet}: {expected}, but the form says {row}");
                        packets++;
                    }
                }
            }
        }

        return packets;
    }

    // Both ends of the first and last interval of each atom, and the ends of each box.
    internal static IEnumerable<PacketTuple> Corners(PolicyForm form)
    {
        foreach (UInt128 remote in Ends(form.Remote, form.Family))
        {
            foreach (UInt128 own in Ends(form.Own, form.Family))
            {
                Diagram diagram = form.Deciders(form.Remote.AtomOf(remote), form.Own.AtomOf(own));
                foreach (PacketBox box in form.Diagrams.Boxes(diagram))
                {
                    foreach (PacketTuple corner in Corners(box, form.Family, remote, own))
                    {
                        yield return form.Direction == Direction.Ingress
                            ? corner : corner with { Source = corner.Destination, Destination = corner.Source };
                    }
                }
            }
        }
    }

    /// <summary>Corners drawn one by one: of large forms there are too many to list.</summary>
    internal static Func<Random, PacketTuple> AnyCorner(PolicyForm form)
    {
        UInt128[] remotes = [.. Ends(form.Remote, form.Family)];
        UInt128[] owns = [.. Ends(form.Own, form.Family)];
        return random =>
        {
            UInt128 remote = remotes[random.Next(remotes.Length)];
            UInt128 own = owns[random.Next(owns.Length)];
            PacketBox[] boxes = [.. form.Diagrams.Boxes(
                form.Deciders(form.Remote.AtomOf(remote), form.Own.AtomOf(own)))];
            PacketTuple[] corners =
                [.. Corners(boxes[random.Next(boxes.Length)], form.Family, remote, own)];
            PacketTuple corner = corners[random.Next(corners.Length)];
            return form.Direction == Direction.Ingress
                ? corner : corner with { Source = corner.Destination, Destination = corner.Source };
        };
    }

    private static IEnumerable<PacketTuple> Corners(PacketBox box, IpFamily family, UInt128 remote, UInt128 own)
    {
        foreach (ushort protocol in (ushort[])[box.Protocol.First, box.Protocol.Last])
        {
            bool ports = IpProtocol.HasPorts((byte)protocol);
            yield return new PacketTuple(family, remote, own, (byte)protocol,
                ports ? box.Source.First : (ushort)0, ports ? box.Destination.First : (ushort)0);
            yield return new PacketTuple(family, remote, own, (byte)protocol,
                ports ? box.Source.Last : (ushort)0, ports ? box.Destination.Last : (ushort)0);
        }
    }

    private static IEnumerable<UInt128> Ends(AddressCut cut, IpFamily family)
    {
        for (int atom = 0; atom < cut.Count; atom++)
        {
            Assert.Equal(atom, cut.AtomOf(cut.Samples[atom]));
            (UInt128 First, UInt128 Last)[] intervals = [.. cut.IntervalsOf(atom, family)];
            foreach ((UInt128 first, UInt128 last) in new[] { intervals[0], intervals[^1] }.Distinct())
            {
                yield return first;
                yield return last;
            }
        }
    }

    private static int CheckDifference(
        PolicyOracle[] oracles, Direction direction, IpFamily family, PolicyForms forms, Random random)
    {
        Vnic vnic = oracles[0].Snapshot.Vnics["one"];
        PolicyForm before = forms.Of(oracles[0], vnic, direction, family);
        PolicyForm after = forms.Of(oracles[1], vnic, direction, family);
        FormDifference[] differences = [.. PolicyForm.Difference(before, after)];
        foreach (FormDifference difference in differences)
        {
            PacketTuple packet = difference.Sample(direction);
            Assert.Equal(difference.Before.Accepts, oracles[0].JudgeSession(vnic, direction, packet).Accepted);
            Assert.Equal(difference.After.Accepts, oracles[1].JudgeSession(vnic, direction, packet).Accepted);
            Assert.NotEqual(difference.Before.Accepts, difference.After.Accepts);
        }

        PacketTuple[] corners = [.. Corners(before).Concat(Corners(after))];
        foreach (PacketTuple packet in random.GetItems(corners, 200))
        {
            bool differs = oracles[0].JudgeSession(vnic, direction, packet).Accepted
                != oracles[1].JudgeSession(vnic, direction, packet).Accepted;
            Assert.Equal(differs, differences.Any(difference => Covers(difference, direction, packet)));
        }

        return differences.Length;
    }

    private static bool Covers(FormDifference difference, Direction direction, PacketTuple packet) =>
        difference.Remotes.AtomOf(packet.Remote(direction)) == difference.Remote
        && difference.Owns.AtomOf(packet.Own(direction)) == difference.Own
        && difference.Box.Protocol.Contains(packet.Protocol)
        && difference.Box.Destination.Contains(packet.DestinationPort)
        && difference.Box.Source.Contains(packet.SourcePort);
}
