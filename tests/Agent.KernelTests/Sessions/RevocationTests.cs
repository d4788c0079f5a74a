using System.Diagnostics;
using System.Net;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>Routed vNICs.</summary>
public sealed class RevocationTests(SessionLab lab) : RevocationContract(lab), IClassFixture<SessionLab>;

/// <summary>vNICs that are ports of a bridge.</summary>
public sealed class BridgedRevocationTests(BridgedLab lab) : RevocationContract(lab), IClassFixture<BridgedLab>;

/// <summary>What a change takes away stops with its acknowledgement; what it leaves loses no packet.</summary>
public abstract class RevocationContract(SessionLab lab)
{
    private const string AnyV4 = "in 1 accept all -1/-1 0.0.0.0/0";
    private const string AnyV6 = "in 1 accept all -1/-1 ::/0";

    /// <summary>Every input of a verdict, with a change that takes e1's calls to e2 away, in both families.</summary>
    public static TheoryData<string> Inputs => new(Changes.Keys);

    private static readonly Dictionary<string, (Snapshot Allow, Snapshot Deny)> Changes = new()
    {
        ["a rule is removed"] = (SessionLab.CallsInto(AnyV4, AnyV6), SessionLab.CallsInto()),
        ["a drop is added"] = (
            SessionLab.CallsInto(AnyV4, AnyV6),
            SessionLab.CallsInto(AnyV4, AnyV6, "in 1 drop udp 1/65535 0.0.0.0/0", "in 1 drop udp 1/65535 ::/0")),
        ["a priority moves"] = (
            SessionLab.CallsInto(
                AnyV4, AnyV6, "in 2 drop udp 1/65535 10.0.0.0/8", "in 2 drop udp 1/65535 2001:db8::/32"),
            SessionLab.CallsInto(
                "in 3 accept all -1/-1 0.0.0.0/0", "in 3 accept all -1/-1 ::/0",
                "in 2 drop udp 1/65535 10.0.0.0/8", "in 2 drop udp 1/65535 2001:db8::/32")),
        ["the caller leaves a group"] = (
            With(SessionLab.CallsInto("in 1 accept all -1/-1 sg-d"), s => Group(s, "sg-d"), s => Join(s, "e1", "sg-d")),
            With(SessionLab.CallsInto("in 1 accept all -1/-1 sg-d"), s => Group(s, "sg-d"))),
        ["a listed member goes"] = (
            With(
                SessionLab.CallsInto("in 1 accept all -1/-1 sg-d"),
                s => Group(s, "sg-d", "10.0.0.8", "2001:db8:1::8")),
            With(SessionLab.CallsInto("in 1 accept all -1/-1 sg-d"), s => Group(s, "sg-d"))),
        ["a prefix list shrinks"] = (
            With(
                SessionLab.CallsInto("in 1 accept all -1/-1 pl-4", "in 1 accept all -1/-1 pl-6"),
                s => Lists(s, "10.0.0.0/24", "2001:db8:1::/64")),
            With(
                SessionLab.CallsInto("in 1 accept all -1/-1 pl-4", "in 1 accept all -1/-1 pl-6"),
                s => Lists(s, "10.9.0.0/24", "2001:db8:9::/64"))),
        ["a port list shrinks"] = (
            With(
                SessionLab.CallsInto("in 1 accept udp prl-1 0.0.0.0/0", "in 1 accept udp prl-1 ::/0"),
                s => Ports(s, "1/65535")),
            With(
                SessionLab.CallsInto("in 1 accept udp prl-1 0.0.0.0/0", "in 1 accept udp prl-1 ::/0"),
                s => Ports(s, "1/9"))),
        ["inner access is withdrawn"] = (
            With(SessionLab.CallsInto(), s => Join(s, "e1", "sg-b"), s => Inner(s, "sg-b", V1.Policy.Accept)),
            With(SessionLab.CallsInto(), s => Join(s, "e1", "sg-b"), s => Inner(s, "sg-b", V1.Policy.Drop))),
        ["the callee leaves a group"] = (
            With(SessionLab.CallsInto(), s => Group(s, "sg-d", AnyV4, AnyV6), s => Join(s, "e2", "sg-d")),
            With(SessionLab.CallsInto(), s => Group(s, "sg-d", AnyV4, AnyV6))),
        ["the caller's egress closes"] = (
            SessionLab.CallsInto(AnyV4, AnyV6),
            With(SessionLab.CallsInto(AnyV4, AnyV6), s => s.Groups[0].Rules.Add(
                States.Isolating(
                    "x", "out 1 drop udp 1/65535 10.0.0.5/32", "out 1 drop udp 1/65535 2001:db8:1::5/128")
                    .Rules))),
        ["the callee's vNIC is removed"] = (
            SessionLab.CallsInto(AnyV4, AnyV6),
            With(SessionLab.CallsInto(AnyV4, AnyV6), s => s.Vnics.RemoveAt(1))),
        ["the caller's address is taken away"] = (
            SessionLab.CallsInto(AnyV4, AnyV6),
            With(
                SessionLab.CallsInto(AnyV4, AnyV6),
                s => s.Vnics[0].Addresses.Remove("10.0.0.8"),
                s => s.Vnics[0].Addresses.Remove("2001:db8:1::8"))),
    };

