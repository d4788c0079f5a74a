using System.Globalization;
using System.Text.RegularExpressions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>Devices come, go, move and come back; nothing forbidden passes meanwhile.</summary>
public sealed class VnicLifeTests(SharedLab shared) : IClassFixture<SharedLab>
{
    private readonly DaemonLab lab = shared.Lab;

    [Fact]
    public async Task A_guest_that_reboots_is_enforced_from_its_first_packet_on()
    {
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 1000, FloodDirections.Forward);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        for (int boot = 0; boot < 5; boot++)
        {
            await RebootAsync(lab.E2, allowed);
        }

        await denied.StopAsync();
        await allowed.StopAsync();
        Assert.Equal(0, denied.Forward.Received);
        Assert.True(denied.Forward.Sent > 100);
    }

    [Fact]
    public async Task A_sender_that_reboots_passes_nothing_forbidden_with_its_first_packets()
    {
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        int seen = 0;
        using IDisposable watch = lab.E2.Wire.Subscribe(frame =>
        {
            if (ReceivedPacket.FromFrame(frame) is { } packet && packet.Source.Equals(lab.E3.V4))
            {
                Interlocked.Increment(ref seen);
            }
        });
        for (int boot = 0; boot < 5; boot++)
        {
            lab.Network.Unplug(lab.E3);
            lab.Network.Plug(lab.E3);
            for (int i = 0; i < 300; i++)
            {
                byte[] packet = Packets.Udp(lab.E3.V4, lab.E2.V4, PortNumbers.Next(), 5000 + i, Probe.Payload());
                lab.E3.Wire.Send(Packets.FrameOf(lab.E3.HostMac, lab.E3.Mac, packet));
            }
        }

        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.Equal(0, Volatile.Read(ref seen));
        await DaemonLab.UntilAsync(
            "e3 is back", async () => (await lab.VnicAsync("tap-e3")).State == VnicState.Enforced);
    }

    [Fact]
    public async Task A_vNIC_is_named_before_it_exists_and_enforced_when_it_comes()
    {
        Guest e4 = lab.Network.AddGuest(
            new GuestSpec("e4", "tap-e4", "02:00:00:00:00:04", "10.0.0.4", "2001:db8:1::4"));
        using Flood allowed = DaemonLab.StartFlood(lab.E1, e4, 500, FloodDirections.Forward);
        using Flood denied = DaemonLab.StartFlood(lab.E3, e4, 500, FloodDirections.Forward);
        lab.Network.Unplug(e4);
        await DaemonLab.UntilAsync(
            "no e4", async () => (await lab.StatusAsync()).Vnics.All(v => v.InterfaceName != "tap-e4"));
        Snapshot state = DaemonLab.OneWayIn();
        state.Vnics.Add(new Vnic
        {
            Id = "eni-e4",
            InterfaceName = "tap-e4",
            Mac = e4.Spec.Mac,
            VpcId = Scenarios.States.Vpc,
            Addresses = { e4.Spec.Addresses },
            GroupIds = { "sg-b" },
        });
        await lab.ApplyAsync(state);
        Assert.Equal(VnicState.Absent, (await lab.VnicAsync("tap-e4")).State);

        lab.Network.Plug(e4);
        await DaemonLab.UntilAsync(
            "e4 enforced", async () => (await lab.VnicAsync("tap-e4")).State == VnicState.Enforced);
        long before = allowed.Forward.Received;
        await DaemonLab.UntilAsync("what is allowed", () => allowed.Forward.Received > before + 50);
        Assert.False(await SpoofArrivesAsync(e4));
        await denied.StopAsync();
        Assert.Equal(0, denied.Forward.Received);
        await allowed.StopAsync();

        lab.Network.RemoveGuest("e4");
        await DaemonLab.UntilAsync("e4 absent", async () => (await lab.VnicAsync("tap-e4")).State == VnicState.Absent);
    }

    [Fact]
    public async Task A_device_that_moves_away_and_comes_back_is_enforced_again()
    {
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        NetNamespace elsewhere = lab.Network.Outsider.Place;
        lab.Network.Host.IpBatch([$"link set tap-e2 netns {elsewhere.Name}"]);
        await DaemonLab.UntilAsync("e2 absent", async () => (await lab.VnicAsync("tap-e2")).State == VnicState.Absent);
        elsewhere.IpBatch([$"link set tap-e2 netns {lab.Network.Host.Name}"]);
        lab.Network.ConfigureHostSide(lab.E2);
        await DaemonLab.UntilAsync(
            "e2 enforced", async () => (await lab.VnicAsync("tap-e2")).State == VnicState.Enforced);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await SpoofArrivesAsync(lab.E2));
        await denied.StopAsync();
        Assert.Equal(0, denied.Forward.Received);
    }

    [Fact]
    public async Task A_renamed_device_is_closed_under_its_new_name_and_enforced_under_its_old_one()
    {
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        Rename("tap-e2", "vnet7");
        await DaemonLab.UntilAsync("vnet7 closed", async () =>
            (await lab.StatusAsync()).Vnics.Any(v => v.InterfaceName == "vnet7" && v.State == VnicState.Unmanaged));
        Assert.Equal(VnicState.Absent, (await lab.VnicAsync("tap-e2")).State);
        lab.Network.Host.IpBatch([
            $"route replace {lab.E2.V4}/32 dev vnet7",
            $"neigh replace {lab.E2.V4} lladdr {lab.E2.Spec.Mac} dev vnet7 nud permanent"]);
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        Assert.False(await lab.UdpArrivesAsync(lab.E2, lab.Network.Outsider, expected: false));

        Rename("vnet7", "tap-e2");
        lab.Network.ConfigureHostSide(lab.E2);
        await DaemonLab.UntilAsync(
            "e2 enforced", async () => (await lab.VnicAsync("tap-e2")).State == VnicState.Enforced);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await SpoofArrivesAsync(lab.E2));
        await denied.StopAsync();
        Assert.Equal(0, denied.Forward.Received);

        void Rename(string from, string to) => lab.Network.Host.IpBatch(
            [$"link set {from} down", $"link set {from} name {to}", $"link set {to} up"]);
    }

    [Fact]
    public async Task Managed_names_without_a_policy_are_closed_and_counted_and_other_names_are_left_alone()
    {
        await using DaemonLab fresh = await DaemonLab.StartAsync(before: network =>
        {
            network.AddGuest(new GuestSpec("vm", "vnet3", "02:00:00:00:00:31", "10.0.0.31", "2001:db8:1::31"));
            network.AddGuest(new GuestSpec("x1", "port1", "02:00:00:00:00:41", "10.0.0.41", "2001:db8:1::41"));
            network.AddGuest(new GuestSpec("x2", "port2", "02:00:00:00:00:42", "10.0.0.42", "2001:db8:1::42"));
            network.Host.Nft(Marks);
        });
        Guest vm = fresh.Network.Guests["vm"];
        Guest x1 = fresh.Network.Guests["x1"];
        Guest x2 = fresh.Network.Guests["x2"];
        foreach (Guest closed in (Guest[])[fresh.E1, vm])
        {
            (long from, long to) = Closed(fresh);
            Assert.False(await fresh.UdpArrivesAsync(closed, x1, expected: false));
            Assert.False(await fresh.UdpArrivesAsync(x1, closed, expected: false));
            Assert.False(await fresh.Probe.EchoReturnsAsync(closed, closed.V6, x1.V6));
            (long fromNow, long toNow) = Closed(fresh);
            Assert.True(fromNow >= from + 2 && toNow >= to + 1, $"{from} {to} -> {fromNow} {toNow}");
        }

        foreach (string device in (string[])["tap-e1", "vnet3"])
        {
            Assert.Equal(VnicState.Unmanaged, (await fresh.VnicAsync(device)).State);
        }

        Assert.DoesNotContain(
            (await fresh.StatusAsync()).Vnics,
            v => v.InterfaceName is "port1" or "port2" or "uplink0");
        await fresh.ApplyAsync(DaemonLab.OneWayIn());
        using Flood untouched = DaemonLab.StartFlood(x1, x2, 1000, FloodDirections.Both);
        Assert.True(await fresh.Probe.MidStreamArrivesAsync(x1, new(x1.V4, 700), x2, new(x2.V4, 701), Probe.PassWait));
        Assert.True(await fresh.Probe.EchoReturnsAsync(x1, x1.V6, x2.V6, Probe.PassWait));
        for (int i = 0; i < 5; i++)
        {
            await fresh.ApplyAsync(i % 2 == 0 ? new Snapshot() : DaemonLab.OneWayIn());
        }

        await DaemonLab.UntilAsync("a flood", () => untouched.Backward.Received > 500);
        await untouched.StopAsync();
        Assert.Empty(untouched.Forward.Missing());
        Assert.Empty(untouched.Backward.Missing());
        string marks = fresh.Network.Host.Exec("nft", "list", "table", "inet", "marks");
        Assert.True(Count(marks, "kept") > 1000, marks);
        Assert.Equal(0, Count(marks, "changed"));
    }

    /// <summary>Somebody else's marks, of packets and sessions, set before our hooks and read after them.</summary>
    private const string Marks = """
        table inet marks {
          counter kept { }
          counter changed { }
          chain before { type filter hook forward priority -10;
            iifname "port*" oifname "port*" ct mark set 0x5a meta mark set 0x77;
          }
          chain after { type filter hook forward priority 10;
            iifname "port*" oifname "port*" ct mark 0x5a meta mark 0x77 counter name "kept" accept
            iifname "port*" oifname "port*" counter name "changed"
          }
        }

        """;

    private static (long From, long To) Closed(DaemonLab lab)
    {
        string counters = lab.Network.Host.Exec("nft", "list", "counters", "table", "inet", "sg_agent");
        return (Count(counters, "closed_from"), Count(counters, "closed_to"));
    }

    private static long Count(string listing, string counter) => long.Parse(
        Regex.Match(listing, $@"counter {counter} \{{\s*packets (\d+)").Groups[1].Value, CultureInfo.InvariantCulture);

    private async Task RebootAsync(Guest guest, Flood allowed)
    {
        long before = allowed.Forward.Received;
        await DaemonLab.UntilAsync("what is allowed", () => allowed.Forward.Received > before + 20);
        lab.Network.Unplug(guest);
        await DaemonLab.UntilAsync(
            "its absence", async () => (await lab.VnicAsync(guest.HostDevice)).State == VnicState.Absent);
        before = allowed.Forward.Received;
        lab.Network.Plug(guest);
        await DaemonLab.UntilAsync("what is allowed, again", () => allowed.Forward.Received > before + 20);
        Assert.False(await SpoofArrivesAsync(guest));
    }

    private Task<bool> SpoofArrivesAsync(Guest from)
    {
        byte[] spoofed = Packets.Udp(
            System.Net.IPAddress.Parse("10.0.0.99"), lab.Network.Outsider.V4, PortNumbers.Next(), 53, Probe.Payload());
        return lab.Probe.PacketArrivesAsync(from, spoofed, lab.Network.Outsider);
    }
}
