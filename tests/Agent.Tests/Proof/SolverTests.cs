using Agent.Evaluator;
using Agent.Evaluator.Forms;
using Agent.Policy;
using Agent.Tests.Compiler;

namespace Agent.Tests.Proof;

/// <summary>
/// An SMT solver knows nothing of atoms, sweeps and diagrams: it is asked for a packet on which a policy, written as a
/// formula rule by rule, and its canonical form differ; and for one that a difference of two policies leaves out.
/// </summary>
public sealed class SolverTests
{
    [Theory]
    [InlineData(1, 25)]
    [InlineData(2, 25)]
    public void No_packet_tells_a_policy_from_its_form(int seed, int policies)
    {
        var random = new Random(seed);
        for (int i = 0; i < policies; i++)
        {
            string[] rules = CompilerAgainstOracleTests.Rules(random);
            PolicySnapshot policy = CompilerAgainstOracleTests.Snapshot(random, rules);
            (Direction direction, IpFamily family) = (Pick(random, Direction.Ingress, Direction.Egress),
                Pick(random, IpFamily.V4, IpFamily.V6));
            var packet = new SymbolicPacket(family);
            var oracle = new PolicyOracle(policy, PolicySettings.Default);
            PolicyForm form = new PolicyForms().Of(oracle, policy.Vnics["one"], direction, family);
            string differ = SymbolicPacket.Differ(
                packet.Accepted(oracle, policy.Vnics["one"], direction), packet.Accepted(form, direction));
            Assert.True(
                packet.IsImpossible(differ), $"{string.Join('\n', rules)}\n{direction} {family}: {packet.Model}");
        }
    }

    [Theory]
    [InlineData(3, 60)]
    public void Two_policies_differ_where_their_forms_do(int seed, int policies)
    {
        var random = new Random(seed);
        int different = 0;
        for (int i = 0; i < policies; i++)
        {
            string[] rules = CompilerAgainstOracleTests.Rules(random);
            string[] fewer = [.. rules.Where(_ => random.Next(2) > 0)];
            int build = random.Next();
            PolicyOracle[] oracles = [.. new[] { rules, fewer }.Select(text => new PolicyOracle(
                CompilerAgainstOracleTests.Snapshot(new Random(build), text), PolicySettings.Default))];
            var forms = new PolicyForms();
            Vnic vnic = oracles[0].Snapshot.Vnics["one"];
            Direction direction = Pick(random, Direction.Ingress, Direction.Egress);
            var packet = new SymbolicPacket(IpFamily.V4);
            string differ = SymbolicPacket.Differ(
                packet.Accepted(oracles[0], vnic, direction), packet.Accepted(oracles[1], vnic, direction));
            PolicyForm[] both = [.. oracles.Select(oracle => forms.Of(oracle, vnic, direction, IpFamily.V4))];
            bool none = !PolicyForm.Difference(both[0], both[1]).Any();
            Assert.True(
                none == packet.IsImpossible(differ), $"{string.Join('\n', rules)}\n{direction}: {packet.Model}");
            different += none ? 0 : 1;
        }

        Assert.InRange(different, 5, policies - 5);
    }

    private static T Pick<T>(Random random, T one, T other) => random.Next(2) == 0 ? one : other;

    /// <summary>A packet as bit vectors, and conditions on it in SMT-LIB.</summary>
    private sealed class SymbolicPacket(IpFamily family)
    {
        private readonly int width = IpPrefix.WidthOf(family);

        public string Model { get; private set; } = "";

        public static string Differ(string one, string other) => $"(xor {one} {other})";

        public bool IsImpossible(string condition)
        {
            string question = $"""
                (declare-const remote (_ BitVec {width}))
                (declare-const own (_ BitVec {width}))
                (declare-const protocol (_ BitVec 8))
                (declare-const source (_ BitVec 16))
                (declare-const destination (_ BitVec 16))
                (assert {condition})
                (check-sat)
                """;
            string answer = SmtSolver.Run(question).Trim();
            Assert.True(answer is "sat" or "unsat", answer);
            Model = answer == "sat" ? SmtSolver.Run($"{question}(get-model)") : "";
            return answer == "unsat";
        }

