using Agent.Compiler;
using Agent.Evaluator;
using Agent.KernelTests.Nftables;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 6. A prefix within another one, or the same twice, is refused with EEXIST. Here prefixes of groups and lists overlap
/// freely, members come and go in any order, and each step goes through compiler, plan and netlink into the real
/// kernel.
/// </summary>
public class OverlapTests
{
    private const uint Epoch = 0x00010000;
    private const string Device = "tap0";

    private static readonly (NftFamily, string)[] Tables =
        [(NftFamily.Inet, "sg_agent"), (NftFamily.Netdev, "sg_agent")];

    /// <summary>
    /// Nested, adjacent, equal, at both ends of the space, and single addresses inside and at their edges.
    /// </summary>
    private static readonly string[] Prefixes =
    [
        "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/17", "10.1.128.0/17", "10.1.2.0/24", "10.1.2.0/25", "10.1.2.3",
        "10.1.2.0",
        "10.1.2.255", "10.0.0.0", "10.255.255.255", "11.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1", "255.255.255.255",
        "255.255.255.254/31", "0.0.0.0/31", "192.168.0.0/16", "9.255.255.255", "0.0.0.0/0",
        "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::/49", "2001:db8:1:8000::/49", "2001:db8:1::7", "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::/32", "::/1", "8000::/1", "fd00::/8", "::/0",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "::/127",
    ];

    public OverlapTests() => Namespace.MustBeThrowaway();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Overlapping_or_duplicate_intervals_are_never_refused_with_EEXIST_in_whatever_order_they_come(int seed)
    {
        var random = new Random(seed);
        using NftConnection nft = Namespace.Clean();
        PolicySnapshot policy = Start();
        CompiledRuleset? compiled = null;
        Ruleset observed = Ruleset.Empty;
        for (int step = 0; step < 150; step++)
        {
            string story = $"seed {seed}, step {step}";
            compiled = RulesetCompiler.Compile(Request(policy) with { Previous = compiled });
            Assert.Empty(compiled.Failed);
            Plan plan = Plan.Between(observed, compiled.Ruleset);
            foreach (IReadOnlyList<NftOp> ops in (IReadOnlyList<NftOp>[])[plan.Prepare, plan.Switch, plan.Cleanup])
            {
                Commit(nft, ops, story);
            }

            observed = nft.ReadRuleset(Tables).Ruleset;
            Assert.True(compiled.Ruleset == observed, $"{story}: what was read back is another ruleset");
            AssertJudged(policy, observed, story);
            for (int change = random.Next(1, 5); change > 0; change--)
            {
                policy = Change(policy, random);
            }
        }
    }

    private static void Commit(NftConnection nft, IReadOnlyList<NftOp> ops, string story)
    {
        CommitOutcome outcome = nft.Commit(ops, nft.ReadGeneration());
        if (outcome is CommitOutcome.Refused refused)
        {
            OpRefusal first = refused.Refusals[0];
            Assert.Fail($"{story}: {(first.OpIndex < 0 ? "batch" : ops[first.OpIndex])}: {first.Error}");
        }

        Assert.IsType<CommitOutcome.Committed>(outcome);
    }

    /// <summary>Every boundary, the address before it and the one behind it: policy and kernel ruleset agree.</summary>
    private static void AssertJudged(PolicySnapshot policy, Ruleset ruleset, string story)
    {
        var oracle = new PolicyOracle(policy, PolicySettings.Default);
        Vnic vnic = policy.Vnics["v"];
        foreach ((IpFamily family, UInt128 address) in Boundaries())
        {
            UInt128 own = vnic.Addresses.Single(one => one.Family == family).Bits;
            foreach (ushort port in (ushort[])[22, 80, 443])
            {
                var tuple = new PacketTuple(family, address, own, IpProtocol.Tcp, 40000, port);
                bool accepted = oracle.JudgeSession(vnic, Direction.Ingress, tuple).Accepted;
                Trace trace = RulesetEvaluator.Evaluate(ruleset, new HookInput
                {
                    Family = NftFamily.Inet,
                    Hook = NftHook.Forward,
                    Packet = PacketBytes.Of(tuple),
                    InInterface = "uplink0",
                    OutInterface = Device,
                    InIndex = 3,
                    OutIndex = 4,
                    Ct = new CtInput(CtState.New),
                });
                Assert.True(
                    trace.Verdict == (accepted ? HookVerdict.Accept : HookVerdict.Drop),
                    $"{story}: {tuple} accepted={accepted}\n{trace}");
            }
        }
    }

