using System.Collections.Immutable;
using Agent.Evaluator;
using Agent.Policy;
using static Agent.Policy.Direction;
using static Agent.Policy.Verdict;

namespace Agent.Tests.Evaluator;

/// <summary>A packet that opens a session, and the verdict that semantics.md section 8 demands.</summary>
public sealed record Scenario(
    string Id,
    PolicySnapshot Snapshot,
    string VnicId,
    Direction Direction,
    PacketTuple Packet,
    Verdict Expected,
    VerdictReason Reason)
{
    public PolicySettings Settings { get; init; } = PolicySettings.Default;

    public uint Mark { get; init; }

    public override string ToString() => $"{Id}: {Direction} {VnicId}, {Packet}";
}

/// <summary>Sections 8.1 and 8.2 of semantics.md as data: the cases that a policy and one packet decide.</summary>
/// <remarks>
/// Not here: E10-E15, E25-E27 (validation), E23, E24 (rule health), C17, C18, C21, E18, E19, X02 (sessions).
/// "e1" has 10.0.0.1 and fd00::1, "e2" has 10.0.0.2 and fd00::2, unless a case says otherwise.
/// </remarks>
public static class Scenarios
{
    public const string Internet = "8.8.8.8";
    private const byte Icmp = IpProtocol.Icmp;
    private const byte Tcp = IpProtocol.Tcp;
    private const byte Udp = IpProtocol.Udp;
    private const byte Icmpv6 = IpProtocol.Icmpv6;
    private const string E1 = "10.0.0.1 fd00::1";
    private const string E2 = "10.0.0.2 fd00::2";

    public static ImmutableArray<Scenario> All { get; } =
        [.. Merging(), .. Inner(), .. Defaults(), .. Exemptions(), .. Fields(), .. Lists(), .. Protocols(), .. Sides()];

    public static Scenario Find(string id) => All.First(s => s.Id == id);

    /// <summary>A packet to e1 from outside, or from a peer.</summary>
    private static Scenario In(
        string id, PolicyBuilder policy, string source, byte protocol, ushort port, Verdict expected,
        VerdictReason reason, ushort sourcePort = 40000, string destination = "10.0.0.1") =>
        new(id, policy.Build(), "e1", Ingress, Packet(source, destination, protocol, sourcePort, port), expected,
            reason);

    /// <summary>A packet that e1 sends.</summary>
    private static Scenario Out(
        string id, PolicyBuilder policy, string destination, byte protocol, ushort port, Verdict expected,
        VerdictReason reason, string source = "10.0.0.1") =>
        new(id, policy.Build(), "e1", Egress, Packet(source, destination, protocol, 40000, port), expected, reason);

    private static PacketTuple Packet(string source, string destination, byte protocol, ushort from, ushort to) =>
        IpProtocol.HasPorts(protocol)
            ? PacketTuple.Of(source, destination, protocol, from, to)
            : PacketTuple.Of(source, destination, protocol);

    private static PolicyBuilder Policy => new();

    private static IEnumerable<Scenario> Merging()
    {
        PolicyBuilder TwoGroups(string a, string b) => Policy.Basic("A", a).Basic("B", b).Nic("e1", E1, "A B");

        yield return In("C01", TwoGroups("in 1 drop tcp 22/22 10.0.0.0/8", "in 1 accept tcp 22/22 0.0.0.0/0"),
            "10.1.2.3", Tcp, 22, Drop, VerdictReason.Rule);
        yield return In("C02", TwoGroups("in 2 drop tcp 22/22 10.0.0.0/8", "in 1 accept tcp 22/22 0.0.0.0/0"),
            "10.1.2.3", Tcp, 22, Accept, VerdictReason.Rule);
        yield return In("C03", TwoGroups("in 1 drop all -1/-1 0.0.0.0/0", "in 100 accept tcp 80/80 0.0.0.0/0"),
            Internet, Tcp, 80, Drop, VerdictReason.Rule);
    }

