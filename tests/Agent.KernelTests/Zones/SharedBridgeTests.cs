using System.Net;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Zones;

/// <summary>
/// Two VPCs with the same addresses on one bridge: nothing but MAC addresses tells their frames apart there.
/// </summary>
public sealed class SharedBridgeTests : IAsyncLifetime
{
    private const string World = "198.51.100.7";
    private const string WorldV6 = "2001:db8:ffff::7";

    private TestNetwork network = null!;
    private DaemonProcess daemon = null!;

    public async ValueTask InitializeAsync()
    {
        if (!KernelNeeds.Has(KernelFeature.BridgeConntrack))
        {
            return; // each test says so, and why
        }

        network = TestNetwork.Create(
            new TestNetworkOptions { Topology = Topology.Bridged, OutsideAddresses = [World, WorldV6] },
            Spec("a1", 5), Spec("a2", 6), Spec("b1", 5), Spec("b2", 6));
        daemon = await DaemonProcess.StartAsync(network.Host);
        SecurityGroupAgent.SecurityGroupAgentClient client = new(daemon.Channel);
        ApplyResponse answer = await client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = State(), NextRevision = true });
        Assert.True(answer.Accepted is { FailedVnics.Count: 0 }, $"refused: {answer}");
    }

    public async ValueTask DisposeAsync()
    {
        if (daemon is not null)
        {
            await daemon.DisposeAsync();
        }

        network?.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_same_five_tuple_is_a_session_of_its_own_in_each_vpc(bool v4)
    {
        KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        Assert.True(await TalksAsync("a1", "a2", v4, 7000, answer: true));

        // The same addresses and ports: B's rules say no, whatever A's session says.
        Assert.False(await ArrivesAsync("b1", "b2", v4, 7000));
        Assert.False(await ArrivesAsync("b2", "b1", v4, 7000, reply: true));

        // And what B's rules allow, A's do not.
        Assert.True(await TalksAsync("b1", "b2", v4, 8000, answer: true));
        Assert.False(await ArrivesAsync("a1", "a2", v4, 8000));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task No_frame_goes_from_one_vpc_to_the_other(bool v4)
    {
        KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        Assert.False(await ArrivesAsync("a1", "b2", v4, 7000));
        Assert.False(await ArrivesAsync("b1", "a2", v4, 8000));
        Assert.True(await TalksAsync("a1", "a2", v4, 7000, answer: true));
        Assert.False(await ArrivesAsync("b1", "a2", v4, 7000));
        Assert.False(await ArrivesAsync("b2", "a1", v4, 7000, reply: true));
    }

    /// <summary>Or one tenant's address would displace the other's in everybody's neighbour tables.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Neighbour_discovery_stays_within_its_vpc(bool v4)
    {
        KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        Guest asker = network.Guests["a1"];
        Guest asked = network.Guests["a2"];
        byte[] question = v4
            ? Packets.Frame([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], asker.Mac, Packets.EtherTypeArp,
                Packets.Arp(1, asker.Mac, asker.V4, new byte[6], asked.V4))
            : Packets.FrameOf([0x33, 0x33, 0xff, 0, 0, 6], asker.Mac, Packets.Icmp(
                asker.V6, IPAddress.Parse("ff02::1:ff00:6"), 135, 0,
                [0, 0, 0, 0, .. asked.V6.GetAddressBytes(), 1, 1, .. asker.Mac]));
        bool Recognized(byte[] frame) => frame.AsSpan().StartsWith(question);
        Assert.True(await Probe.FrameArrivesAsync(asker, question, asked, Recognized, Probe.PassWait));
        Assert.True(await Probe.FrameArrivesAsync(asker, question, network.Outsider, Recognized, Probe.PassWait));
        Assert.False(await Probe.FrameArrivesAsync(asker, question, network.Guests["b1"], Recognized));
        Assert.False(await Probe.FrameArrivesAsync(asker, question, network.Guests["b2"], Recognized));
    }

    private async Task<bool> TalksAsync(string from, string to, bool v4, int port, bool answer) =>
        await ArrivesAsync(from, to, v4, port, wait: Probe.PassWait)
        && (!answer || await ArrivesAsync(to, from, v4, port, reply: true, wait: Probe.PassWait));

    /// <summary>A datagram between client port 6000 and the server's port, by the receiver's MAC address.</summary>
    private async Task<bool> ArrivesAsync(
        string from, string to, bool v4, int port, bool reply = false, TimeSpan? wait = null)
    {
        (Guest sender, Guest receiver) = (network.Guests[from], network.Guests[to]);
        (IPAddress source, IPAddress target) = v4 ? (sender.V4, receiver.V4) : (sender.V6, receiver.V6);
        byte[] packet = reply
            ? Packets.Udp(source, target, port, 6000, Probe.Payload())
            : Packets.Udp(source, target, 6000, port, Probe.Payload());
        return await Probe.FrameArrivesAsync(
            sender, Packets.FrameOf(receiver.Mac, sender.Mac, packet), receiver,
            frame => frame.AsSpan(14).SequenceEqual(packet), wait);
    }

    private static Snapshot State()
    {
        var state = new Snapshot { Vpcs = { new Vpc { Id = "vpc-a" }, new Vpc { Id = "vpc-b" } } };
        foreach ((string vpc, int port) in ((string, int)[])[("a", 7000), ("b", 8000)])
        {
            SecurityGroup clients = States.Isolating($"sg-{vpc}-clients");
            SecurityGroup servers = States.Isolating(
                $"sg-{vpc}-servers", $"in 1 accept udp {port}/{port} sg-{vpc}-clients");
            clients.VpcId = servers.VpcId = $"vpc-{vpc}";
            state.Groups.Add([clients, servers]);
            state.Vnics.Add([Nic($"{vpc}1", 5, clients.Id), Nic($"{vpc}2", 6, servers.Id)]);
        }

        return state;
    }

    private static Vnic Nic(string name, int host, string group) => new()
    {
        Id = $"eni-{name}",
        InterfaceName = $"tap-{name}",
        Mac = Mac(name),
        VpcId = $"vpc-{name[0]}",
        Addresses = { $"10.0.0.{host}", $"2001:db8:1::{host}" },
        GroupIds = { group },
    };

    private static GuestSpec Spec(string name, int host) =>
        new(name, $"tap-{name}", Mac(name), $"10.0.0.{host}", $"2001:db8:1::{host}");

    private static string Mac(string name) => $"02:00:00:00:0{name[0]}:0{name[1]}";
}
