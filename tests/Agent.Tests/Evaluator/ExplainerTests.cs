using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Evaluator;
using Agent.Evaluator.Explaining;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Wording;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.V1;
using Direction = Agent.Policy.Direction;
using IpFamily = Agent.Policy.IpFamily;
using Vnic = Agent.Policy.Vnic;

namespace Agent.Tests.Evaluator;

/// <summary>What is said about a packet is true, also of those around it and of what would turn its verdict.</summary>
public sealed class ExplainerTests
{
    [Theory]
    [InlineData(31, 30)]
    public void Every_flip_turns_the_verdict_and_the_rules_that_it_names_decide(int seed, int policies)
    {
        var random = new Random(seed);
        int[] tried = new int[4];
        for (int i = 0; i < policies; i++)
        {
            var oracle = new PolicyOracle(
                CompilerAgainstOracleTests.Snapshot(random, CompilerAgainstOracleTests.Rules(random)),
                PolicySettings.Default);
            foreach ((Vnic vnic, Direction direction, PacketTuple packet) in Packets(oracle, random, 4))
            {
                PolicyVerdict verdict = oracle.JudgeSession(vnic, direction, packet);
                foreach (Flip flip in new Flips(oracle, vnic, direction, packet).All())
                {
                    if (flip.Change.Contains(" not a member of ", StringComparison.Ordinal)
                        && oracle.VnicAddressesOf(flip.Change.Split(' ')[^1]).Any(own =>
                            own.Contains(packet.Family, packet.Remote(direction))))
                    {
                        continue; // a member by a vNIC, which is not undone by a word
                    }

                    (int kind, PolicyOracle changed) = Applied(flip.Change, oracle, vnic, direction, packet);
                    tried[kind]++;
                    PolicyVerdict after = changed.JudgeSession(changed.Snapshot.Vnics[vnic.Id], direction, packet);
                    Assert.True(after.Accepted != verdict.Accepted, $"{vnic.Id} {direction} {packet}: {flip}");
                    Assert.Equal(after.Accepted, flip.Verdict == V1.Policy.Accept);
                    string rule = after.Rule is null ? "" : $"{after.GroupId}/{after.Rule.Id}";
                    Assert.True(kind == 1 ? rule.EndsWith("/new", StringComparison.Ordinal)
                        : after.Rule is null || rule == flip.DecidedBy, $"{rule}, but {flip}");
                }
            }
        }

        Assert.True(tried.All(count => count > 10), string.Join(' ', tried));
    }

    [Theory]
    [InlineData(41, 25)]
    public void The_packets_around_one_are_decided_by_the_same_row_and_it_is_among_them(int seed, int policies)
    {
        var random = new Random(seed);
        int inside = 0;
        for (int i = 0; i < policies; i++)
        {
            var oracle = new PolicyOracle(
                CompilerAgainstOracleTests.Snapshot(random, CompilerAgainstOracleTests.Rules(random)),
                PolicySettings.Default);
            foreach ((Vnic vnic, Direction direction, PacketTuple packet) in Packets(oracle, random, 4))
            {
                PolicyForm form = new PolicyForms().Of(oracle, vnic, direction, packet.Family);
                AddressSet addresses = PolicyOracle.OwnAddressesOf(vnic, packet.Family);
                PacketSet around = Around.Of(form, packet, addresses, new AddressNames(packet.Family, []));
                Assert.True(Contains(around, direction, packet), $"{packet} is not in {around.Text}");
                PacketTuple[] corners = [.. PolicyFormTests.Corners(form)];
                foreach (PacketTuple other in random.GetItems(corners, 60)
                    .Where(other => addresses.Contains(other.Own(direction)) && Contains(around, direction, other)))
                {
                    Assert.Equal(form.At(packet).Identity, form.At(other).Identity);
                    inside++;
                }
            }
        }

        Assert.True(inside > 300, $"only {inside} packets");
    }

