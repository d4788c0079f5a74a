using System.Net;
using Agent.KernelTests.Scenarios;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Hosts;

/// <summary>What the host asks of a guest is subject to the guest's ingress rules (semantics.md E21, 9.16).</summary>
public sealed class HealthCheckTests(HostLab lab) : IClassFixture<HostLab>
{
    private const int Port = 7000;

    // The host's own checks; nothing may leave the guest but answers.
    private static readonly string[] Checks =
    [
        $"in 1 accept tcp 22/22 {HostLab.V4}/32", $"in 1 accept tcp 22/22 {HostLab.V6}/128",
        $"in 1 accept udp {Port}/{Port} {HostLab.V4}/32", $"in 1 accept udp {Port}/{Port} {HostLab.V6}/128",
        $"in 1 accept icmp -1/-1 {HostLab.V4}/32", $"in 1 accept icmpv6 -1/-1 {HostLab.V6}/128",
    ];

    private static Snapshot State(params string[] rules) =>
        States.Apply([States.Advanced("sg-a", rules)], States.Nic("e1", "sg-a")).State.Clone();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_check_passes_by_a_rule_alone(bool v4)
    {
        lab.Forget();
        await lab.ApplyAsync(State());
        await lab.DropFromHostAsync(lab.E1, "tap-e1 to_default", HostLab.Openers(Host(v4), Own(v4), Port));
        await lab.ApplyAsync(State(Checks));
        Shot[] checks = HostLab.Openers(Host(v4), Own(v4), Port);
        await lab.PassFromHostAsync(lab.E1, [.. checks.Where(shot => shot.Name is "UDP" or "echo")]);
        await lab.DropFromHostAsync(
            lab.E1, "tap-e1 to_default", [.. checks.Where(shot => shot.Name is not ("UDP" or "echo"))]);
        Assert.True(await Probe.TcpConnectsAsync(
            new TcpRoute(lab.Self, new IPEndPoint(Own(v4), 22), lab.E1), Probe.PassWait));
        // Another address of the same host is not the one that the rule names.
        IPAddress other = IPAddress.Parse(v4 ? HostLab.HostMetadataV4 : HostLab.HostMetadataV6);
        await lab.DropFromHostAsync(lab.E1, "tap-e1 to_default", HostLab.Openers(other, Own(v4), Port));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_answer_comes_back_through_a_closed_host_after_a_change_too(bool v4)
    {
        await lab.ServeAsync();
        await lab.ApplyAsync(State([.. Checks, "in 1 accept udp 9/9 0.0.0.0/0"]));
        using Check check = await Check.OpenAsync(lab, v4);
        await check.GuestFirstAsync(passes: true);
        (Accepted answer, _) = await lab.ApplyAsync(State(Checks));
        Assert.True(answer.Changes.SessionsRevalidated);
        SortedDictionary<string, int> before = lab.Drops.Read();
        await check.GuestFirstAsync(passes: true);
        Assert.Equal(before, lab.Drops.Read());
        // It was the host who asked: the guest opens nothing of its own there.
        await lab.DropToHostAsync(lab.E1, "tap-e1 from_default", HostLab.Openers(Own(v4), Host(v4), Port));
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task A_check_whose_rule_goes_is_cut_whoever_speaks_first(bool v4, bool guestFirst)
    {
        await lab.ApplyAsync(State(Checks));
        using Check check = await Check.OpenAsync(lab, v4);
        await lab.ApplyAsync(State());
        await (guestFirst ? check.GuestFirstAsync(passes: false) : check.HostFirstAsync(passes: false));
        await (guestFirst ? check.HostFirstAsync(passes: false) : check.GuestFirstAsync(passes: false));
        await lab.ApplyAsync(State(Checks));
        await check.GuestFirstAsync(passes: true);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_trusted_mark_exempts_what_goes_to_a_guest_and_nothing_that_comes_from_one(bool v4)
    {
        await lab.ServeAsync();
        await lab.ApplyAsync(State());
        lab.Forget();
        lab.Lab.Network.Host.Nft(
            "table inet fabric {\n"
            + " chain sent { type filter hook output priority -310\n"
            + $"  th dport {Port} meta mark set {HostLab.TrustedMark}\n }}\n"
            + " chain arriving { type filter hook prerouting priority -310\n"
            + $"  iifname \"tap-e1\" meta mark set {HostLab.TrustedMark}\n }}\n}}\n");
        try
        {
            using UdpConversation probe = UdpConversation.Open(
                lab.Self, Host(v4), lab.E1, new IPEndPoint(Own(v4), Port));
            Assert.True(await probe.ClientSendsAsync(Probe.PassWait), "marked");
            Assert.True(await probe.ServerSendsAsync(Probe.PassWait), "its answer");
            await lab.DropFromHostAsync(
                lab.E1, "tap-e1 to_default", [.. HostLab.Openers(Host(v4), Own(v4), Port + 1).Take(2)]);

            // The same mark on what the guest sends: its egress rules, and the host's gate, do not look at it.
            await lab.DropToHostAsync(lab.E1, "tap-e1 from_default", HostLab.Openers(Own(v4), Host(v4), Port));
            await lab.Volley.DropAsync(
                lab.E1, lab.Outsider, "tap-e1 from_default", HostLab.Openers(Own(v4), World(v4), Port));
            string any = v4 ? "out 1 accept all -1/-1 0.0.0.0/0" : "out 1 accept all -1/-1 ::/0";
            await lab.ApplyAsync(State(any));
            await lab.DropToHostAsync(lab.E1, "tap-e1 from_host", HostLab.Openers(Own(v4), Host(v4), Port));

            // After a change only the mark speaks for the session, and only the host carries it.
            await lab.ApplyAsync(State());
            Assert.False(await probe.ServerSendsAsync(), "no rule, no mark");
            Assert.True(await probe.ClientSendsAsync(Probe.PassWait));
            Assert.True(await probe.ServerSendsAsync(Probe.PassWait));
        }
        finally
        {
            lab.Lab.Network.Host.Nft("delete table inet fabric\n");
        }
    }

    private static IPAddress Host(bool v4) => IPAddress.Parse(v4 ? HostLab.V4 : HostLab.V6);

    private IPAddress Own(bool v4) => v4 ? lab.E1.V4 : lab.E1.V6;

    private IPAddress World(bool v4) => v4 ? lab.Outsider.V4 : lab.Outsider.V6;

    /// <summary>One session of each kind that the host opened with e1.</summary>
    private sealed class Check : IDisposable
    {
        private readonly HostLab lab;
        private readonly TcpStream stream;
        private readonly UdpConversation talk;
        private readonly Shot question;
        private readonly Shot answer;

        private Check(HostLab lab, TcpStream stream, UdpConversation talk, IPAddress host, IPAddress guest)
        {
            (this.lab, this.stream, this.talk) = (lab, stream, talk);
            int identifier = PortNumbers.Next();
            byte[] payload = Probe.Payload();
            question = new Shot("echo", Packets.Echo(host, guest, identifier, 1, payload));
            answer = new Shot("echo reply", Packets.Echo(guest, host, identifier, 1, payload, reply: true));
        }

        public static async Task<Check> OpenAsync(HostLab lab, bool v4)
        {
            (IPAddress host, IPAddress guest) = (Host(v4), v4 ? lab.E1.V4 : lab.E1.V6);
            TcpStream? stream = await Probe.ConnectAsync(
                new TcpRoute(lab.Self, new IPEndPoint(guest, 22), lab.E1), Probe.PassWait);
            Assert.NotNull(stream);
            Check check = new(
                lab, stream, UdpConversation.Open(lab.Self, host, lab.E1, new IPEndPoint(guest, Port)), host, guest);
            await check.HostFirstAsync(passes: true);
            return check;
        }

        public Task HostFirstAsync(bool passes) => SendAsync(passes, hostFirst: true);

        public Task GuestFirstAsync(bool passes) => SendAsync(passes, hostFirst: false);

        public void Dispose()
        {
            stream.Dispose();
            talk.Dispose();
        }

        private async Task SendAsync(bool passes, bool hostFirst)
        {
            TimeSpan wait = passes ? Probe.PassWait : Probe.DropWait;
            bool[] host = [];
            bool[] guest = [];
            foreach (bool turn in (bool[])[hostFirst, !hostFirst])
            {
                if (turn)
                {
                    host =
                    [
                        await stream.ClientSendsAsync(wait), await talk.ClientSendsAsync(wait),
                        (await lab.FromHostAsync(lab.E1, question)).Arrived.Length == 1,
                    ];
                }
                else
                {
                    (int passed, _) = await lab.ToHostAsync(lab.E1, answer);
                    guest =
                    [
                        await stream.ServerSendsAsync(wait), await talk.ServerSendsAsync(wait), passed > 0,
                    ];
                }
            }

            Assert.Equal([passes, passes, passes], host);
            Assert.Equal([passes, passes, passes], guest);
        }
    }
}
