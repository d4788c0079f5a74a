using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Guards;

/// <summary>vNICs of all sorts, as far as guards tell them apart.</summary>
internal static class GuardPolicies
{
    public static Vnic Random(Random random, int number)
    {
        IpPrefix[] addresses =
        [
            .. Enumerable.Range(0, random.Next(7)).Select(_ => IpPrefix.Host(IpFamily.V4, Address4(random))),
            .. Enumerable.Range(0, random.Next(7)).Select(_ => IpPrefix.Host(IpFamily.V6, Address6(random))),
        ];
        IpPrefix[] delegated =
        [
            .. Enumerable.Range(0, random.Next(3) * random.Next(5)).Select(_ => random.Next(2) == 0
                ? new IpPrefix(IpFamily.V4, Address4(random), random.Next(8, 32))
                : new IpPrefix(IpFamily.V6, Address6(random), random.Next(32, 128))),
        ];
        return new Vnic
        {
            Id = $"v{number}",
            InterfaceName = random.Next(8) == 0 ? $"tap:{number}" : $"tap{number}",
            Mac = new MacAddress((0x02ul << 40) | (ulong)random.NextInt64(1L << 40)),
            VpcId = "vpc",
            GroupIds = ["a"],
            Addresses = [.. addresses.Distinct()],
            DelegatedPrefixes = [.. delegated.Distinct()],
            SourceDestinationCheck = random.Next(4) > 0,
        };
    }

    public static CompiledRuleset Compile(params IEnumerable<Vnic> vnics)
    {
        PolicySnapshot policy = new PolicyBuilder().Basic("a", Verdict.Accept).Build();
        SecurityGroup group = policy.Groups["a"];
        ImmutableSortedDictionary<string, Vnic> all = vnics.ToImmutableSortedDictionary(
            vnic => vnic.Id, vnic => vnic with { VpcId = group.VpcId }, StringComparer.Ordinal);
        return RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(policy with { Vnics = all }));
    }

    // Neighbours, the lowest and the highest, and some that are anywhere.
    private static UInt128 Address4(Random random) => random.Next(4) switch
    {
        0 => 0x0a000000u + (uint)random.Next(4),
        1 => uint.MaxValue - 1 - (uint)random.Next(2),
        2 => 1,
        _ => (uint)random.NextInt64(1, uint.MaxValue),
    };

    private static UInt128 Address6(Random random) => random.Next(3) switch
    {
        0 => new UInt128(0x20010db8_00000000, (ulong)random.Next(4)),
        1 => UInt128.MaxValue - (UInt128)random.Next(3),
        _ => new UInt128((ulong)random.NextInt64(), (ulong)random.NextInt64(1, long.MaxValue)),
    };
}
