using static Agent.KernelTests.Scenarios.AddressPlan;
using static Agent.KernelTests.Scenarios.ScenarioStep;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Scenarios;

/// <summary>semantics.md 8.1. C18 needs time and is in <see cref="IdleSessionTests"/>.</summary>
internal static class CoreScenarios
{
    internal static readonly Scenario[] Priorities =
    [
        new("C01", "equal priority puts drop first, whichever group holds it", p =>
        [
            Apply(
                [
                    Accepting("sg-a", $"in 1 drop tcp 22/22 {p.TenNet}"),
                    Accepting("sg-b", $"in 1 accept tcp 22/22 {p.Any}"),
                ],
                Nic("e1", "sg-a", "sg-b")),
            new Ask(Tcp("out", p.Ten, "e1", p.E1, 22).Dropped(), Tcp("out", p.Seven, "e1", p.E1, 22)),
        ]),
        new("C02", "priority is the first sort key", p =>
        [
            Apply(
                [
                    Accepting("sg-a", $"in 2 drop tcp 22/22 {p.TenNet}"),
                    Accepting("sg-b", $"in 1 accept tcp 22/22 {p.Any}"),
                ],
                Nic("e1", "sg-a", "sg-b")),
            new Ask(Tcp("out", p.Ten, "e1", p.E1, 22)),
        ]),
        new("C03", "a weak allow is overridden by a strong deny of another group", p =>
        [
            Apply(
                [
                    Accepting("sg-a", $"in 1 drop all -1/-1 {p.Any}"),
                    Accepting("sg-b", $"in 100 accept tcp 80/80 {p.Any}"),
                ],
                Nic("e1", "sg-a", "sg-b")),
            new Ask(Tcp("out", p.Seven, "e1", p.E1, 80).Dropped()),
        ]),
        new("C16", "an advanced group may deny, and drop comes first", p =>
        [
            Apply(
                [Advanced("sg-ent", $"in 1 accept tcp 443/443 {p.Any}", $"in 1 drop tcp 443/443 {p.NineNet}")],
                Nic("e1", "sg-ent")),
            new Ask(Tcp("out", p.Nine, "e1", p.E1, 443).Dropped(), Tcp("out", p.Seven, "e1", p.E1, 443)),
        ]),
    ];

    internal static readonly Scenario[] InnerAccess =
    [
        new("C04", "same-group traffic is allowed whatever the rules say", p =>
        [
            Apply([Accepting("sg-a", $"in 1 drop all -1/-1 {p.Any}")], Nic("e1", "sg-a"), Nic("e2", "sg-a")),
            new Ask(
                Tcp("e2", p.E2, "e1", p.E1, 22),
                Udp("e2", p.E2, "e1", p.E1, 53),
                Echo("e2", p.E2, "e1", p.E1),
                Tcp("out", p.Seven, "e1", p.E1, 22).Dropped()),
        ]),
        new("C05", "a drop that names another group of the sender is ignored between members", p =>
        [
            Apply(
                [Accepting("sg-a", "in 1 drop tcp 22/22 sg-c"), Accepting("sg-c")],
                Nic("e1", "sg-a"),
                Nic("e2", "sg-a", "sg-c")),
            new Ask(Tcp("e2", p.E2, "e1", p.E1, 22)),
        ]),
        new("C06", "inner drop without rules isolates members", p =>
        [
            Apply([Isolating("sg-a")], Nic("e1", "sg-a"), Nic("e2", "sg-a")),
            new Ask(Tcp("e2", p.E2, "e1", p.E1, 22).Dropped(), Echo("e2", p.E2, "e1", p.E1).Dropped()),
        ]),
        new("C07", "a custom rule opens an isolated group again, for what it names", p =>
        [
            Apply(
                [Isolating("sg-a", $"in 1 accept tcp 3306/3306 {p.GuestNet}")], Nic("e1", "sg-a"), Nic("e2", "sg-a")),
            new Ask(
                Tcp("e2", p.E2, "e1", p.E1, 3306),
                Tcp("e2", p.E2, "e1", p.E1, 3307).Dropped(),
                Udp("e2", p.E2, "e1", p.E1, 3306).Dropped()),
        ]),
        new("C08", "one allowing group that both share is enough", p =>
        [
            Apply([Isolating("sg-a"), Accepting("sg-b")], Nic("e1", "sg-a", "sg-b"), Nic("e2", "sg-a", "sg-b")),
            new Ask(Tcp("e2", p.E2, "e1", p.E1, 22), Tcp("e1", p.E1, "e2", p.E2, 22)),
        ]),
        new("C09", "an allowing group of one side only is not shared", p =>
        [
            Apply([Isolating("sg-a"), Accepting("sg-b")], Nic("e1", "sg-a", "sg-b"), Nic("e2", "sg-a")),
            new Ask(Tcp("e2", p.E2, "e1", p.E1, 22).Dropped(), Tcp("e1", p.E1, "e2", p.E2, 22).Dropped()),
        ]),
        new("C10", "no shared group, no rule: closed", p =>
        [
            Apply([Accepting("sg-a"), Accepting("sg-b")], Nic("e1", "sg-a"), Nic("e2", "sg-b")),
            new Ask(Tcp("e2", p.E2, "e1", p.E1, 22).Dropped(), Udp("e2", p.E2, "e1", p.E1, 53).Dropped()),
        ]),
    ];

