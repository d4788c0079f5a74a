using static Agent.KernelTests.Scenarios.AddressPlan;
using static Agent.KernelTests.Scenarios.ScenarioStep;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Scenarios;

/// <summary>
/// The rows of semantics.md 8.2 that concern enforcement. E10 to E15 and E23 to E27 are about validation, quotas and
/// redundancy, where no packet is sent; E18 and E19 need time and are in <see cref="IdleSessionTests"/>.
/// </summary>
internal static class FurtherScenarios
{
    internal static readonly Scenario[] Matching =
    [
        new("E03", "a port list, for its protocol", p =>
        [
            ApplyWithPorts(
                Accepting("sg-a", $"in 1 accept tcp prl-1 {p.Any}"), ["80/80", "8000/9000"], Nic("e1", "sg-a")),
            new Ask(
                Tcp("out", p.Seven, "e1", p.E1, 8500),
                Tcp("out", p.Seven, "e1", p.E1, 80),
                Udp("out", p.Seven, "e1", p.E1, 8500).Dropped(),
                Tcp("out", p.Seven, "e1", p.E1, 81).Dropped()),
        ]),
        new("E04", "a prefix list matches each of its entries", p =>
        [
            ApplyWithPrefixes(
                p,
                Accepting("sg-a", "in 1 accept tcp 22/22 pl-1"),
                [p.TenNet, p.GuestNet, p.NineNet],
                Nic("e1", "sg-a")),
            new Ask(Tcp("out", p.Nine, "e1", p.E1, 22), Tcp("out", p.Seven, "e1", p.E1, 22).Dropped()),
        ]),
        new("E05", "a change of the list takes effect without a rule edit", p =>
        [
            ApplyWithPrefixes(p, Accepting("sg-a", "in 1 accept tcp 22/22 pl-1"), [p.TenNet], Nic("e1", "sg-a")),
            new Ask(Tcp("out", p.Nine, "e1", p.E1, 22).Dropped()),
            ApplyWithPrefixes(
                p, Accepting("sg-a", "in 1 accept tcp 22/22 pl-1"), [p.TenNet, p.NineNet], Nic("e1", "sg-a")),
            new Ask(Tcp("out", p.Nine, "e1", p.E1, 22)),
        ]),
        new("E06", "ALL is every protocol", p =>
        [
            Apply([Accepting("sg-a", $"in 1 accept all -1/-1 {p.SevenNet}")], Nic("e1", "sg-a")),
            new Ask(
                Protocol("out", p.Seven, "e1", p.E1, 47),
                Protocol("out", p.Seven, "e1", p.E1, 50),
                Udp("out", p.Seven, "e1", p.E1, 4500),
                Protocol("out", p.Nine, "e1", p.E1, 47).Dropped(),
                Protocol("out", p.Nine, "e1", p.E1, 50).Dropped()),
        ]),
        new("E07", "the protocol must match", p =>
        [
            Apply([Accepting("sg-a", $"in 1 accept tcp 1/65535 {p.Any}")], Nic("e1", "sg-a")),
            new Ask(
                Udp("out", p.Seven, "e1", p.E1, 53).Dropped(),
                Echo("out", p.Seven, "e1", p.E1).Dropped(),
                Tcp("out", p.Seven, "e1", p.E1, 53)),
        ]),
        new("E08", "a rule for IPv4 says nothing of IPv6", _ =>
        [
            Apply([Accepting("sg-a", "out 1 drop all -1/-1 0.0.0.0/0")], Nic("e1", "sg-a")),
            new Ask(
                Tcp("e1", V4.E1, "out", V4.Seven, 443).Dropped(),
                Tcp("e1", V6.E1, "out", V6.Seven, 443),
                Echo("e1", V6.E1, "out", V6.Seven)),
        ])
        { OneFamily = true },
        new("E09", "the source port must match", p =>
        [
            Apply([Accepting("sg-a", $"in 1 accept tcp 80/80 {p.Any} sport=1024/65535")], Nic("e1", "sg-a")),
            new Ask(
                Tcp("out", p.Seven, "e1", p.E1, 80) with { SourcePort = 80, Passes = false },
                Tcp("out", p.Seven, "e1", p.E1, 80) with { SourcePort = 1024 }),
        ]),
    ];

    internal static readonly Scenario[] Translated =
    [
        new("E01", "an EIP never reaches the ENI, so an own side that names it matches nothing", p =>
        [
            Apply([Accepting("sg-a", $"in 1 accept tcp 22/22 {p.Any} own={Host(Eip1)}")], Nic("e1", "sg-a")),
            new Ask(Tcp("out", p.Seven, "e1", p.E1, 22).Dropped(), Tcp("out", p.Seven, "e1", Eip1, 22).Dropped()),
        ])
        { OneFamily = true },
        new("E02", "inner access is internal traffic only", p =>
        [
            Apply([Accepting("sg-a", $"in 1 drop all -1/-1 {p.Any}")], Nic("e1", "sg-a"), Nic("e2", "sg-a")),
            new Ask(Tcp("e2", p.E2, "e1", Eip1, 22).Dropped(), Tcp("e2", p.E2, "e1", p.E1, 22)),
        ])
        { OneFamily = true },
    ];

