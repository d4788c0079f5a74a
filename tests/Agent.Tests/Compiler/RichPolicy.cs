using Agent.Compiler;
using Agent.Policy;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Compiler;

/// <summary>One policy that makes the compiler use everything that it has.</summary>
public static class RichPolicy
{
    public const uint Epoch = 0x00010000;

    public static PolicySettings Settings { get; } = PolicySettings.Default with
    {
        TrustedMarks = [0x77],
        MetadataAddresses = [IpPrefix.Parse("100.100.100.200"), IpPrefix.Parse("fd00:100::200")],
    };

    public static CompilerSettings Layout { get; } =
        CompilerSettings.Default with { ManagedInterfaces = ["tap*", "vnet*", "exact0"] };

    public static PolicySnapshot Snapshot { get; } = new PolicyBuilder()
        .Prefixes("pl4", IpFamily.V4, "10.1.2.0/24", "10.1.2.128/25", "192.0.2.0/24", "8.8.8.8")
        .Prefixes("pl6", IpFamily.V6, "2001:db8:1::/64", "2001:db9::1")
        .Ports("ports", "22/22", "8000/9000")
        .Group("peers", GroupType.Basic, Verdict.Accept,
            ["10.1.2.3", "10.9.0.0/31", "2001:db8:1::7", "2001:db8:5::/52"])
        .Basic("web",
            "in 1 accept tcp 80/80 0.0.0.0/0",
            "in 1 accept tcp 80/80 ::/0",
            "in 2 drop tcp 22/22 10.0.0.0/8 own=10.0.0.8",
            "in 2 accept tcp 22/22 2001:db8::/32 own=2001:db8::8",
            "in 3 accept tcp 1000/2000 list:pl4",
            "in 3 accept udp 53/53 list:pl6 sport=1024/65535",
            "in 4 accept tcp ports:ports group:peers",
            "in 5 accept icmp -1/-1 10.0.0.0/8",
            "in 5 accept icmpv6 -1/-1 2001:db8::/32",
            "in 6 accept gre -1/-1 10.2.0.0/16",
            "in 7 accept all -1/-1 192.0.2.7",
            "out 1 drop udp 4000/5000 list:pl4 sport=1/1023",
            "out 2 accept all -1/-1 192.0.2.8",
            "out 2 drop all -1/-1 192.0.2.0/25",
            "out 3 drop tcp 25/26 ::/0 own=2001:db8::8",
            "out 4 drop tcp 23/23 0.0.0.0/0 own=10.0.0.8")
        .Advanced("closed", "in 1 accept tcp 443/443 0.0.0.0/0", "out 1 accept tcp 443/443 10.0.0.0/8")
        .Nic("one", "10.0.0.8 10.0.0.9 10.64.0.0/20 2001:db8::8 2001:db8:0:1000::/52", "web")
        .Nic("two", "10.0.1.1 2001:db8::2", "closed")
        .Nic("router", "10.0.2.1", "web", vnic => vnic with { SourceDestinationCheck = false }).Build();

    public static CompileRequest Request() => new(Snapshot, Settings, Layout, HostFacts.Default, Epoch);
}