    internal static readonly Scenario[] Defaults =
    [
        new("C11", "a basic group without rules: closed inwards, open outwards", p =>
        [
            Apply([Accepting("sg-a")], Nic("e1", "sg-a")),
            new Ask(
                Tcp("out", p.Seven, "e1", p.E1, 80).Dropped(),
                Echo("out", p.Seven, "e1", p.E1).Dropped(),
                Tcp("e1", p.E1, "out", p.Seven, 80),
                Echo("e1", p.E1, "out", p.Seven)),
        ]),
        new("C12", "an outbound accept leaves the default allow as it is", p =>
        [
            Apply([Accepting("sg-a", $"out 1 accept tcp 443/443 {p.Any}")], Nic("e1", "sg-a")),
            new Ask(Udp("e1", p.E1, "out", p.Resolver, 53)),
        ]),
        new("C13", "an outbound drop at the weakest priority closes the rest", p =>
        [
            Apply(
                [Accepting("sg-a", $"out 1 accept tcp 443/443 {p.Any}", $"out 100 drop all -1/-1 {p.Any}")],
                Nic("e1", "sg-a")),
            new Ask(Tcp("e1", p.E1, "out", p.Seven, 80).Dropped(), Tcp("e1", p.E1, "out", p.Seven, 443)),
        ]),
        new("C14", "an advanced group without rules: closed both ways", p =>
        [
            Apply([Advanced("sg-ent")], Nic("e1", "sg-ent")),
            new Ask(
                Tcp("out", p.Seven, "e1", p.E1, 80).Dropped(),
                Udp("e1", p.E1, "out", p.Seven, 80).Dropped(),
                Udp("out", p.Seven, "e1", p.E1, 80).Dropped()),
        ]),
        new("C15", "an advanced group isolates its members", p =>
        [
            Apply([Advanced("sg-ent")], Nic("e1", "sg-ent"), Nic("e2", "sg-ent")),
            new Ask(Udp("e2", p.E2, "e1", p.E1, 80).Dropped(), Udp("e1", p.E1, "e2", p.E2, 80).Dropped()),
            // The receiving end alone: the sender is in a group that is open outwards.
            Apply([Advanced("sg-ent"), Accepting("sg-open")], Nic("e1", "sg-ent"), Nic("e2", "sg-open")),
            new Ask(Udp("e2", p.E2, "e1", p.E1, 80).Dropped()),
        ]),
        new("C17", "replies need no rule", p =>
        [
            Apply(
                [Accepting("sg-a", $"in 1 accept tcp 22/22 {Host(p.Seven)}", $"out 1 drop all -1/-1 {p.Any}")],
                Nic("e1", "sg-a")),
            new Open("ssh", Tcp("out", p.Seven, "e1", p.E1, 22)),
            new Both("ssh", Passes: true),
            new Ask(Tcp("out", p.Nine, "e1", p.E1, 22).Dropped(), Tcp("e1", p.E1, "out", p.Seven, 22).Dropped()),
        ]),
    ];