    private static HashSet<(IpFamily Family, UInt128 Address)> Boundaries()
    {
        var addresses = new HashSet<(IpFamily, UInt128)>();
        foreach (IpPrefix prefix in Prefixes.Select(IpPrefix.Parse))
        {
            UInt128 ceiling = IpPrefix.Ceiling(prefix.Family);
            addresses.Add((prefix.Family, prefix.First));
            addresses.Add((prefix.Family, prefix.Last));
            addresses.Add((prefix.Family, prefix.First == 0 ? 0 : prefix.First - 1));
            addresses.Add((prefix.Family, prefix.Last == ceiling ? ceiling : prefix.Last + 1));
        }

        return addresses;
    }

    private static PolicySnapshot Change(PolicySnapshot policy, Random random)
    {
        IpPrefix prefix = IpPrefix.Parse(Prefixes[random.Next(Prefixes.Length)]);
        string id = random.Next(2) == 0 ? "a" : "b";
        if (random.Next(3) > 0)
        {
            SecurityGroup group = policy.Groups[id];
            bool has = group.Members.Contains(prefix);
            group = group with { Members = has ? group.Members.Remove(prefix) : group.Members.Add(prefix) };
            return policy with { Groups = policy.Groups.SetItem(id, group) };
        }

        PrefixList list = policy.PrefixLists[prefix.Family == IpFamily.V4 ? "l4" : "l6"];
        bool lists = list.Entries.Contains(prefix);
        list = list with { Entries = lists ? list.Entries.Remove(prefix) : list.Entries.Add(prefix) };
        return policy with { PrefixLists = policy.PrefixLists.SetItem(list.Id, list) };
    }

    private static CompileRequest Request(PolicySnapshot policy) =>
        new(policy, PolicySettings.Default, CompilerSettings.Default,
            HostFacts.Default with { NetdevHooksByName = false }, Epoch);

    private static PolicySnapshot Start()
    {
        SecurityGroup[] groups =
        [
            new SecurityGroup { Id = "a", VpcId = "vpc", InnerAccess = Verdict.Drop },
            new SecurityGroup { Id = "b", VpcId = "vpc", InnerAccess = Verdict.Drop },
            new SecurityGroup
            {
                Id = "web",
                VpcId = "vpc",
                InnerAccess = Verdict.Drop,
                Rules =
                [
                    Rule("r1", 1, Verdict.Drop, 22, new Remote.Group("b")),
                    Rule("r2", 2, Verdict.Accept, 22, new Remote.Group("a")),
                    Rule("r3", 1, Verdict.Accept, 80, new Remote.PrefixList("l4")),
                    Rule("r4", 1, Verdict.Accept, 80, new Remote.PrefixList("l6")),
                    Rule("r5", 1, Verdict.Accept, 443, new Remote.Cidr(IpPrefix.Parse("10.1.0.0/16"))),
                    Rule("r6", 2, Verdict.Drop, 443, new Remote.PrefixList("l4")),
                    Rule("r7", 3, Verdict.Accept, 443, new Remote.Group("b")),
                ],
            },
        ];
        return new PolicySnapshot
        {
            Revision = 1,
            Groups = ById(groups, group => group.Id),
            PrefixLists = ById(
                [
                    new PrefixList { Id = "l4", Family = IpFamily.V4, MaxEntries = 50 },
                    new PrefixList { Id = "l6", Family = IpFamily.V6, MaxEntries = 50 },
                ],
                list => list.Id),
            Vnics = ById(
                [
                    new Vnic
                    {
                        Id = "v",
                        InterfaceName = Device,
                        Mac = new MacAddress(0x020000000001),
                        VpcId = "vpc",
                        Addresses = [IpPrefix.Parse("172.16.0.1"), IpPrefix.Parse("fc00::1")],
                        GroupIds = ["web"],
                    },
                ],
                vnic => vnic.Id),
        };

        static System.Collections.Immutable.ImmutableSortedDictionary<string, T> ById<T>(T[] items,
            Func<T, string> id) =>
            System.Collections.Immutable.ImmutableSortedDictionary.CreateRange(
                StringComparer.Ordinal, items.Select(item => KeyValuePair.Create(id(item), item)));
    }

    private static GroupRule Rule(string id, byte priority, Verdict verdict, ushort port, Remote remote) => new()
    {
        Id = id,
        Direction = Direction.Ingress,
        Protocol = IpProtocol.Tcp,
        Priority = priority,
        Verdict = verdict,
        DestinationPorts = new PortRange(port, port),
        Remote = remote,
    };
}
