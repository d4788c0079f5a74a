using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>A bridge whose host has an address on it, and a routed uplink beside it.</summary>
public sealed class MixedLab : SessionLab
{
    internal const string HostV4 = "10.0.0.1";
    internal const string HostV6 = "2001:db8:1::1";

    protected override Topology Topology => Topology.Bridged;

    protected override void Configure(JsonObject configuration) =>
        configuration["host_services"] = new JsonArray("tcp/8080");
}

/// <summary>What is particular about bridges.</summary>
public sealed class BridgeTests(MixedLab lab) : IClassFixture<MixedLab>
{
    private const string AnyV4 = "in 1 accept all -1/-1 0.0.0.0/0";
    private const string AnyV6 = "in 1 accept all -1/-1 ::/0";

    [Theory]
    [InlineData(MixedLab.HostV4)]
    [InlineData(MixedLab.HostV6)]
    public async Task The_host_on_its_bridge_is_closed_to_guests_but_for_its_services(string address)
    {
        lab.Need();
        await lab.ApplyAsync(SessionLab.CallsInto(AnyV4, AnyV6));
        AddHostAddress();
        Assert.True(await ConnectsToHostAsync(lab.E1, address, 8080, Probe.PassWait));
        Assert.False(await ConnectsToHostAsync(lab.E1, address, 8081, Probe.DropWait));
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task A_service_of_the_host_on_its_bridge_that_is_taken_away_loses_its_live_sessions(
        bool v4, bool hostFirst)
    {
        lab.Need();
        await lab.ServeAsync("tcp/8080", "udp/5353");
        await lab.ApplyAsync(SessionLab.CallsInto(AnyV4, AnyV6));
        AddHostAddress();
        IPAddress own = v4 ? lab.E1.V4 : lab.E1.V6;
        IPEndPoint served = new(IPAddress.Parse(v4 ? MixedLab.HostV4 : MixedLab.HostV6), 5353);
        using Socket host = lab.Lab.Network.Host.OpenSocket(
            served.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        host.Bind(served);
        using Socket guest = lab.E1.OpenUdp(own, PortNumbers.Next());
        IPEndPoint caller = (IPEndPoint)guest.LocalEndPoint!;
        Assert.True(await UdpConversation.PassesAsync(guest, served, host, Probe.PassWait));
        Assert.True(await UdpConversation.PassesAsync(host, caller, guest, Probe.PassWait));

        await lab.ServeAsync("tcp/8080");
        foreach (bool turn in (bool[])[hostFirst, !hostFirst, hostFirst])
        {
            Assert.False(await (turn
                ? UdpConversation.PassesAsync(host, caller, guest, Probe.DropWait)
                : UdpConversation.PassesAsync(guest, served, host, Probe.DropWait)));
        }
    }

    [Theory]
    [InlineData(MixedLab.HostV4, true)]
    [InlineData(MixedLab.HostV6, false)]
    public async Task The_host_is_subject_to_ingress_rules_and_its_sessions_outlive_a_change_that_spares_them(
        string address, bool v4)
    {
        lab.Need();
        AddHostAddress();
        await lab.ApplyAsync(SessionLab.CallsInto(
            $"in 1 accept udp 7000/7000 {address}/{(v4 ? 32 : 128)}",
            "in 1 accept tcp 22/22 0.0.0.0/0"));
        using Socket host = lab.Lab.Network.Host.OpenSocket(
            v4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
        host.Bind(new IPEndPoint(IPAddress.Parse(address), PortNumbers.Next()));
        IPAddress guest = v4 ? lab.E2.V4 : lab.E2.V6;
        using Socket served = lab.E2.OpenUdp(guest, 7000);
        using Socket closed = lab.E2.OpenUdp(guest, 7001);
        Assert.True(await UdpConversation.PassesAsync(host, new IPEndPoint(guest, 7000), served, Probe.PassWait));
        Assert.False(await UdpConversation.PassesAsync(host, new IPEndPoint(guest, 7001), closed, Probe.DropWait));

        // Judged again by the answer, which travels towards the host.
        (Accepted answer, _) = await lab.ApplyAsync(
            SessionLab.CallsInto($"in 1 accept udp 7000/7000 {address}/{(v4 ? 32 : 128)}"));
        Assert.True(answer.Changes.SessionsRevalidated);
        Assert.True(await UdpConversation.PassesAsync(served, (IPEndPoint)host.LocalEndPoint!, host, Probe.PassWait));
        await lab.ApplyAsync(SessionLab.CallsInto());
        Assert.False(await UdpConversation.PassesAsync(served, (IPEndPoint)host.LocalEndPoint!, host, Probe.DropWait));
        Assert.False(await UdpConversation.PassesAsync(host, new IPEndPoint(guest, 7000), served, Probe.DropWait));
    }

    [Fact]
    public async Task A_port_that_leaves_its_bridge_is_enforced_where_it_is_and_again_when_it_returns()
    {
        lab.Need();
        await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept udp 1/65535 10.0.0.8/32"));
        Assert.True(await lab.Lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.Lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        lab.Lab.Network.Host.IpBatch([$"link set {lab.E2.HostDevice} nomaster"]);
        Assert.False(await lab.Lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        lab.Lab.Network.Host.IpBatch([$"link set {lab.E2.HostDevice} master br0"]);
        Assert.True(await lab.Lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.Lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Fragments_are_judged_as_the_datagram_that_they_are(bool v4)
    {
        lab.Need();
        await lab.ApplyAsync(
            SessionLab.CallsInto("in 1 accept udp 7000/7000 0.0.0.0/0", "in 1 accept udp 7000/7000 ::/0"));
        (IPAddress source, IPAddress target) = v4 ? (lab.E1.V4, lab.E2.V4) : (lab.E1.V6, lab.E2.V6);
        IPEndPoint from = new(source, PortNumbers.Next());
        Assert.True(await lab.Lab.Probe.FragmentsArriveAsync(
            lab.E1, from, lab.E2, new IPEndPoint(target, 7000), Probe.PassWait));
        Assert.False(await lab.Lab.Probe.FragmentsArriveAsync(lab.E1, from, lab.E2, new IPEndPoint(target, 7001)));
        Assert.False(await lab.Lab.Probe.FragmentsArriveAsync(
            lab.E1, from, lab.E2, new IPEndPoint(target, 7000), choose: all => all[1..]));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_hosts_own_fragments_pass_or_not_as_the_datagram_that_they_are(bool v4)
    {
        lab.Need();
        AddHostAddress();
        string address = v4 ? MixedLab.HostV4 : MixedLab.HostV6;
        await lab.ApplyAsync(SessionLab.CallsInto($"in 1 accept udp 7000/7000 {address}/{(v4 ? 32 : 128)}"));
        IPAddress guest = v4 ? lab.E2.V4 : lab.E2.V6;
        using Socket host = lab.Lab.Network.Host.OpenSocket(guest.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        host.Bind(new IPEndPoint(IPAddress.Parse(address), PortNumbers.Next()));
        using Socket open = lab.E2.OpenUdp(guest, 7000);
        using Socket closed = lab.E2.OpenUdp(guest, 7001);

        // Nobody answers: conntrack calls every one of them new.
        for (int i = 0; i < 3; i++)
        {
            Assert.True(await ArrivesWholeAsync(host, new IPEndPoint(guest, 7000), open, Probe.PassWait));
            Assert.False(await ArrivesWholeAsync(host, new IPEndPoint(guest, 7001), closed, Probe.DropWait));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_session_that_the_bridge_floods_reaches_no_other_guest(bool v4)
    {
        lab.Need();
        await lab.ApplyAsync(SessionLab.CallsInto(AnyV4, AnyV6));
        (IPAddress source, IPAddress target) = v4 ? (lab.E1.V4, lab.E2.V4) : (lab.E1.V6, lab.E2.V6);
        using UdpConversation talk = UdpConversation.Open(
            lab.E1, source, lab.E2, new IPEndPoint(target, PortNumbers.Next()));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait) && await talk.ServerSendsAsync(Probe.PassWait));
        byte[] packet = Packets.Udp(
            source, target, talk.ClientAddress.Port, talk.ServerAddress.Port, Probe.Payload());
        byte[] flooded = Packets.FrameOf([0x02, 0, 0, 0, 0x99, 0x99], lab.E1.Mac, packet);
        bool Recognized(byte[] frame) => frame.AsSpan(14).SequenceEqual(packet);
        Assert.True(await Probe.FrameArrivesAsync(
            lab.E1, flooded, lab.Lab.Network.Outsider, Recognized, Probe.PassWait));
        Assert.False(await Probe.FrameArrivesAsync(lab.E1, flooded, lab.E3, Recognized));
        Assert.False(await Probe.FrameArrivesAsync(lab.E1, flooded, lab.E2, Recognized));
    }

    /// <summary>A trunk's frame is judged by what it carries; what is not IP, ARP or discovery does not pass.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_tagged_frame_from_outside_is_judged_as_without_its_tag(bool v4)
    {
        lab.Need();
        await lab.ApplyAsync(
            SessionLab.CallsInto("in 1 accept udp 7000/7000 0.0.0.0/0", "in 1 accept udp 7000/7000 ::/0"));
        NetworkEndpoint outsider = lab.Lab.Network.Outsider;
        (IPAddress source, IPAddress target) = v4 ? (outsider.V4, lab.E2.V4) : (outsider.V6, lab.E2.V6);
        Assert.True(await TaggedAsync(7000, Probe.PassWait, 0x8100));
        Assert.False(await TaggedAsync(7001, Probe.DropWait, 0x8100));
        Assert.False(await TaggedAsync(7000, Probe.DropWait, 0x8100, 0x88a8));

        async Task<bool> TaggedAsync(int port, TimeSpan wait, params ushort[] tags)
        {
            byte[] packet = Packets.Udp(source, target, PortNumbers.Next(), port, Probe.Payload());
            byte[] frame = Packets.FrameOf(lab.E2.Mac, outsider.Mac, packet);
            foreach (ushort tag in tags)
            {
                frame = Packets.Tag(frame, tag, vlan: 7);
            }

            return await Probe.FrameArrivesAsync(
                outsider, frame, lab.E2, seen => seen.AsSpan().EndsWith(packet), wait);
        }
    }

    private static async Task<bool> ArrivesWholeAsync(Socket from, IPEndPoint target, Socket to, TimeSpan wait)
    {
        byte[] message = RandomNumberGenerator.GetBytes(4000);
        byte[] read = new byte[8000];
        using CancellationTokenSource limit = new(wait);
        try
        {
            await from.SendToAsync(message, target, limit.Token);
            int count = await to.ReceiveAsync(read, limit.Token);
            return read.AsSpan(0, count).SequenceEqual(message);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    [Fact]
    public async Task What_concerns_one_link_is_not_routed_from_a_bridge_back_to_it()
    {
        lab.Need();
        await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept all -1/-1 ::/0"));
        AddHostAddress();
        lab.Lab.Network.Host.IpBatch(
            [$"neigh replace {lab.E2.V6} lladdr {lab.E2.Spec.Mac} dev br0 nud permanent"]);
        byte[] bridge = HostMac();
        byte[][] packets =
        [
            Packets.Icmp(lab.E1.V6, lab.E2.V6, 143, 0, Probe.Payload()),
            Packets.Icmp(lab.E1.V6, lab.E2.V6, 136, 0, [0, 0, 0, 0, .. lab.E1.V6.GetAddressBytes()]),
            Packets.Udp(lab.E1.V6, lab.E2.V6, PortNumbers.Next(), 7000, Probe.Payload()),
        ];
        bool[] seen = await Task.WhenAll(packets.Select(packet => Probe.FrameArrivesAsync(
            lab.E1, Packets.FrameOf(bridge, lab.E1.Mac, packet), lab.E2, frame =>
                ReceivedPacket.FromFrame(frame) is { } one
                && one.Transport.Span.SequenceEqual(ReceivedPacket.FromIp(packet).Transport.Span),
            packet == packets[^1] ? Probe.PassWait : Probe.DropWait)));
        Assert.Equal([false, false, true], seen); // the last one shows that the way is there
    }

    private byte[] HostMac()
    {
        string text = lab.Lab.Network.Host.Exec("cat", "/sys/class/net/br0/address");
        return Convert.FromHexString(text.Trim().Replace(":", "", StringComparison.Ordinal));
    }

    private void AddHostAddress() => lab.Lab.Network.Host.IpBatch(
    [
        $"addr replace {MixedLab.HostV4}/24 dev br0", $"addr replace {MixedLab.HostV6}/64 dev br0 nodad",
    ]);

    private async Task<bool> ConnectsToHostAsync(NetworkEndpoint guest, string address, int port, TimeSpan wait)
    {
        IPAddress host = IPAddress.Parse(address);
        using Socket listener = lab.Lab.Network.Host.OpenSocket(
            host.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        listener.Bind(new IPEndPoint(host, port));
        listener.Listen();
        using Socket client = guest.Place.OpenSocket(host.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        using CancellationTokenSource limit = new(wait);
        try
        {
            await client.ConnectAsync(new IPEndPoint(host, port), limit.Token);
            return true;
        }
        catch (Exception lost) when (lost is OperationCanceledException or SocketException)
        {
            return false;
        }
    }
}
