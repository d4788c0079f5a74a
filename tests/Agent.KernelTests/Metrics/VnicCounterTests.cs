using System.Net;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Metrics;

/// <summary>What is dropped is counted under its reason, packet by packet; what passes is counted as passed.</summary>
public sealed class VnicCounterTests
{
    [Fact]
    public async Task Every_reason_counts_exactly_its_packets()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(State());
        ExpositionPage before = await ExpositionPage.ReadAsync(lab);
        var expected = new Expected();

        expected.Send(("e2", "ingress", "default"), 7, lab.Network.Outsider,
            () => Udp(lab.Network.Outsider, lab.E2.V4, 5000));
        expected.Send(("e2", "ingress", "rule"), 5, lab.E1, () => Tcp(lab.E1, lab.E2.V4, 23, TcpFlags.Syn));
        expected.Send(("e3", "egress", "rule"), 3, lab.E3, () => Tcp(lab.E3, lab.E2.V4, 99, TcpFlags.Syn));
        expected.Send(("e1", "egress", "notsyn"), 4, lab.E1, () => Tcp(lab.E1, lab.E2.V4, 22, TcpFlags.Ack));
        expected.Send(("e1", "egress", "invalid"), 6, lab.E1, () => Tcp(lab.E1, lab.E2.V4, 22, TcpFlags.None));
        expected.Send(("e1", "egress", "host"), 9, lab.E1, () => Udp(lab.E1, IPAddress.Parse("169.254.0.1"), 7));
        expected.Send(("e2", "ingress", "notsyn"), 11, lab.Network.Outsider,
            () => Tcp(lab.Network.Outsider, lab.E2.V4, 22, TcpFlags.Ack));
        expected.Send(("e2", "ingress", "invalid"), 2, lab.Network.Outsider,
            () => Tcp(lab.Network.Outsider, lab.E2.V4, 22, TcpFlags.None));
        expected.Spoof(lab, "e1", lab.E1);
        // e3 may have two sessions; from port 4000 on they are of UDP, and stay.
        foreach (int port in (int[])[4000, 4001])
        {
            lab.E3.Wire.Send(Packets.FrameOf(lab.E3.HostMac, lab.E3.Mac,
                Packets.Udp(lab.E3.V4, lab.Network.Outsider.V4, port, port, [1])));
        }

        expected.Send(("e3", "egress", "limit"), 8, lab.E3, () => Udp(lab.E3, lab.Network.Outsider.V4, 4100));

        await Task.Delay(TimeSpan.FromSeconds(1.5), TestContext.Current.CancellationToken); // none is late by that
        ExpositionPage after = await ExpositionPage.ReadAsync(lab);
        Assert.Equal(
            expected.Counts.Select(one => $"{one.Key} {one.Value}"),
            Series(after).Where(key => key.Reason != "passed" && Moved(after, key) > 0).Order()
                .Select(key => $"{key} {Moved(after, key)}"));

