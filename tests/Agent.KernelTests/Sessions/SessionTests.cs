using System.Net;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>Idle times, limits, and a table that is full.</summary>
public sealed class SessionTests
{
    private const byte Esp = 50;

    private static IPAddress World => IPAddress.Parse(AddressPlan.V4.Seven);

    [Fact]
    public async Task A_session_gets_the_idle_time_of_its_protocol()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(Open());
        using TcpStream stream = await ConnectAsync(lab);
        Assert.True(await stream.ClientSendsAsync(Probe.PassWait));
        using UdpConversation talk = Talk(lab, 5300);
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait) && await talk.ServerSendsAsync(Probe.PassWait));
        Assert.True(await lab.Probe.EchoReturnsAsync(lab.Network.Outsider, World, lab.E1.V4, Probe.PassWait));
        Assert.True(await lab.Probe.EchoReturnsAsync(
            lab.Network.Outsider, IPAddress.Parse(AddressPlan.V6.Seven), lab.E1.V6, Probe.PassWait));
        Assert.True(await lab.Probe.ProtocolArrivesAsync(
            lab.Network.Outsider, World, lab.E1, lab.E1.V4, 47, Probe.PassWait));
        Assert.True(await lab.Probe.ProtocolArrivesAsync(
            lab.Network.Outsider, World, lab.E1, lab.E1.V4, Esp, Probe.PassWait));

        Dictionary<byte, uint> left = Conntrack.List(lab.Network.Host)
            .GroupBy(entry => entry.Protocol)
            .ToDictionary(group => group.Key, group => group.Max(entry => entry.Seconds));
        Assert.InRange(left[6], 880u, 910u);
        Assert.InRange(left[17], 1u, 30u);
        Assert.InRange(left[1], 1u, 30u);
        Assert.InRange(left[58], 1u, 30u);
        Assert.InRange(left[47], 1u, 30u);
        Assert.InRange(left[Esp], 1u, 30u); // conntrack.manage_sysctls
        Assert.Equal("30", lab.Network.Host.ReadSysctl("net/netfilter/nf_conntrack_generic_timeout"));
        Assert.DoesNotContain(
            (await lab.StatusAsync()).Alarms,
            alarm => alarm.Contains("timeout", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Sysctls_that_may_not_be_written_are_an_alarm()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(
            c => c["conntrack"] = new System.Text.Json.Nodes.JsonObject { ["manage_sysctls"] = false });
        Assert.NotEqual("30", lab.Network.Host.ReadSysctl("net/netfilter/nf_conntrack_generic_timeout"));
        Assert.Contains((await lab.StatusAsync()).Alarms,
            alarm => alarm.Contains("nf_conntrack_generic_timeout", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Old_times_stay_for_old_sessions_and_survive_a_restart()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        Snapshot state = Open();
        state.Vnics[0].Timeouts = new SessionTimeouts { TcpEstablishedSeconds = 500, UdpSeconds = 90 };
        await lab.ApplyAsync(state);
        using UdpConversation talk = Talk(lab, 5300);
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait) && await talk.ServerSendsAsync(Probe.PassWait));
        state.Vnics[0].Timeouts = new SessionTimeouts { TcpEstablishedSeconds = 60, UdpSeconds = 10 };
        await lab.ApplyAsync(state);
        await lab.Daemon.RestartAsync();

        // The object that the session was opened with is there: its next packet gives it 90 s again, not the
        // namespace's.
        Assert.True(await talk.ServerSendsAsync(Probe.PassWait));
        ConntrackEntry old = Conntrack.List(lab.Network.Host).Single(entry => entry.DestinationPort == 5300);
        Assert.InRange(old.Seconds, 60u, 90u);
        using UdpConversation later = Talk(lab, 5301);
        Assert.True(await later.ClientSendsAsync(Probe.PassWait));
        Assert.InRange(
            Conntrack.List(lab.Network.Host).Single(entry => entry.DestinationPort == 5301).Seconds,
            1u, 10u);
    }

    [Fact]
    public async Task The_receiver_decides_when_both_ends_are_here()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = Open();
        state.Vnics.Single(v => v.Id == "eni-e1").Timeouts = new SessionTimeouts { UdpSeconds = 60 };
        state.Vnics.Single(v => v.Id == "eni-e2").Timeouts = new SessionTimeouts { UdpSeconds = 100 };
        await lab.ApplyAsync(state);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        ConntrackEntry entry = Conntrack.List(lab.Network.Host).Single(entry => entry.Protocol == 17);
        Assert.InRange(entry.Seconds, 80u, 100u);
    }

    [Fact]
    public async Task A_vnic_has_as_many_sessions_as_it_may_have()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = Open();
        state.Vnics.Single(v => v.Id == "eni-e1").MaxSessions = 10;
        await lab.ApplyAsync(state);
        Assert.Equal(10, await ArrivingAsync(lab, lab.Network.Outsider, lab.E1, 16));
        Assert.Equal(6, CountedDrops.Of(lab.Network.Host, "limit", from: false, lab.E1.HostDevice));
        // Somebody else's sessions are not e1's.
        Assert.Equal(16, await ArrivingAsync(lab, lab.Network.Outsider, lab.E2, 16));

        // Neither a change of policy nor a judgement of what is there forgets the count, or adds to it.
        state.Groups[0].Rules.Add(new Rule
        {
            Id = "more",
            Direction = Direction.Ingress,
            Protocol = "tcp",
            PortRange = "1/1",
            Policy = V1.Policy.Drop,
            Cidr = "192.0.2.0/24",
        });
        Assert.True((await lab.ApplyAsync(state)).Changes.SessionsRevalidated);
        Assert.Equal(0, await ArrivingAsync(lab, lab.E1, lab.Network.Outsider, 2)); // either direction counts
        Assert.Equal(2, CountedDrops.Of(lab.Network.Host, "limit", from: true, lab.E1.HostDevice));

        SessionTable.Flush(lab.Network.Host);
        Assert.Equal(3, await ArrivingAsync(lab, lab.Network.Outsider, lab.E1, 3));
        state.Vnics.Single(v => v.Id == "eni-e1").MaxSessions = 0;
        await lab.ApplyAsync(state);
        Assert.Equal(16, await ArrivingAsync(lab, lab.Network.Outsider, lab.E1, 16));
    }

    [Fact]
    public async Task A_one_way_stream_is_one_session_of_the_limit()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = Open();
        state.Vnics.Single(v => v.Id == "eni-e1").MaxSessions = 4;
        await lab.ApplyAsync(state);
        using UdpConversation talk = Talk(lab, 5300);
        for (int i = 0; i < 50; i++)
        {
            Assert.True(await talk.ClientSendsAsync(Probe.PassWait), $"packet {i}");
        }

        Assert.Equal(3, await ArrivingAsync(lab, lab.Network.Outsider, lab.E1, 5));
    }

    [Fact]
    public async Task A_full_table_keeps_sessions_drops_new_ones_and_says_so()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(Open());
        using TcpStream stream = await ConnectAsync(lab);
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait) && await stream.ClientSendsAsync(Probe.PassWait));
        double limit = await lab.MetricAsync("sg_agent_conntrack_limit");
        Assert.SkipWhen(limit > 1 << 20,
            $"nf_conntrack_max is {limit}, and a network namespace of this kernel cannot lower it: "
            + "filling takes too long");
        int held = Conntrack.Fill(lab.Network.Host);
        Assert.InRange(held, limit - 1, limit + 1);
        Assert.InRange(await lab.MetricAsync("sg_agent_conntrack_entries"), limit - 1, limit + 1);
        double before = await lab.MetricAsync("sg_agent_conntrack_drops_total");

        Assert.Equal(0, await ArrivingAsync(lab, lab.Network.Outsider, lab.E1, 5));
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait) && await stream.ClientSendsAsync(Probe.PassWait));
        Assert.True(await lab.MetricAsync("sg_agent_conntrack_drops_total") >= before + 5);
        SessionTable.Flush(lab.Network.Host);
        Assert.Equal(5, await ArrivingAsync(lab, lab.Network.Outsider, lab.E1, 5));
    }

    /// <summary>e1 to e3, open to everybody.</summary>
    private static Snapshot Open() => States.Apply(
        [States.Accepting("sg-a", "in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0")],
        States.Nic("e1", "sg-a"), States.Nic("e2", "sg-a"), States.Nic("e3", "sg-a")).State.Clone();

    private static async Task<TcpStream> ConnectAsync(DaemonLab lab)
    {
        TcpStream? stream = await Probe.ConnectAsync(
            new TcpRoute(lab.Network.Outsider, new IPEndPoint(lab.E1.V4, 22), lab.E1) { Source = World },
            Probe.PassWait);
        Assert.NotNull(stream);
        return stream;
    }

    private static UdpConversation Talk(DaemonLab lab, int port) =>
        UdpConversation.Open(lab.Network.Outsider, World, lab.E1, new IPEndPoint(lab.E1.V4, port));

    /// <summary>How many of so many new UDP sessions get through; one after the other.</summary>
    private static async Task<int> ArrivingAsync(DaemonLab lab, NetworkEndpoint from, NetworkEndpoint to, int count)
    {
        int arrived = 0;
        for (int i = 0; i < count; i++)
        {
            arrived += await lab.Probe.UdpArrivesAsync(
                from, new IPEndPoint(from.V4, PortNumbers.Next()), to, new IPEndPoint(to.V4, PortNumbers.Next()),
                TimeSpan.FromSeconds(1)) ? 1 : 0;
        }

        return arrived;
    }
}