    [Fact]
    public void The_kernel_agrees_with_the_policy_and_says_where()
    {
        PolicySnapshot policy = RichPolicy.Snapshot;
        CompiledRuleset compiled = RulesetCompiler.Compile(RichPolicy.Request());
        var view = new KernelView(compiled.Ruleset, compiled.Zones, []);
        var oracle = new PolicyOracle(policy, RichPolicy.Settings);
        var random = new Random(51);
        int dropped = 0;
        foreach ((Vnic vnic, Direction direction, PacketTuple packet) in Packets(oracle, random, 15)
            .Where(one => IpProtocol.HasPorts(one.Item3.Protocol) && one.Item3.Remote(one.Item2) != 0))
        {
            foreach (bool reply in (bool[])[false, true])
            {
                // A reply travels the other way; to the question, as to the session, only its addresses are turned.
                PacketTuple travelling = reply ? packet.Reversed : packet;
                ExplainResponse answer = Assert.IsType<ExplainAnswer.Explained>(Explainer.Explain(
                    policy, RichPolicy.Settings, new ExplainRequest
                    {
                        Vnic = vnic.InterfaceName,
                        Direction = (direction == Direction.Ingress) != reply
                            ? V1.Direction.Ingress : V1.Direction.Egress,
                        Pasted = $"[1.2] sg: {travelling}",
                        Session = reply ? SessionState.Reply : SessionState.New,
                    },
                    view)).Response;
                PolicyVerdict verdict = oracle.JudgeSession(vnic, direction, packet);
                Assert.Equal(verdict.Accepted, answer.Verdict == V1.Policy.Accept);
                Assert.True(answer.Verdict == answer.Kernel.Verdict, $"{reply} {packet}: {answer}");
                Assert.NotEmpty(answer.Kernel.Steps);
                dropped += verdict.Accepted ? 0 : 1;
            }
        }

        Assert.True(dropped > 10, $"only {dropped} were dropped");
    }

    [Theory]
    [InlineData("tcp 10.0.0.8:4711 -> 10.1.2.3:22", "tcp 10.0.0.8:4711 -> 10.1.2.3:22||")]
    [InlineData("[12.3] drop udp [2001:db8::8]:5 -> [2001:db8::1]:53 x", "udp [2001:db8::8]:5 -> [2001:db8::1]:53||")]
    [InlineData("icmp 10.0.0.8 -> 10.1.2.3", "icmp 10.0.0.8 -> 10.1.2.3||")]
    [InlineData("kernel: IN=tap1 OUT=eth0 MAC=02:00 SRC=10.0.0.5 DST=192.0.2.1 LEN=60 PROTO=TCP SPT=40000 DPT=25 SYN",
        "tcp 10.0.0.5:40000 -> 192.0.2.1:25|tap1|eth0")]
    [InlineData("IN=br0 OUT=br0 PHYSIN=tap1 PHYSOUT=tap2 SRC=10.0.0.5 DST=10.0.0.6 PROTO=UDP SPT=1 DPT=2",
        "udp 10.0.0.5:1 -> 10.0.0.6:2|tap1|tap2")]
    [InlineData("ipv4 2 tcp 6 431999 ESTABLISHED src=10.0.0.5 dst=10.0.0.6 sport=3 dport=4 src=10.0.0.6 dst=10.0.0.5",
        "tcp 10.0.0.5:3 -> 10.0.0.6:4||")]
    [InlineData("SRC=10.0.0.5 DST=10.0.0.6 PROTO=ICMP TYPE=8", "icmp 10.0.0.5 -> 10.0.0.6||")]
    [InlineData("SRC=10.0.0.5 DST=10.0.0.6", "it names no protocol (PROTO=)")]
    [InlineData("SRC=10.0.0.5 DST=10.0.0.6 PROTO=TCP SPT=7 DPT=0", "tcp 10.0.0.5:7 -> 10.0.0.6:0||")]
    [InlineData("tcp [2001:db8::8] -> 2001:db8::1", "it has no destination port")]
    [InlineData("SRC=10.0.0.5 DST=10.0.0.6 PROTO=TCP SPT=7", "it has no destination port")]
    [InlineData("SRC=10.0.0.5 DST=::6 PROTO=47", "it has no source and destination of one family")]
    [InlineData("tcp 10.0.0.5:99999 -> 10.0.0.6:1", "it has no source and destination of one family")]
    [InlineData("xyz 10.0.0.5 -> 10.0.0.6", "'xyz' is not a protocol")]
    public void Lines_of_logs_are_read(string line, string expected)
    {
        PastedPacket? read = PacketText.Read(line, out string fault);
        Assert.Equal(expected, read is { } packet ? $"{packet.Packet}|{packet.In}|{packet.Out}" : fault);
    }

