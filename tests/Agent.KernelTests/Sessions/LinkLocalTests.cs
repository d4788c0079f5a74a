using System.Net;
using Agent.TestNet;

namespace Agent.KernelTests.Sessions;

/// <summary>
/// Neighbour discovery and listener reports concern one link: a host that routes them would open a way past all rules.
/// </summary>
public sealed class LinkLocalTests(SessionLab lab) : IClassFixture<SessionLab>
{
    // What conntrack does not track (nf_conntrack_proto_icmpv6.c, noct_valid_new).
    private static readonly byte[] Untracked = [130, 131, 132, 133, 134, 135, 136, 143];

    [Fact]
    public async Task From_outside_they_do_not_reach_a_guest_behind_the_router()
    {
        await lab.ApplyAsync(SessionLab.CallsInto());
        await lab.Volley.DropAsync(lab.Outsider, lab.E1, "tap-e1 to_invalid",
            [.. Untracked.Select(type => Message(lab.Outsider.V6, lab.E1.V6, type))]);
    }

    [Fact]
    public async Task From_a_guest_they_reach_neither_the_world_nor_another_guest()
    {
        await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept all -1/-1 ::/0"));
        // Those that the guard lets through: they may be for the host. Listener messages carry anything.
        byte[] passing = [131, 132, 133, 135, 136, 143];
        foreach (NetworkEndpoint far in (NetworkEndpoint[])[lab.Outsider, lab.E2])
        {
            await lab.Volley.DropAsync(lab.E1, far, "tap-e1 from_invalid",
                [.. passing.Select(type => Message(lab.E1.V6, far.V6, type))]);
        }
    }

    [Fact]
    public async Task Between_a_guest_and_the_host_they_pass()
    {
        await lab.ApplyAsync(SessionLab.CallsInto());
        byte[] mac = [1, 1, .. lab.E1.Mac];
        IPAddress gateway = IPAddress.Parse("fe80::1");
        byte[] question = Packets.Icmp(lab.E1.V6, gateway, 135, 0, [0, 0, 0, 0, .. gateway.GetAddressBytes(), .. mac]);
        bool answered = await Probe.FrameArrivesAsync(
            lab.E1, Packets.FrameOf(lab.E1.HostMac, lab.E1.Mac, question), lab.E1,
            frame => ReceivedPacket.FromFrame(frame) is { Protocol: 58 } seen && seen.Transport.Span[0] == 136
                && seen.Destination.Equals(lab.E1.V6), Probe.PassWait);
        Assert.True(answered, "no advertisement of the gateway");
    }

    /// <summary>Of the least length that the guard takes for one: reserved field, then the target.</summary>
    private static Shot Message(IPAddress from, IPAddress to, byte type) => new(
        $"{type}",
        Packets.Icmp(from, to, type, 0, type == 133 ? new byte[4] : [0, 0, 0, 0, .. from.GetAddressBytes()]));
}