    internal static readonly Scenario[] Exemptions =
    [
        new("C19", "the metadata server is exempt", p =>
        [
            Apply([Advanced("sg-ent")], Nic("e1", "sg-ent")),
            new Ask(Tcp("e1", p.E1, "out", Metadata, 80), Tcp("e1", p.E1, "out", p.Resolver, 80).Dropped()),
        ])
        { OneFamily = true },
        new("C20", "the cloud's resolver is not exempt", p =>
        [
            Apply([Advanced("sg-ent", $"out 1 accept tcp 443/443 {p.Any}")], Nic("e1", "sg-ent")),
            new Ask(Udp("e1", p.E1, "out", CloudDns, 53).Dropped(), Tcp("e1", p.E1, "out", p.Seven, 443)),
        ])
        { OneFamily = true },
        new("C21", "path MTU errors about a live session pass", p =>
        [
            Apply([Accepting("sg-a", $"in 1 drop all -1/-1 {p.Any}")], Nic("e1", "sg-a")),
            new Ask(
                p.TooBig(ProbeKind.TooBigForUdp, "e1", p.E1, p.Seven),
                p.TooBig(ProbeKind.TooBigForTcp, "e1", p.E1, p.Seven)),
        ]),
        new("C22-unmarked", "a balancer without the fabric's mark is not exempt (with it: TrustedMarkTests)", p =>
        [
            Apply([Accepting("sg-a")], Nic("e1", "sg-a")),
            new Ask(Tcp("out", p.Seven, "e1", p.E1, 80).Dropped()),
        ]),
    ];

    internal static readonly Scenario[] Objects =
    [
        new("C23", "a group object matches internal addresses only", p =>
        [
            Apply(
                [
                    Accepting("sg-a", "in 1 accept tcp 80/80 sg-b"),
                    Accepting("sg-b"),
                ],
                Nic("e1", "sg-a"),
                Nic("e2", "sg-b")),
            new Ask([
                Tcp("e2", p.E2, "e1", p.E1, 80),
                Tcp("e2", p.E2, "e1", p.E1, 81).Dropped(),
                .. p.IsV4 ? [Tcp("e2", p.E2, "e1", Eip1, 80).Dropped()] : Array.Empty<Question>(),
            ]),
        ]),
        new("C24", "ICMP is IPv4, ICMPv6 is a protocol of its own", _ =>
        [
            Apply([Accepting("sg-a", "in 1 accept icmp -1/-1 0.0.0.0/0")], Nic("e1", "sg-a")),
            new Ask(Echo("out", V4.Seven, "e1", V4.E1), Echo("out", V6.Seven, "e1", V6.E1).Dropped()),
            Apply([Accepting("sg-a", "in 1 accept icmpv6 -1/-1 ::/0")], Nic("e1", "sg-a")),
            new Ask(Echo("out", V4.Seven, "e1", V4.E1).Dropped(), Echo("out", V6.Seven, "e1", V6.E1)),
        ])
        { OneFamily = true },
        new("C25", "the own side compares the private address behind the translation", p =>
        [
            Apply([Accepting("sg-a", $"in 1 accept tcp 22/22 {p.Any} own={Host(p.E1)}")], Nic("e1", "sg-a")),
            new Ask([
                Tcp("out", p.Seven, "e1", p.E1, 22),
                Tcp("out", p.Seven, "e1", p.E1Second, 22).Dropped(),
                .. p.IsV4 ? [Tcp("out", p.Seven, "e1", Eip1, 22)] : Array.Empty<Question>(),
            ]),
        ]),
    ];

    internal static IEnumerable<Scenario> All =>
        [.. Priorities, .. InnerAccess, .. Defaults, .. Exemptions, .. Objects];
}