    private static IEnumerable<Scenario> Inner()
    {
        PolicyBuilder Both(PolicyBuilder policy, string groups) => policy.Nic("e1", E1, groups).Nic("e2", E2, groups);

        yield return In("C04", Both(Policy.Basic("A", "in 1 drop all -1/-1 0.0.0.0/0"), "A"),
            "10.0.0.2", Tcp, 22, Accept, VerdictReason.Inner);
        yield return In("C05", Policy.Basic("A", "in 1 drop tcp 22/22 group:C").Basic("C")
            .Nic("e1", E1, "A").Nic("e2", E2, "A C"), "10.0.0.2", Tcp, 22, Accept, VerdictReason.Inner);
        yield return In("C06", Both(Policy.Basic("A", Drop), "A"), "10.0.0.2", Tcp, 22, Drop, VerdictReason.Default);
        PolicyBuilder reopened = Both(Policy.Basic("A", Drop, "in 1 accept tcp 3306/3306 10.0.0.0/24"), "A");
        yield return In("C07 3306", reopened, "10.0.0.2", Tcp, 3306, Accept, VerdictReason.Rule);
        yield return In("C07 other", reopened, "10.0.0.2", Tcp, 3307, Drop, VerdictReason.Default);
        yield return In("C08", Both(Policy.Basic("A", Drop).Basic("B"), "A B"),
            "10.0.0.2", Tcp, 22, Accept, VerdictReason.Inner);
        yield return In("C09", Policy.Basic("A", Drop).Basic("B").Nic("e1", E1, "A B").Nic("e2", E2, "A"),
            "10.0.0.2", Tcp, 22, Drop, VerdictReason.Default);
        yield return In("C10", Policy.Basic("A").Basic("B").Nic("e1", E1, "A").Nic("e2", E2, "B"),
            "10.0.0.2", Tcp, 22, Drop, VerdictReason.Default);
        // The peer's EIP is no address of a member: the packet is not internal.
        yield return In("E02", Both(Policy.Basic("A", "in 1 drop all -1/-1 0.0.0.0/0"), "A"),
            "47.1.2.3", Tcp, 22, Drop, VerdictReason.Rule);
        PolicyBuilder closed = Both(Policy.Basic("A", "out 1 drop all -1/-1 0.0.0.0/0"), "A");
        yield return Out("X01 custom first", closed, "10.0.0.2", Tcp, 22, Drop, VerdictReason.Rule);
        yield return Out("X01 inner first", closed, "10.0.0.2", Tcp, 22, Accept, VerdictReason.Inner) with
        {
            Settings = PolicySettings.Default with { EgressInner = EgressInner.InnerFirst },
        };
        yield return In("C04 v6", Both(Policy.Basic("A", "in 1 drop all -1/-1 ::/0"), "A"),
            "fd00::2", Tcp, 22, Accept, VerdictReason.Inner, destination: "fd00::1");
    }

    private static IEnumerable<Scenario> Defaults()
    {
        PolicyBuilder fresh = Policy.Basic("A").Nic("e1", E1, "A");
        yield return In("C11 in", fresh, Internet, Tcp, 80, Drop, VerdictReason.Default);
        yield return Out("C11 out", fresh, Internet, Tcp, 80, Accept, VerdictReason.Default);
        yield return Out("C12", Policy.Basic("A", "out 1 accept tcp 443/443 0.0.0.0/0").Nic("e1", E1, "A"),
            Internet, Udp, 53, Accept, VerdictReason.Default);
        PolicyBuilder whitelist = Policy
            .Basic("A", "out 1 accept tcp 443/443 0.0.0.0/0", "out 100 drop all -1/-1 0.0.0.0/0").Nic("e1", E1, "A");
        yield return Out("C13 80", whitelist, Internet, Tcp, 80, Drop, VerdictReason.Rule);
        yield return Out("C13 443", whitelist, Internet, Tcp, 443, Accept, VerdictReason.Rule);
        PolicyBuilder advanced = Policy.Advanced("ENT").Nic("e1", E1, "ENT").Nic("e2", E2, "ENT");
        yield return In("C14 in", advanced, Internet, Tcp, 80, Drop, VerdictReason.Default);
        yield return Out("C14 out", advanced, Internet, Tcp, 80, Drop, VerdictReason.Default);
        yield return In("C15 in", advanced, "10.0.0.2", Tcp, 80, Drop, VerdictReason.Default);
        yield return Out("C15 out", advanced, "10.0.0.2", Tcp, 80, Drop, VerdictReason.Default);
        yield return In("C16", Policy.Advanced("ENT", "in 1 accept tcp 443/443 0.0.0.0/0",
            "in 1 drop tcp 443/443 203.0.113.0/24").Nic("e1", E1, "ENT"), "203.0.113.9", Tcp, 443, Drop,
            VerdictReason.Rule);
        yield return In("E17", Policy.Basic("A", "in 1 accept tcp 22/22 0.0.0.0/0").Basic("B")
            .Nic("e0", "10.0.0.9", "A").Nic("e1", E1, "B"), Internet, Tcp, 22, Drop, VerdictReason.Default);
    }