    internal static readonly Scenario[] Platform =
    [
        new("E16", "the platform blocks outbound TCP 25", p =>
        [
            Apply([Accepting("sg-a")], Nic("e1", "sg-a")),
            new Ask(Tcp("e1", p.E1, "out", p.Seven, 25).Dropped(), Tcp("e1", p.E1, "out", p.Seven, 26)),
        ]),
        new("E17", "each ENI has its own groups", p =>
        [
            Apply(
                [Accepting("sg-a", $"in 1 accept tcp 22/22 {p.Any}"), Accepting("sg-b")],
                Nic("e1", "sg-a"),
                Nic("e3", "sg-b")),
            new Ask(Tcp("out", p.Seven, "e1", p.E1, 22), Tcp("out", p.Seven, "e3", p.E3, 22).Dropped()),
        ]),
        new("E20", "a foreign source is dropped before the rules, unless the check is off", p => ForeignSource(p)),
        new("E21", "health checks are not exempt", p =>
        [
            Apply([Accepting("sg-a", $"in 1 drop all -1/-1 {p.Any}")], Nic("e1", "sg-a")),
            new Ask(Tcp("out", HealthCheck, "e1", p.E1, 80).Dropped()),
            Apply(
                [Accepting("sg-a", "in 1 accept tcp 80/80 100.64.0.0/10", $"in 2 drop all -1/-1 {p.Any}")],
                Nic("e1", "sg-a")),
            new Ask(Tcp("out", HealthCheck, "e1", p.E1, 80)),
        ])
        { OneFamily = true },
        new("E22-unmarked", "any ping is not a platform's probe; with the fabric's mark: TrustedMarkTests", p =>
        [
            Apply([Accepting("sg-a")], Nic("e1", "sg-a")),
            new Ask(Echo("out", p.Seven, "e1", p.E1).Dropped()),
        ]),
    ];

    internal static readonly Scenario[] Ambiguous =
    [
        new("X01", "outbound custom rules come before inner accept (egress_inner = custom_first)", p =>
        [
            Apply([Accepting("sg-a", $"out 1 drop all -1/-1 {p.Any}")], Nic("e1", "sg-a"), Nic("e2", "sg-a")),
            new Ask(Udp("e1", p.E1, "e2", p.E2, 53).Dropped(), Tcp("e1", p.E1, "e2", p.E2, 22).Dropped()),
        ]),
        new("X02", "a new deny cuts an established session, its removal lets it go on (revalidate)", p =>
        [
            Apply([Accepting("sg-a", $"in 2 accept tcp 22/22 {p.Any}")], Nic("e1", "sg-a")),
            new Open("ssh", Tcp("out", p.Seven, "e1", p.E1, 22)),
            new Both("ssh", Passes: true),
            Apply(
                [Accepting("sg-a", $"in 2 accept tcp 22/22 {p.Any}", $"in 1 drop tcp 22/22 {p.Any}")],
                Nic("e1", "sg-a")),
            new Both("ssh", Passes: false),
            Apply([Accepting("sg-a", $"in 2 accept tcp 22/22 {p.Any}")], Nic("e1", "sg-a")),
            new Both("ssh", Passes: true),
        ]),
        new("X03", "a group reference covers secondary addresses and delegated prefixes", p =>
        [
            Apply(
                [Accepting("sg-a", "in 1 accept udp 53/53 sg-b"), Accepting("sg-b"), Accepting("sg-c")],
                Nic("e1", "sg-a"),
                Nic("e2", "sg-b"),
                Nic("e3", "sg-c")),
            new Ask(
                Udp("e2", p.E2, "e1", p.E1, 53),
                Udp("e2", p.E2Second, "e1", p.E1, 53),
                Udp("e2", p.E2Delegated, "e1", p.E1Second, 53),
                Udp("e3", p.E3, "e1", p.E1, 53).Dropped()),
        ]),
    ];

    internal static IEnumerable<Scenario> All => [.. Matching, .. Translated, .. Platform, .. Ambiguous];

    private static ScenarioStep[] ForeignSource(AddressPlan plan)
    {
        Apply routing = Apply([Accepting("sg-a")], Nic("e1", "sg-a"));
        routing.State.Vnics[0].DisableSourceDestinationCheck = true;
        return
        [
            Apply([Accepting("sg-a")], Nic("e1", "sg-a")),
            new Ask(
                Udp("e1", plan.Foreign, "out", plan.Seven, 53).Dropped(),
                Udp("e1", plan.E3, "out", plan.Seven, 53).Dropped(),
                Udp("e1", plan.E1Second, "out", plan.Seven, 53)),
            routing,
            new Ask(Udp("e1", plan.Foreign, "out", plan.Seven, 53)),
        ];
    }
}