        /// <summary>semantics.md section 1, from the last row to the first.</summary>
        public string Accepted(PolicyOracle oracle, Vnic vnic, Direction direction)
        {
            PolicySnapshot policy = oracle.Snapshot;
            SecurityGroup[] groups = [.. vnic.GroupIds.Select(id => policy.Groups[id])];
            bool open = direction == Direction.Egress && groups.All(group => group.Type == GroupType.Basic);
            string result = open ? "true" : "false";
            foreach (GroupRule rule in groups.SelectMany(group => group.Rules)
                .Where(rule => rule.Direction == direction)
                .OrderByDescending(rule => rule.Priority)
                .ThenBy(rule => rule.Verdict == Verdict.Drop ? 1 : 0))
            {
                result = If(Matches(policy, rule), rule.Verdict == Verdict.Accept ? "true" : "false", result);
            }

            foreach (SecurityGroup group in direction == Direction.Ingress ? groups : [])
            {
                if (group is { Type: GroupType.Basic, InnerAccess: Verdict.Accept })
                {
                    result = If(In("remote", Members(policy, group.Id)), "true", result);
                }
            }

            if (direction == Direction.Egress)
            {
                result = If(In("remote", oracle.Settings.MetadataAddresses), "true", result);
                result = If(All([Is("protocol", IpProtocol.Tcp, 8), Any(oracle.Settings.PlatformBlockedTcpPorts
                    .Select(port => Is("destination", port, 16)))]), "false", result);
            }

            return result;
        }

        /// <summary>The form as a union of boxes.</summary>
        public string Accepted(PolicyForm form, Direction direction)
        {
            Assert.Equal(direction, form.Direction);
            var boxes = new List<string>();
            for (int r = 0; r < form.Remote.Count; r++)
            {
                for (int o = 0; o < form.Own.Count; o++)
                {
                    string here = All([Within("remote", form.Remote, r), Within("own", form.Own, o)]);
                    boxes.AddRange(form.Diagrams.Boxes(form.Verdicts(r, o)).Where(box => box.Value == 1).Select(
                        box => All([here, Within("protocol", box.Protocol, 8),
                            Within("destination", box.Destination, 16), Within("source", box.Source, 16)])));
                }
            }

            return Any(boxes);
        }

        private string Matches(PolicySnapshot policy, GroupRule rule)
        {
            string hasPorts = Any([Is("protocol", IpProtocol.Tcp, 8), Is("protocol", IpProtocol.Udp, 8)]);
            var conditions = new List<string>
            {
                rule.Remote switch
                {
                    Remote.Cidr cidr => In("remote", [cidr.Prefix]),
                    Remote.PrefixList list => policy.PrefixLists[list.Id].Family == family
                        ? In("remote", policy.PrefixLists[list.Id].Entries) : "false",
                    Remote.Group group => In("remote", Members(policy, group.Id)),
                    _ => "false",
                },
            };
            if (rule.Protocol is byte number)
            {
                conditions.Add(number == (family == IpFamily.V4 ? IpProtocol.Icmpv6 : IpProtocol.Icmp)
                    ? "false" : Is("protocol", number, 8));
            }

            IEnumerable<PortRange>? ports = rule.DestinationPorts is PortRange range ? [range]
                : rule.PortListId is string id ? policy.PortLists[id].Entries : null;
            if (ports is not null)
            {
                conditions.Add($"(=> {hasPorts} {Any(ports.Select(one => Within("destination", one, 16)))})");
            }

            if (rule.SourcePorts is PortRange from)
            {
                conditions.Add($"(=> {hasPorts} {Within("source", from, 16)})");
            }

            if (rule.OwnSide is IpPrefix prefix)
            {
                conditions.Add(In("own", [prefix]));
            }

            return All(conditions);
        }

        private static IEnumerable<IpPrefix> Members(PolicySnapshot policy, string group) =>
            policy.Groups[group].Members.Concat(policy.Vnics.Values
                .Where(vnic => vnic.GroupIds.Contains(group))
                .SelectMany(vnic => vnic.Addresses.Concat(vnic.DelegatedPrefixes)));

        // A prefix is the high bits here, not an interval.
        private string In(string address, IEnumerable<IpPrefix> prefixes) => Any(prefixes
            .Where(prefix => prefix.Family == family)
            .Select(prefix => prefix.Length == 0 ? "true"
                : $"(= ((_ extract {width - 1} {width - prefix.Length}) {address}) "
                    + $"{Number(prefix.Bits >> (width - prefix.Length), prefix.Length)})"));

        private string Within(string address, AddressCut cut, int atom) =>
            Any(cut.IntervalsOf(atom, family).Select(one => Between(address, one.First, one.Last, width)));

        private static string Within(string value, PortRange range, int bits) =>
            Between(value, range.First, range.Last, bits);

        private static string Between(string value, UInt128 first, UInt128 last, int bits) =>
            $"(and (bvuge {value} {Number(first, bits)}) (bvule {value} {Number(last, bits)}))";

        private static string Is(string value, ushort number, int bits) => $"(= {value} {Number(number, bits)})";

        private static string Number(UInt128 value, int bits) => $"(_ bv{value} {bits})";

        private static string Any(IEnumerable<string> conditions) => $"(or false {string.Join(' ', conditions)})";

        private static string All(IEnumerable<string> conditions) => $"(and true {string.Join(' ', conditions)})";

        private static string If(string condition, string then, string otherwise) =>
            $"(ite {condition} {then} {otherwise})";
    }
}
