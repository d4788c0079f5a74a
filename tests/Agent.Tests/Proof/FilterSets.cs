using System.Collections.Immutable;
using System.Globalization;
using Agent.Compiler;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Proof;

/// <summary>
/// Rules as real filter sets have them, which random ones never resemble: prefixes that lie in each other, few
/// protocols, five kinds of port ranges, and the same few values again and again.
/// </summary>
/// <remarks>
/// The three families are those of ClassBench (Taylor and Turner, IEEE/ACM ToN 15(3), 2007), whose seeds were taken
/// from providers' filter sets: access lists, firewalls, and chains of Linux. Their sets themselves are not here: the
/// tables below are our own, of the same shape.
/// </remarks>
/// <param name="Name">acl, fw or ipc.</param>
/// <param name="Protocols">Weights of TCP, UDP, ICMP, GRE and any.</param>
/// <param name="Ports">Weights of any, 1024-65535, 0-1023, some range and one port.</param>
/// <param name="SourcePorts">The same of source ports.</param>
/// <param name="Lengths">Prefix lengths, with their weights.</param>
/// <param name="Nested">In percent, prefixes that lie in one that is there already.</param>
internal sealed record FilterSets(
    string Name, int[] Protocols, int[] Ports, int[] SourcePorts, (int Length, int Weight)[] Lengths, int Nested)
{
    private static readonly byte?[] ProtocolNumbers = [IpProtocol.Tcp, IpProtocol.Udp, IpProtocol.Icmp, 47, null];
    private static readonly ushort[] Services = [22, 25, 53, 80, 123, 443, 1521, 3306, 5432, 8080];

    public static readonly ImmutableDictionary<string, FilterSets> All = new FilterSets[]
    {
        new("acl", [75, 10, 5, 1, 9], [5, 5, 2, 18, 70], [100, 0, 0, 0, 0],
            [(0, 2), (8, 3), (16, 10), (24, 45), (27, 10), (30, 5), (32, 25)], Nested: 70),
        new("fw", [60, 20, 5, 5, 10], [30, 15, 5, 15, 35], [70, 20, 0, 5, 5],
            [(0, 30), (8, 5), (16, 15), (21, 5), (24, 20), (32, 25)], Nested: 40),
        new("ipc", [50, 25, 10, 5, 10], [25, 10, 5, 15, 45], [60, 10, 5, 10, 15],
            [(0, 8), (12, 5), (19, 7), (24, 25), (29, 10), (32, 45)], Nested: 55),
    }.ToImmutableDictionary(one => one.Name, StringComparer.Ordinal);

    /// <summary>Two vNICs that share one group of so many rules and have another one each; both families.</summary>
    public CompileRequest Request(Random random, int rules) => CompilerAgainstOracleTests.Request(new PolicySnapshot
    {
        Revision = 1,
        Groups = new[] { Group("shared", rules, random), Group("a", rules / 4, random), Group("b", rules / 4, random) }
            .ToImmutableSortedDictionary(group => group.Id, group => group, StringComparer.Ordinal),
        Vnics = new PolicyBuilder().Nic("one", "10.0.0.1 fd00::1", "shared a").Nic("two", "10.1.0.1", "shared b")
            .Build().Vnics,
    });

    private SecurityGroup Group(string id, int rules, Random random)
    {
        var seen = new List<IpPrefix>();
        return new SecurityGroup
        {
            Id = id,
            VpcId = PolicyBuilder.Vpc,
            InnerAccess = Verdict.Drop,
            Rules = [.. Enumerable.Range(1, rules).Select(number => Rule(number, rules, seen, random))],
        };
    }

    // Filter sets are lists, the first match decides: so do priorities, coarsely.
    private GroupRule Rule(int number, int rules, List<IpPrefix> seen, Random random)
    {
        byte? protocol = ProtocolNumbers[Draw(Protocols, random)];
        IpPrefix remote = Prefix(seen, random);
        seen.Add(remote);
        bool hasPorts = protocol is IpProtocol.Tcp or IpProtocol.Udp;
        protocol = protocol == IpProtocol.Icmp && remote.Family == IpFamily.V6 ? IpProtocol.Icmpv6 : protocol;
        return new GroupRule
        {
            Id = string.Create(CultureInfo.InvariantCulture, $"r{number}"),
            Direction = random.Next(3) > 0 ? Direction.Ingress : Direction.Egress,
            Priority = (byte)(1 + (number - 1) * 100 / rules),
            Verdict = random.Next(3) > 0 ? Verdict.Accept : Verdict.Drop,
            Protocol = protocol,
            DestinationPorts = hasPorts ? Range(Ports, random) : null,
            SourcePorts = hasPorts && Draw(SourcePorts, random) > 0 ? Range(SourcePorts, random) : null,
            Remote = new Remote.Cidr(remote),
        };
    }

    private IpPrefix Prefix(List<IpPrefix> seen, Random random)
    {
        int length = Lengths[Draw([.. Lengths.Select(one => one.Weight)], random)].Length;
        IpFamily family = random.Next(6) == 0 ? IpFamily.V6 : IpFamily.V4;
        int width = family == IpFamily.V4 ? 32 : 128;
        length = family == IpFamily.V4 ? length : 4 * length;
        UInt128 bits = family == IpFamily.V4 ? (UInt128)random.NextInt64(0x0100_0000, 0xdfff_ffff)
            : new UInt128(0xfd00_0000_0000_0000UL | (ulong)(uint)random.Next(), (ulong)random.NextInt64());
        IpPrefix[] around = [.. seen.Where(one => one.Family == family && one.Length <= length && one.Length > 0)];
        if (around.Length > 0 && random.Next(100) < Nested)
        {
            IpPrefix parent = around[random.Next(around.Length)];
            UInt128 host = IpPrefix.Ceiling(family) >> parent.Length;
            bits = parent.Bits | (bits & (parent.Length == width ? 0 : host));
        }

        UInt128 mask = length == 0 ? 0 : IpPrefix.Ceiling(family) << (width - length) & IpPrefix.Ceiling(family);
        return new IpPrefix(family, bits & mask, length);
    }

    private static PortRange? Range(int[] weights, Random random)
    {
        ushort service = random.Next(3) > 0 ? Services[random.Next(Services.Length)] : (ushort)random.Next(1, 65_500);
        return Draw(weights, random) switch
        {
            0 => null,
            1 => new PortRange(1024, 65_535),
            2 => new PortRange(1, 1023),
            3 => new PortRange(service, (ushort)Math.Min(65_535, service + random.Next(1, 200))),
            _ => new PortRange(service, service),
        };
    }

    private static int Draw(int[] weights, Random random)
    {
        int at = random.Next(weights.Sum());
        for (int i = 0; ; i++)
        {
            if ((at -= weights[i]) < 0)
            {
                return i;
            }
        }
    }
}
