using System.Collections.Immutable;
using System.Globalization;
using Agent.Compiler;
using Agent.Policy;

namespace Agent.Benchmarks;

/// <summary>Hosts of the sizes that the numbers are about; the same ones each time.</summary>
internal static class BenchmarkHost
{
    public const string Vpc = "vpc-1";

    private const uint Epoch = 0x0001_0000;

    /// <summary>As many members as a group may have.</summary>
    public const int Members = 65_536;

    /// <summary>
    /// vNIC i is in group i mod <paramref name="groups"/>; the first group has <paramref name="members"/> addresses
    /// elsewhere, and each other group has one rule that names it.
    /// </summary>
    public static PolicySnapshot Of(int vnics, int groups, int rules, int members)
    {
        var random = new Random(17);
        return new PolicySnapshot
        {
            Revision = 1,
            Groups = Enumerable.Range(0, groups).Select(i => Group(i, rules, i == 0 ? members : 0, random))
                .ToImmutableSortedDictionary(group => group.Id, group => group, StringComparer.Ordinal),
            Vnics = Enumerable.Range(0, vnics).Select(i => VnicOf(i, [GroupId(i % groups)]))
                .ToImmutableSortedDictionary(vnic => vnic.Id, vnic => vnic, StringComparer.Ordinal),
        };
    }

    /// <summary>One vNIC with all rules that it may have, from five groups.</summary>
    public static PolicySnapshot One(int rules)
    {
        const int Groups = 5;
        var random = new Random(17);
        return new PolicySnapshot
        {
            Revision = 1,
            Groups = Enumerable.Range(0, Groups).Select(i => Group(i, rules / Groups, members: 0, random))
                .ToImmutableSortedDictionary(group => group.Id, group => group, StringComparer.Ordinal),
            Vnics = ImmutableSortedDictionary.Create<string, Vnic>(StringComparer.Ordinal).Add(
                "eni-0", VnicOf(0, [.. Enumerable.Range(0, Groups).Select(GroupId)])),
        };
    }

    /// <summary>Another port in one rule of one group.</summary>
    public static PolicySnapshot WithOtherRule(PolicySnapshot policy, int round)
    {
        SecurityGroup group = policy.Groups[GroupId(policy.Groups.Count / 2)];
        ushort port = (ushort)(30_000 + round);
        int at = group.Rules.Length / 2;
        GroupRule changed = group.Rules[at] with
        {
            Protocol = IpProtocol.Tcp,
            DestinationPorts = new PortRange(port, port),
        };
        return policy with
        {
            Revision = policy.Revision + 1,
            Groups = policy.Groups.SetItem(group.Id, group with { Rules = group.Rules.SetItem(at, changed) }),
        };
    }

    /// <summary>One member of the first group less, or one more.</summary>
    public static PolicySnapshot WithOtherMember(PolicySnapshot policy, int round)
    {
        SecurityGroup group = policy.Groups[GroupId(0)];
        IpPrefix member = Member(2 * (round / 2) + 1000);
        return policy with
        {
            Revision = policy.Revision + 1,
            Groups = policy.Groups.SetItem(group.Id, group with
            {
                Members = round % 2 == 0 ? group.Members.Remove(member) : group.Members.Add(member),
            }),
        };
    }

    /// <summary>Compiles a policy with the settings that nobody has changed.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="before">What parts are taken from; null: nothing is remembered.</param>
    public static CompiledRuleset Compile(PolicySnapshot policy, CompiledRuleset? before) => RulesetCompiler.Compile(
        new CompileRequest(policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, Epoch)
        {
            Previous = before,
        });

    private static string GroupId(int i) => string.Create(CultureInfo.InvariantCulture, $"sg-{i}");

    // Every other address, so that nothing can be merged.
    private static IpPrefix Member(int i) => IpPrefix.Host(IpFamily.V4, 0x0a50_0000u + 2 * (uint)i);

    private static Vnic VnicOf(int i, ImmutableArray<string> groups) => new()
    {
        Id = string.Create(CultureInfo.InvariantCulture, $"eni-{i}"),
        InterfaceName = string.Create(CultureInfo.InvariantCulture, $"tap-eni-{i}"),
        Mac = new MacAddress(0x02_00_00_00_00_01UL + (ulong)i),
        VpcId = Vpc,
        Addresses = [IpPrefix.Host(IpFamily.V4, 0x0ac8_0000u + 256 * (uint)i + 1)],
        GroupIds = groups,
    };

    private static SecurityGroup Group(int i, int rules, int members, Random random) => new()
    {
        Id = GroupId(i),
        VpcId = Vpc,
        Type = GroupType.Basic,
        InnerAccess = Verdict.Accept,
        Members = [.. Enumerable.Range(0, members).Select(Member)],
        Rules = [.. Enumerable.Range(1, rules).Select(number => RuleOf(number, i > 0, random))],
    };

    private static GroupRule RuleOf(int number, bool mayName, Random random)
    {
        ushort port = (ushort)random.Next(1, 60_000);
        var prefix = new IpPrefix(
            IpFamily.V4, 0x0a00_0000u | (uint)random.Next(0, 64) << 16 | (uint)random.Next(0, 256) << 8,
            random.Next(14, 25));
        return new GroupRule
        {
            Id = string.Create(CultureInfo.InvariantCulture, $"r{number}"),
            Direction = random.Next(4) > 0 ? Direction.Ingress : Direction.Egress,
            Priority = (byte)random.Next(1, 101),
            Verdict = random.Next(4) > 0 ? Verdict.Accept : Verdict.Drop,
            Protocol = random.Next(3) > 0 ? IpProtocol.Tcp : IpProtocol.Udp,
            DestinationPorts = new PortRange(port, (ushort)(port + random.Next(0, 40))),
            Remote = number == 1 && mayName ? new Remote.Group(GroupId(0)) : new Remote.Cidr(prefix),
        };
    }
}