    private static IEnumerable<Scenario> Exemptions()
    {
        PolicyBuilder advanced = Policy.Advanced("ENT", "out 1 accept tcp 443/443 0.0.0.0/0").Nic("e1", E1, "ENT");
        yield return Out("C19", advanced, "100.100.100.200", Tcp, 80, Accept, VerdictReason.Metadata);
        yield return Out("C20", advanced, "100.100.2.136", Udp, 53, Drop, VerdictReason.Default);
        PolicyBuilder fresh = Policy.Basic("A", "in 1 drop all -1/-1 0.0.0.0/0").Nic("e1", E1, "A");
        PolicySettings trusting = PolicySettings.Default with { TrustedMarks = [0x40] };
        yield return In("C22", fresh, "100.64.0.9", Tcp, 80, Accept, VerdictReason.TrustedMark) with
        {
            Settings = trusting,
            Mark = 0x40,
        };
        yield return In("E21", fresh, "100.64.0.9", Tcp, 80, Drop, VerdictReason.Rule) with { Settings = trusting };
        yield return In("E22", fresh, "100.64.0.9", Icmp, 0, Accept, VerdictReason.TrustedMark) with
        {
            Settings = trusting,
            Mark = 0x40,
        };
        yield return Out("E16", Policy.Basic("A").Nic("e1", E1, "A"), Internet, Tcp, 25, Drop,
            VerdictReason.PlatformBlock);
        yield return Out("E16 metadata", advanced, "100.100.100.200", Tcp, 25, Drop, VerdictReason.PlatformBlock);
        yield return In("E16 inbound", Policy.Basic("A", "in 1 accept tcp 25/25 0.0.0.0/0").Nic("e1", E1, "A"),
            Internet, Tcp, 25, Accept, VerdictReason.Rule);
    }

    private static IEnumerable<Scenario> Fields()
    {
        PolicyBuilder referenced = Policy.Basic("A", "in 1 accept tcp 80/80 group:B").Basic("B")
            .Nic("e1", E1, "A").Nic("e2", "10.0.0.2 10.0.0.22 fd00::2 10.9.0.0/24 fd00:9::/64", "B");
        yield return In("C23 private", referenced, "10.0.0.2", Tcp, 80, Accept, VerdictReason.Rule);
        yield return In("C23 EIP", referenced, "47.1.2.3", Tcp, 80, Drop, VerdictReason.Default);
        yield return In("X03 secondary", referenced, "10.0.0.22", Tcp, 80, Accept, VerdictReason.Rule);
        yield return In("X03 prefix", referenced, "10.9.0.200", Tcp, 80, Accept, VerdictReason.Rule);
        yield return In("X03 v6", referenced, "fd00:9::7", Tcp, 80, Accept, VerdictReason.Rule, destination: "fd00::1");
        PolicyBuilder listed = Policy.Basic("A", "in 1 accept tcp 80/80 group:B").Nic("e1", E1, "A")
            .Group("B", GroupType.Basic, Accept, ["10.7.0.0/16"]);
        yield return In("C23 listed", listed, "10.7.1.1", Tcp, 80, Accept, VerdictReason.Rule);
        yield return In("E09", Policy.Basic("A", "in 1 accept tcp 80/80 0.0.0.0/0 sport=1024/65535")
            .Nic("e1", E1, "A"), Internet, Tcp, 80, Drop, VerdictReason.Default, sourcePort: 80);
    }

    private static IEnumerable<Scenario> Lists()
    {
        PolicyBuilder ports = Policy.Basic("A", "in 1 accept tcp ports:P 0.0.0.0/0").Ports("P", "80/80", "8000/9000")
            .Nic("e1", E1, "A");
        yield return In("E03 tcp 8500", ports, Internet, Tcp, 8500, Accept, VerdictReason.Rule);
        yield return In("E03 udp 8500", ports, Internet, Udp, 8500, Drop, VerdictReason.Default);
        yield return In("E03 tcp 81", ports, Internet, Tcp, 81, Drop, VerdictReason.Default);
        string[] entries = ["198.51.100.0/24", "203.0.113.0/25", "192.0.2.7"];
        PolicyBuilder PrefixesOf(params string[] all) => Policy.Basic("A", "in 1 accept all -1/-1 list:L")
            .Prefixes("L", IpFamily.V4, all).Nic("e1", E1, "A");
        yield return In("E04", PrefixesOf(entries), "192.0.2.7", Udp, 9, Accept, VerdictReason.Rule);
        yield return In("E05 before", PrefixesOf(entries), "192.0.2.8", Udp, 9, Drop, VerdictReason.Default);
        yield return In("E05", PrefixesOf([.. entries, "192.0.2.8"]), "192.0.2.8", Udp, 9, Accept, VerdictReason.Rule);
    }