    [Theory]
    [MemberData(nameof(Inputs))]
    public async Task Not_one_packet_passes_after_the_acknowledgement_and_innocent_sessions_lose_none(string change)
    {
        lab.Need();
        (Snapshot allow, Snapshot deny) = Changes[change];
        await lab.ApplyAsync(allow);
        bool callersAddress = change == "the caller's address is taken away";
        using Flood four = SessionLab.StartUdp(lab.E1, lab.E2, v4: true, 1000, FloodDirections.Both);
        using Flood six = SessionLab.StartUdp(lab.E1, lab.E2, v4: false, 1000, FloodDirections.Both);
        using Flood innocent =
            SessionLab.StartUdp(callersAddress ? lab.E2 : lab.E1, lab.E3, v4: true, 1000, FloodDirections.Both);
        await DaemonLab.UntilAsync("running floods", () =>
            four.Backward.Received > 50 && six.Backward.Received > 50 && innocent.Backward.Received > 50);
        await FlipAsync(allow, deny, rounds: 8, [four, six]);
        await innocent.StopAsync();

        Assert.Empty(SessionLab.Lost(innocent.Forward));
        Assert.Empty(SessionLab.Lost(innocent.Backward));
        await DaemonLab.UntilAsync("a session that is allowed again goes on", () => Resumed(four) && Resumed(six));

        static bool Resumed(Flood flood) => flood.Forward.LastSequence > flood.Forward.Sent - 200
            && flood.Backward.LastSequence > flood.Backward.Sent - 200;
    }

    [Fact]
    public async Task Hundreds_of_flips_under_floods_leak_nothing_and_cost_the_innocent_nothing()
    {
        lab.Need();
        int rate = 1000 / Pace.Slowdown; // of packets that an emulated processor can still send and receive
        int rounds = Pace.Slowdown > 1 ? 20 : 100;
        Snapshot allow = SessionLab.CallsInto(AnyV4, AnyV6);
        Snapshot deny = SessionLab.CallsInto();
        await lab.ApplyAsync(allow);
        using Flood both = SessionLab.StartUdp(lab.E1, lab.E2, v4: true, rate, FloodDirections.Both);
        using Flood replies = SessionLab.StartUdp(lab.E1, lab.E2, v4: false, rate, FloodDirections.Both);
        using Flood innocent = SessionLab.StartUdp(lab.E1, lab.E3, v4: true, rate, FloodDirections.Both);
        using TcpStream session = await SessionLab.ConnectAsync(lab.E1, lab.E3, v4: false);
        using Flood writers = Flood.StartTcp(session, rate / 2);
        await DaemonLab.UntilAsync(
            "running floods", () => both.Backward.Received > 50 && replies.Backward.Received > 50);
        int before = DroppedAt(lab.E1) + DroppedAt(lab.E3);
        await FlipAsync(allow, deny, rounds, [both, replies]);
        await innocent.StopAsync();
        await writers.StopAsync();

        Assert.Empty(SessionLab.Lost(innocent.Forward));
        Assert.Empty(SessionLab.Lost(innocent.Backward));
        Assert.Empty(SessionLab.Lost(writers.Forward));
        Assert.Equal(before, DroppedAt(lab.E1) + DroppedAt(lab.E3));

        int DroppedAt(Guest guest) => CountedDrops.At(lab.Lab.Network.Host, guest.HostDevice);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stream_of_replies_alone_is_cut_and_does_not_reopen_its_session(bool v4)
    {
        lab.Need();
        Snapshot allow = SessionLab.CallsInto(AnyV4, AnyV6);
        await lab.ApplyAsync(allow);
        using UdpConversation talk = UdpConversation.Open(
            lab.E1, v4 ? lab.E1.V4 : lab.E1.V6, lab.E2, new IPEndPoint(v4 ? lab.E2.V4 : lab.E2.V6, PortNumbers.Next()));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait));
        Assert.True(await talk.ServerSendsAsync(Probe.PassWait));
        await lab.ApplyAsync(SessionLab.CallsInto());
        for (int i = 0; i < 5; i++)
        {
            Assert.False(await talk.ServerSendsAsync());
        }