    // Sessions between an own address and a corner of the form; not those that the source check stops.
    private static IEnumerable<(Vnic, Direction, PacketTuple)> Packets(PolicyOracle oracle, Random random, int each)
    {
        var forms = new PolicyForms();
        foreach (Vnic vnic in oracle.Snapshot.Vnics.Values)
        {
            foreach (IpPrefix own in vnic.Addresses)
            {
                foreach (Direction direction in (Direction[])[Direction.Ingress, Direction.Egress])
                {
                    PacketTuple[] corners = [.. PolicyFormTests.Corners(forms.Of(oracle, vnic, direction, own.Family))];
                    foreach (PacketTuple corner in random.GetItems(corners, each))
                    {
                        yield return (vnic, direction, direction == Direction.Ingress
                            ? corner with { Destination = own.First } : corner with { Source = own.First });
                    }
                }
            }
        }
    }

    private static bool Contains(PacketSet set, Direction direction, PacketTuple packet) =>
        Contains(set.Remote, packet.Remote(direction)) && (set.Own is null || Contains(set.Own, packet.Own(direction)))
        && set.Services.AllBut != set.Services.Boxes.Any(box =>
            packet.Protocol >= box.FirstProtocol && packet.Protocol <= box.LastProtocol
            && packet.DestinationPort >= box.FirstPort && packet.DestinationPort <= box.LastPort
            && packet.SourcePort >= box.FirstSourcePort && packet.SourcePort <= box.LastSourcePort);

    // Named without groups here: by prefixes alone.
    private static bool Contains(V1.AddressScope scope, UInt128 address)
    {
        IpFamily family = scope.Family == V1.IpFamily.Ipv4 ? IpFamily.V4 : IpFamily.V6;
        return In(scope.Include) && !In(scope.Exclude);

        bool In(IEnumerable<V1.AddressTerm> terms) =>
            terms.Any(term => IpPrefix.Parse(term.Cidr).Contains(family, address));
    }

    /// <summary>Does what the words say, without looking at what the explainer did.</summary>
    private static (int Kind, PolicyOracle Policy) Applied(
        string change, PolicyOracle oracle, Vnic vnic, Direction direction, PacketTuple packet)
    {
        PolicySnapshot policy = oracle.Snapshot;
        string[] words = change.Split(' ');
        if (words[0] is "without" or "with" && !change.Contains(" of priority ", StringComparison.Ordinal))
        {
            return (0, With(change.Split(" and ").Aggregate(policy, Removed)));
        }

        if (words[0] == "with")
        {
            string group = vnic.GroupIds[0];
            string weakest = words[Array.IndexOf(words, "for") - 1];
            GroupRule rule = PolicyBuilder.Rule("new",
                $"{(direction == Direction.Ingress ? "in" : "out")} {weakest} {words[2]} "
                + $"all -1/-1 {IpPrefix.Host(packet.Family, packet.Remote(direction))}");
            return (1, With(Changed(policy, group, one => one with { Rules = one.Rules.Add(rule) })));
        }

        if (words[1] == "leaving")
        {
            return (2, With(policy with
            {
                Vnics = policy.Vnics.SetItem(vnic.Id, vnic with { GroupIds = vnic.GroupIds.Remove(words[^1]) }),
            }));
        }

        IpPrefix address = IpPrefix.Parse(words[1]);
        return (3, With(Changed(policy, words[^1], one => one with
        {
            Members = words[3] == "not" ? Without(one.Members, address) : one.Members.Add(address),
        })));

        PolicyOracle With(PolicySnapshot changed) => new(changed, oracle.Settings);
    }

    private static PolicySnapshot Removed(PolicySnapshot policy, string part)
    {
        string last = part.Split(' ')[^1];
        string[] names = last.Split('/');
        return Changed(policy, names[0], group => names.Length == 1
            ? group with { InnerAccess = Verdict.Drop }
            : group with { Rules = group.Rules.RemoveAll(rule => rule.Id == names[1]) });
    }

    private static PolicySnapshot Changed(
        PolicySnapshot policy, string group, Func<Agent.Policy.SecurityGroup, Agent.Policy.SecurityGroup> change) =>
        policy with { Groups = policy.Groups.SetItem(group, change(policy.Groups[group])) };

    private static ImmutableSortedSet<IpPrefix> Without(ImmutableSortedSet<IpPrefix> members, IpPrefix address) =>
        members.Except(members.Where(one => one.Contains(address.Family, address.Bits)));
}