        long Moved(ExpositionPage now, (string Vnic, string Way, string Reason) at) =>
            now.Packets($"eni-{at.Vnic}", at.Way, at.Reason) - before.Packets($"eni-{at.Vnic}", at.Way, at.Reason);
    }

    [Fact]
    public async Task Replies_of_a_session_that_a_change_has_cut_are_stale()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(State());
        const int replies = 12;
        using UdpConversation talk = await TalkAsync(lab);
        Snapshot closed = State();
        closed.Groups[1].Rules.RemoveAt(0);
        await lab.ApplyAsync(closed);
        for (int i = 0; i < replies; i++)
        {
            Assert.False(await talk.ServerSendsAsync(TimeSpan.FromMilliseconds(5)));
        }

        await DaemonLab.UntilAsync("all of them", async () =>
            (await ExpositionPage.ReadAsync(lab)).Packets("eni-e2", "egress", "stale") >= replies);
        Assert.Equal(replies, (await ExpositionPage.ReadAsync(lab)).Packets("eni-e2", "egress", "stale"));
    }

    [Fact]
    public async Task What_passes_is_counted_once_on_each_side_and_bytes_are_those_of_layer_3()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(State());
        const int count = 500;
        const int bytes = 20 + 8 + 100;
        ExpositionPage before = await ExpositionPage.ReadAsync(lab);
        foreach (byte[] packet in Enumerable.Range(0, count).Select(_ =>
            Packets.Udp(lab.E1.V4, lab.E2.V4, 4000, 4000, new byte[100])))
        {
            lab.E1.Wire.Send(Packets.FrameOf(lab.E1.HostMac, lab.E1.Mac, packet));
        }

        // The guests' own stacks say a word now and then: an answer to the closed port, a report, a probe.
        ExpositionPage after = before;
        await DaemonLab.UntilAsync("all of them", async () =>
        {
            after = await ExpositionPage.ReadAsync(lab);
            return Passed("eni-e2", "ingress") >= count;
        });
        Assert.InRange(Passed("eni-e1", "egress"), count, count + 20);
        Assert.InRange(Passed("eni-e2", "ingress"), count, count + 20);
        Assert.InRange(Bytes("eni-e1", "egress"), (double)count * bytes, (double)count * bytes + (20 * 200));
        Assert.InRange(Bytes("eni-e2", "ingress"), (double)count * bytes, (double)count * bytes + (20 * 200));

        long Passed(string vnic, string way) =>
            after.Packets(vnic, way, "passed") - before.Packets(vnic, way, "passed");
        double Bytes(string vnic, string way)
        {
            string name = $"sg_agent_vnic_bytes_total{{vnic=\"{vnic}\",direction=\"{way}\","
                + "verdict=\"accept\",reason=\"passed\"}";
            return after.Samples[name] - before.Samples[name];
        }
    }

    [Fact]
    public async Task Series_begin_and_end_with_their_vNIC_and_the_page_is_well_formed()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = State();
        await lab.ApplyAsync(state);
        await Task.Delay(TimeSpan.FromSeconds(1.1), TestContext.Current.CancellationToken);
        ExpositionPage page = await ExpositionPage.ReadAsync(lab);
        Assert.Equal(3 * 27, Series(page).Count());
        Assert.All(Series(page).Where(key => key.Reason != "passed"),
            key => Assert.True(page.Packets($"eni-{key.Vnic}", key.Way, key.Reason) >= 0));
        state.Vnics.RemoveAt(2);
        await lab.ApplyAsync(state);
        await DaemonLab.UntilAsync("the end of its series", async () =>
            !Series(await ExpositionPage.ReadAsync(lab)).Any(key => key.Vnic == "e3"));
        Assert.Equal(2 * 27, Series(await ExpositionPage.ReadAsync(lab)).Count());
    }

    [Fact]
    public async Task Scrapes_that_come_together_share_one_reading()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(State());
        await Task.Delay(TimeSpan.FromSeconds(1.1), TestContext.Current.CancellationToken);
        double before = (await ExpositionPage.ReadAsync(lab)).Samples[
            "sg_agent_counter_readings_total{result=\"read\"}"];
        await Task.Delay(TimeSpan.FromSeconds(1.1), TestContext.Current.CancellationToken);
        string[] pages = await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => lab.Daemon.ReadPageAsync()));
        Assert.All(pages, page => Assert.Equal(
            before + 1, ExpositionPage.Of(page).Samples["sg_agent_counter_readings_total{result=\"read\"}"]));
    }

    /// <summary>e1 calls e2 by UDP; nobody calls TCP 23, and e3 not TCP 99.</summary>
    private static Snapshot State()
    {
        Snapshot state = Apply(
            [
                Isolating("sg-a"),
                Isolating("sg-b", "in 1 accept udp 1/65535 sg-a", "in 1 drop tcp 23/23 0.0.0.0/0"),
                Isolating("sg-c", "out 1 drop tcp 99/99 0.0.0.0/0"),
            ],
            Nic("e1", "sg-a"),
            Nic("e2", "sg-b"),
            Nic("e3", "sg-c")).State.Clone();
        state.Vnics[2].MaxSessions = 2;
        return state;
    }

    private static async Task<UdpConversation> TalkAsync(DaemonLab lab)
    {
        UdpConversation talk = UdpConversation.Open(
            lab.E1, lab.E1.V4, lab.E2, new IPEndPoint(lab.E2.V4, PortNumbers.Next()));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait) && await talk.ServerSendsAsync(Probe.PassWait));
        return talk;
    }

    /// <summary>What drops, and what passes.</summary>
    private static IEnumerable<(string Vnic, string Way, string Reason)> Series(ExpositionPage page) =>
        page.Labels("sg_agent_vnic_packets_total").Select(name => name.Split('"'))
            .Where(parts => parts[1].Length > 0)
            .Select(parts => (parts[1]["eni-".Length..], parts[3], parts[7]));

    private static byte[] Udp(NetworkEndpoint from, IPAddress to, int port) =>
        Packets.Udp(from.V4, to, PortNumbers.Next(), port, Probe.Payload());

    private static byte[] Tcp(NetworkEndpoint from, IPAddress to, int port, TcpFlags flags) => Packets.Tcp(
        new IPEndPoint(from.V4, PortNumbers.Next()), new IPEndPoint(to, port), flags, 1000, 2000, []);

    /// <summary>What was sent that must be dropped, by where and why.</summary>
    private sealed class Expected
    {
        public SortedDictionary<(string Vnic, string Way, string Reason), long> Counts { get; } = [];

        public void Send((string, string, string) key, int count, NetworkEndpoint from, Func<byte[]> packet)
        {
            Counts[key] = Counts.GetValueOrDefault(key) + count;
            for (int i = 0; i < count; i++)
            {
                from.Wire.Send(Packets.FrameOf(from.HostMac, from.Mac, packet()));
            }
        }

        public void Spoof(DaemonLab lab, string name, Guest guest)
        {
            foreach (GuestFrame frame in lab.FramesOf(guest).Where(frame => frame.Kind is not null))
            {
                (string, string, string) key = (name, "egress", $"spoof_{frame.Kind}");
                Counts[key] = Counts.GetValueOrDefault(key) + 1;
                guest.Wire.Send(frame.Bytes);
            }
        }
    }
}