        await lab.ApplyAsync(allow);
        Assert.True(await talk.ServerSendsAsync(Probe.PassWait));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_server_that_goes_on_writing_reaches_nobody_until_it_is_allowed_again(bool v4)
    {
        lab.Need();
        Snapshot allow = SessionLab.CallsInto("in 1 accept tcp 22/22 0.0.0.0/0", "in 1 accept tcp 22/22 ::/0");
        await lab.ApplyAsync(allow);
        using TcpStream stream = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
        using Flood writer = Flood.StartTcp(stream, 500, FloodDirections.Backward);
        await DaemonLab.UntilAsync("a writing server", () => writer.Backward.Received > 20);

        (_, long acked) = await lab.ApplyAsync(SessionLab.CallsInto());
        // What was read from the wire before may still be on its way to the reader.
        await DaemonLab.UntilAsync("a server that goes on", () => writer.Backward.Sent > 0
            && Stopwatch.GetElapsedTime(acked) > TimeSpan.FromMilliseconds(300));
        Assert.Empty(writer.Backward.SentAfter(acked));
        await lab.ApplyAsync(allow);
        await DaemonLab.UntilAsync(
            "a session that is allowed again goes on", () => writer.Backward.SentAfter(acked).Length > 0);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Echo_and_other_protocols_stop_too(bool v4)
    {
        lab.Need();
        Snapshot allow = SessionLab.CallsInto(AnyV4, AnyV6);
        await lab.ApplyAsync(allow);
        Probe probe = lab.Lab.Probe;
        (IPAddress source, IPAddress target) = v4 ? (lab.E1.V4, lab.E2.V4) : (lab.E1.V6, lab.E2.V6);
        byte[] echo = Packets.Echo(source, target, 77, 1, Probe.Payload());
        byte[] answer = Packets.Echo(target, source, 77, 1, Probe.Payload(), reply: true);
        foreach (Snapshot state in (Snapshot[])[allow, SessionLab.CallsInto(), allow])
        {
            await lab.ApplyAsync(state);
            bool passes = ReferenceEquals(state, allow);
            TimeSpan wait = passes ? Probe.PassWait : Probe.DropWait;
            bool[] seen = await Task.WhenAll(
                probe.PacketArrivesAsync(lab.E1, echo, lab.E2, wait),
                probe.ProtocolArrivesAsync(lab.E1, source, lab.E2, target, 47, wait),
                probe.ProtocolArrivesAsync(lab.E1, source, lab.E2, target, 50, wait));
            Assert.All(seen, arrived => Assert.Equal(passes, arrived));
            // The replies of those very sessions.
            bool[] replies = await Task.WhenAll(
                probe.PacketArrivesAsync(lab.E2, answer, lab.E1, wait),
                probe.ProtocolArrivesAsync(lab.E2, target, lab.E1, source, 47, wait),
                probe.ProtocolArrivesAsync(lab.E2, target, lab.E1, source, 50, wait));
            Assert.Equal([passes, passes, passes], replies);
        }
    }

    [Fact]
    public async Task An_edit_without_effect_judges_nothing_again()
    {
        lab.Need();
        string[] rules = ["in 5 accept tcp 22/22 10.0.0.0/8", "in 5 accept udp 53/53 ::/0"];
        await lab.ApplyAsync(SessionLab.CallsInto(rules));
        Snapshot[] edits =
        [
            SessionLab.CallsInto([.. rules, "in 9 drop tcp 22/22 10.0.0.0/16"]), // shadowed
            SessionLab.CallsInto([.. rules, "in 1 accept tcp 80/80 0.0.0.0/0"]), // more, not less
            SessionLab.CallsInto([.. rules.Reverse(), "in 1 accept tcp 80/80 0.0.0.0/0"]), // other ids
            With(SessionLab.CallsInto([.. rules, "in 1 accept tcp 80/80 0.0.0.0/0"]), s => Group(s, "sg-z")),
            With(
                SessionLab.CallsInto([.. rules, "in 1 accept tcp 80/80 0.0.0.0/0"]),
                s => s.Groups[1].Description = "other words"),
        ];
        foreach (Snapshot edit in edits)
        {
            (Accepted answer, _) = await lab.ApplyAsync(edit);
            Assert.False(answer.Changes.SessionsRevalidated);
        }

        (Accepted last, _) = await lab.ApplyAsync(SessionLab.CallsInto(rules));
        Assert.True(last.Changes.SessionsRevalidated);
    }

    /// <summary>Takes the sessions away and gives them back, and looks into every time between.</summary>
    private async Task FlipAsync(Snapshot allow, Snapshot deny, int rounds, Flood[] floods)
    {
        for (int round = 0; round < rounds; round++)
        {
            (Accepted answer, long denied) = await lab.ApplyAsync(deny);
            Assert.True(answer.Changes.SessionsRevalidated);
            long sent = floods[0].Forward.Sent;
            await DaemonLab.UntilAsync("more of the flood", () => floods[0].Forward.Sent > sent + 10);
            long allowing = Stopwatch.GetTimestamp();
            await lab.ApplyAsync(allow);
            foreach (Flood flood in floods)
            {
                Assert.Empty(flood.Forward.SentBetween(denied, allowing));
                Assert.Empty(flood.Backward.SentBetween(denied, allowing));
            }
        }
    }

    private static Snapshot With(Snapshot state, params Action<Snapshot>[] changes)
    {
        foreach (Action<Snapshot> change in changes)
        {
            change(state);
        }

        return state;
    }

    /// <summary>Words that begin with "in" or "out" are rules, others members.</summary>
    private static void Group(Snapshot state, string id, params string[] words)
    {
        V1.SecurityGroup group = States.Isolating(id, [.. words.Where(w => w.Contains(' ', StringComparison.Ordinal))]);
        group.Members.Add(words.Where(w => !w.Contains(' ', StringComparison.Ordinal)));
        state.Groups.Add(group);
    }

    private static void Join(Snapshot state, string nic, string group) =>
        state.Vnics.Single(v => v.Id == $"eni-{nic}").GroupIds.Add(group);

    private static void Inner(Snapshot state, string group, V1.Policy policy) =>
        state.Groups.Single(g => g.Id == group).InnerAccessPolicy = policy;

    private static void Lists(Snapshot state, string v4, string v6)
    {
        state.PrefixLists.Add(
            new PrefixList { Id = "pl-4", Family = IpFamily.Ipv4, MaxEntries = 10, Entries = { v4 } });
        state.PrefixLists.Add(
            new PrefixList { Id = "pl-6", Family = IpFamily.Ipv6, MaxEntries = 10, Entries = { v6 } });
    }

    private static void Ports(Snapshot state, string range) =>
        state.PortLists.Add(new PortList { Id = "prl-1", MaxEntries = 10, Entries = { range } });
}