    private static IEnumerable<Scenario> Protocols()
    {
        PolicyBuilder icmp = Policy.Basic("A", "in 1 accept icmp -1/-1 0.0.0.0/0").Nic("e1", E1, "A");
        yield return In("C24 v4", icmp, Internet, Icmp, 0, Accept, VerdictReason.Rule);
        yield return In("C24 v6", icmp, "2001:db8::1", Icmpv6, 0, Drop, VerdictReason.Default, destination: "fd00::1");
        PolicyBuilder all = Policy.Basic("A", "in 1 accept all -1/-1 198.51.100.0/24").Nic("e1", E1, "A");
        yield return In("E06 gre", all, "198.51.100.3", IpProtocol.Gre, 0, Accept, VerdictReason.Rule);
        yield return In("E06 esp", all, "198.51.100.3", 50, 0, Accept, VerdictReason.Rule);
        yield return In("E06 udp", all, "198.51.100.3", Udp, 0, Accept, VerdictReason.Rule);
        PolicyBuilder tcp = Policy.Basic("A", "in 1 accept tcp 1/65535 0.0.0.0/0").Nic("e1", E1, "A");
        yield return In("E07 udp", tcp, Internet, Udp, 80, Drop, VerdictReason.Default);
        yield return In("E07 icmp", tcp, Internet, Icmp, 0, Drop, VerdictReason.Default);
        yield return In("E07 tcp port 0", tcp, Internet, Tcp, 0, Drop, VerdictReason.Default);
        PolicyBuilder closed = Policy.Basic("A", "out 1 drop all -1/-1 0.0.0.0/0").Nic("e1", E1, "A");
        yield return Out("E08", closed, "2001:db8::1", Tcp, 80, Accept, VerdictReason.Default, source: "fd00::1");
        // A group remote covers both families, but ICMP stays IPv4: protocol 1 over IPv6 is not ICMP.
        PolicyBuilder group = Policy.Basic("A", "in 1 accept icmp -1/-1 group:B").Basic("B")
            .Nic("e1", E1, "A").Nic("e2", E2, "B");
        yield return In("C24 group v4", group, "10.0.0.2", Icmp, 0, Accept, VerdictReason.Rule);
        yield return In("C24 group v6", group, "fd00::2", Icmp, 0, Drop, VerdictReason.Default, destination: "fd00::1");
    }

    private static IEnumerable<Scenario> Sides()
    {
        PolicyBuilder own = Policy.Basic("A", "in 1 accept tcp 22/22 0.0.0.0/0 own=10.0.0.8")
            .Nic("e1", "10.0.0.8 10.0.0.9", "A");
        yield return In("C25 .8", own, Internet, Tcp, 22, Accept, VerdictReason.Rule, destination: "10.0.0.8");
        yield return In("C25 .9", own, Internet, Tcp, 22, Drop, VerdictReason.Default, destination: "10.0.0.9");
        yield return In("E01", Policy.Basic("A", "in 1 accept tcp 22/22 0.0.0.0/0 own=47.1.2.3")
            .Nic("e1", "10.0.0.8", "A"), Internet, Tcp, 22, Drop, VerdictReason.Default, destination: "10.0.0.8");
        PolicyBuilder open = Policy.Basic("A").Nic("e1", E1 + " 10.9.0.0/24", "A");
        yield return Out("E20", open, Internet, Udp, 9, Drop, VerdictReason.Spoof, source: "10.0.0.2");
        yield return Out("E20 prefix", open, Internet, Udp, 9, Accept, VerdictReason.Default, source: "10.9.0.77");
        yield return Out("E20 link-local", open, "fe80::9", Udp, 9, Accept, VerdictReason.Default,
            source: "fe80::ff:fe00:1");
        yield return Out("E20 other link-local", open, "fe80::9", Udp, 9, Drop, VerdictReason.Spoof,
            source: "fe80::ff:fe00:2");
        yield return Out(
            "E20 unspecified", open, "255.255.255.255", Udp, 9, Drop, VerdictReason.Spoof, source: "0.0.0.0");
        yield return Out("E20 DAD", open, "ff02::1", Icmpv6, 0, Accept, VerdictReason.Default, source: "::");
        yield return Out(
            "E20 off", Policy.Basic("A").Nic("e1", E1, "A", v => v with { SourceDestinationCheck = false }),
            Internet, Udp, 9, Accept, VerdictReason.Default, source: "172.16.0.1");
    }
}
