using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Policy;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Sessions;

/// <summary>What the specification says of sessions, one sentence a test.</summary>
public sealed class SessionOracleTests
{
    private static readonly Way In = new("uplink0", "tap-one");
    private static readonly Way Out = new("tap-one", "uplink0");
    private static readonly Way Across = new("tap-two", "tap-one");
    private static readonly Way Back = new("tap-one", "tap-two");

    private const string Web = "in 1 accept tcp 80/80 0.0.0.0/0";
    private const string Dns = "in 1 accept udp 53/53 0.0.0.0/0";

    [Fact]
    public void Replies_need_no_rule_and_strangers_do()
    {
        var host = new Host(Policy(["out 1 drop all -1/-1 0.0.0.0/0", Web]));
        Assert.Equal(SessionReason.Policy, host.Passes(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Syn)));
        Assert.Equal(SessionReason.Live,
            host.Passes(Out, Tcp("10.0.0.1", 80, "198.51.100.7", 4000, TcpFlags.Syn | TcpFlags.Ack)));
        Assert.Equal(SessionReason.Live, host.Passes(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Ack)));
        Assert.Equal(SessionReason.Policy, host.Drops(Out, Tcp("10.0.0.1", 81, "198.51.100.7", 4000, TcpFlags.Syn)));
        Assert.Equal(SessionReason.NotSyn, host.Drops(In, Tcp("198.51.100.7", 4001, "10.0.0.1", 80, TcpFlags.Ack)));
        Assert.Equal(SessionReason.Invalid, host.Drops(In, Tcp("198.51.100.7", 4002, "10.0.0.1", 80, TcpFlags.Rst)));
    }

    [Fact]
    public void What_a_change_takes_away_stops_both_ways_and_what_it_leaves_goes_on()
    {
        var host = new Host(Policy([Dns, "in 1 accept udp 54/54 0.0.0.0/0"]));
        SessionPacket kept = Udp("198.51.100.7", 4000, "10.0.0.1", 53);
        SessionPacket lost = Udp("198.51.100.7", 4000, "10.0.0.1", 54);
        foreach (SessionPacket packet in (SessionPacket[])[kept, lost])
        {
            host.Passes(In, packet);
            Assert.Equal(SessionReason.Live, host.Passes(Out, Reply(packet)));
        }

        host.Change(Policy([Dns]));
        Assert.Equal(SessionReason.NotLive, host.Drops(In, About(Reply(kept)))); // its own packet comes first
        SessionAnswer answer = host.Ask(Out, Reply(lost));
        Assert.Equal((SessionReason.Policy, "one", Direction.Ingress), (answer.Reason, answer.VnicId, answer.Asked));
        Assert.False(answer.Accepted);
        host.Drops(In, lost);
        Assert.Equal(SessionReason.Policy, host.Passes(Out, Reply(kept)));
        Assert.Equal(SessionReason.Live, host.Passes(In, kept));
        Assert.Equal(SessionReason.RelatedToLive, host.Passes(In, About(Reply(kept))));

        // The entry lives on: allowed again, the session is the same one.
        host.Change(Policy([Dns, "in 1 accept udp 54/54 0.0.0.0/0"]));
        Assert.Equal(SessionReason.Policy, host.Passes(Out, Reply(lost)));
    }

    [Fact]
    public void Keep_keeps_what_was_allowed()
    {
        var host = new Host(Policy([Dns]));
        host.Passes(In, Udp("198.51.100.7", 4000, "10.0.0.1", 53));
        host.Passes(Out, Reply(Udp("198.51.100.7", 4000, "10.0.0.1", 53)));
        host.Change(Policy([]), restricted: false);
        Assert.Equal(SessionReason.Live, host.Passes(In, Udp("198.51.100.7", 4000, "10.0.0.1", 53)));
        host.Drops(In, Udp("198.51.100.7", 4001, "10.0.0.1", 53));
    }

    [Fact]
    public void Between_two_guests_both_ends_are_asked_again()
    {
        SessionPacket call = Udp("10.0.0.2", 4000, "10.0.0.1", 53);
        var host = new Host(Policy([Dns]));
        host.Passes(Across, call);
        host.Passes(Back, Reply(call));
        host.Change(Policy([Dns], ["out 1 drop udp 53/53 0.0.0.0/0"]));
        SessionAnswer answer = host.Ask(Back, Reply(call));
        Assert.Equal(("two", Direction.Egress, false), (answer.VnicId, answer.Asked, answer.Accepted));
        Assert.Equal(SessionReason.Policy, host.Drops(Across, call));
    }

    [Fact]
    public void A_dropped_packet_leaves_no_session_behind()
    {
        var host = new Host(Policy([]));
        host.Drops(In, Udp("198.51.100.7", 4000, "10.0.0.1", 53));
        Assert.Empty(host.Table.Sessions);
        SessionAnswer answer = host.Ask(Out, Udp("10.0.0.1", 53, "198.51.100.7", 4000));
        Assert.True(answer is { Accepted: true, Opens: true, Asked: Direction.Egress });
    }

    [Fact]
    public void Idle_sessions_end_by_the_times_of_the_vnic()
    {
        SessionTimeouts times = new() { UdpSeconds = 60, TcpEstablishedSeconds = 100, TcpClosedAndTimeWaitSeconds = 5 };
        var host = new Host(Policy([Dns, Web], times: times));
        SessionPacket udp = Udp("198.51.100.7", 4000, "10.0.0.1", 53);
        host.Passes(In, udp);
        host.Now += 59;
        Assert.Equal(SessionReason.Live, host.Passes(Out, Reply(udp)));
        host.Now += 60;
        Assert.True(host.Ask(Out, Reply(udp)) is { Opens: true });

        host.Establish(4000);
        host.Now += 99;
        Assert.Equal(SessionReason.Live, host.Passes(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Ack)));
        host.Passes(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Rst));
        host.Now += 5;
        Assert.Equal(SessionReason.NotSyn, host.Drops(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Ack)));
    }

    [Fact]
    public void A_vnic_has_as_many_sessions_as_it_may_have()
    {
        var host = new Host(Policy([Dns, Web], max: 2));
        host.Passes(In, Udp("198.51.100.7", 1, "10.0.0.1", 53));
        host.Establish(4000);
        Assert.Equal(SessionReason.Limit, host.Drops(In, Udp("198.51.100.7", 2, "10.0.0.1", 53)));
        Assert.Equal(SessionReason.Limit, host.Drops(Out, Udp("10.0.0.1", 9, "198.51.100.7", 9)));
        host.Passes(In, Udp("198.51.100.7", 1, "10.0.0.1", 53)); // one that it has
        host.Passes(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Rst)); // over: it counts no more
        host.Passes(In, Udp("198.51.100.7", 2, "10.0.0.1", 53));
        Assert.Equal(SessionReason.Limit, host.Drops(In, Udp("198.51.100.7", 3, "10.0.0.1", 53)));
        host.Now += 31;
        host.Passes(In, Udp("198.51.100.7", 3, "10.0.0.1", 53));
    }

    [Fact]
    public void A_session_in_mid_stream_is_taken_over_only_where_that_is_wanted()
    {
        SessionPacket middle = Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Ack);
        Assert.Equal(SessionReason.NotSyn, new Host(Policy([Web])).Drops(In, middle));
        var host = new Host(Policy([Web]), HostSettings.Default with { Adopting = ["one"] });
        Assert.Equal(SessionReason.Policy, host.Passes(In, middle));
        Assert.Equal(SessionReason.Live, host.Passes(Out, Reply(middle)));
        host.Drops(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 81, TcpFlags.Ack)); // rules are asked all the same
    }

    [Fact]
    public void The_host_takes_what_it_offers()
    {
        PolicySettings settings = PolicySettings.Default with { HostServices = [HostService.Parse("udp/53")!.Value] };
        var host = new Host(Policy([]), settings: settings);
        var toHost = new Way("tap-one", "");
        host.Passes(toHost, Udp("10.0.0.1", 4000, "10.0.0.254", 53));
        Assert.Equal(SessionReason.Host, host.Drops(toHost, Udp("10.0.0.1", 4000, "10.0.0.254", 54)));
        host.Passes(toHost, Tcp("10.0.0.1", 4000, "100.100.100.200", 80, TcpFlags.Syn));
        Assert.Equal(SessionReason.Infrastructure, host.Passes(toHost, Udp("0.0.0.0", 68, "255.255.255.255", 67)));
        Assert.Equal(
            SessionReason.Infrastructure, host.Passes(new Way("", "tap-one"), Udp("10.0.0.254", 67, "10.0.0.1", 68)));
        host.Drops(new Way("uplink0", "tap-one"), Udp("10.0.0.253", 67, "10.0.0.1", 68)); // another server
    }

    [Fact]
    public void What_the_fabric_vouches_for_passes_the_receiver()
    {
        var host = new Host(Policy([]), settings: PolicySettings.Default with { TrustedMarks = [0x77] });
        SessionPacket probe = Udp("198.51.100.7", 4000, "10.0.0.1", 53);
        host.Drops(In, probe);
        Assert.Equal(SessionReason.TrustedMark, host.Passes(In, probe with { Mark = 0x77 }));
        Assert.Equal(SessionReason.Live, host.Passes(Out, Reply(probe)));
    }

    [Fact]
    public void A_redirect_is_no_error()
    {
        var host = new Host(Policy([Dns]));
        SessionPacket call = Udp("198.51.100.7", 4000, "10.0.0.1", 53);
        host.Passes(In, call);
        Assert.Equal(SessionReason.RelatedToLive, host.Passes(In, About(Reply(call))));
        Assert.Equal(SessionReason.NotLive, host.Drops(In, About(Reply(call), type: 5)));
        Assert.Equal(SessionReason.Invalid, host.Drops(In, About(Reply(Udp("198.51.100.7", 4001, "10.0.0.1", 53)))));
        Assert.Equal(SessionReason.Invalid, host.Drops(In, About(call))); // it is for the one who has sent
    }

    /// <summary>
    /// Found against Linux 6.18: what acknowledges somebody whom nobody has heard is invalid, and a reset of what was
    /// reset already does not count as hearing.
    /// </summary>
    [Fact]
    public void After_a_reset_nothing_acknowledges_what_was_never_heard()
    {
        var host = new Host(Policy([Web]));
        host.Passes(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Syn));
        host.Passes(Out, Tcp("10.0.0.1", 80, "198.51.100.7", 4000, TcpFlags.Ack)); // ignored: no SYN of its own
        host.Passes(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Rst));
        Assert.Equal(SessionReason.Invalid,
            host.Drops(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Fin | TcpFlags.Ack)));
        host.Passes(Out, Tcp("10.0.0.1", 80, "198.51.100.7", 4000, TcpFlags.Rst));
        Assert.Equal(SessionReason.Invalid,
            host.Drops(In, Tcp("198.51.100.7", 4000, "10.0.0.1", 80, TcpFlags.Ack)));
    }

    [Fact]
    public void A_protocol_without_a_model_is_unknown()
    {
        SessionAnswer answer = new Host(Policy([])).Ask(
            In, new SessionPacket(PacketTuple.Of("198.51.100.7", "10.0.0.1", 132)));
        Assert.Equal((HookVerdict.Unknown, SessionReason.NotModelled), (answer.Verdict, answer.Reason));
    }

    private static PolicySnapshot Policy(
        string[] one, string[]? two = null, SessionTimeouts? times = null, int? max = null) => new PolicyBuilder()
        .Basic("a", Verdict.Drop, one)
        .Basic("b", Verdict.Drop, two ?? [])
        .Nic("one", "10.0.0.1", "a", vnic => vnic with { Timeouts = times ?? vnic.Timeouts, MaxSessions = max })
        .Nic("two", "10.0.0.2", "b").Build();

    private static SessionPacket Udp(string from, ushort fromPort, string to, ushort toPort) =>
        new(PacketTuple.Of(from, to, IpProtocol.Udp, fromPort, toPort));

    private static SessionPacket Tcp(string from, ushort fromPort, string to, ushort toPort, TcpFlags flags) =>
        new(PacketTuple.Of(from, to, IpProtocol.Tcp, fromPort, toPort))
        {
            Shape = PacketShape.Default with { Tcp = flags },
        };

    private static SessionPacket Reply(SessionPacket packet) => packet with { Tuple = packet.Tuple.Reversed };

    /// <summary>From a router outside, to whoever has sent the quoted packet.</summary>
    private static SessionPacket About(SessionPacket quoted, byte type = 3) =>
        new(PacketTuple.Of("203.0.113.1", "10.0.0.1", IpProtocol.Icmp))
        {
            Shape = PacketShape.Default with { IcmpType = type },
            Quoted = quoted,
        };

    private sealed class Host(PolicySnapshot policy, HostSettings? host = null, PolicySettings? settings = null)
    {
        private SessionOracle oracle = new(policy, settings ?? PolicySettings.Default, host ?? HostSettings.Default);

        public SessionTable Table { get; private set; } = SessionTable.Empty;

        /// <summary>Seconds.</summary>
        public double Now { get; set; }

        public void Change(PolicySnapshot next, bool restricted = true)
        {
            oracle = new SessionOracle(next, settings ?? PolicySettings.Default, host ?? HostSettings.Default);
            Table = restricted ? Table.Restricted() : Table;
        }

        public SessionAnswer Ask(Way way, SessionPacket packet)
        {
            (SessionAnswer answer, Table) = oracle.Judge(Table, way, packet, TimeSpan.FromSeconds(Now));
            return answer;
        }

        public SessionReason Passes(Way way, SessionPacket packet)
        {
            SessionAnswer answer = Ask(way, packet);
            Assert.True(answer.Accepted, $"{packet}: {answer}");
            return answer.Reason;
        }

        public SessionReason Drops(Way way, SessionPacket packet)
        {
            SessionAnswer answer = Ask(way, packet);
            Assert.True(answer.Verdict == HookVerdict.Drop, $"{packet}: {answer}");
            return answer.Reason;
        }

        public void Establish(ushort port)
        {
            Passes(In, Tcp("198.51.100.7", port, "10.0.0.1", 80, TcpFlags.Syn));
            Passes(Out, Tcp("10.0.0.1", 80, "198.51.100.7", port, TcpFlags.Syn | TcpFlags.Ack));
            Passes(In, Tcp("198.51.100.7", port, "10.0.0.1", 80, TcpFlags.Ack));
        }
    }
}
