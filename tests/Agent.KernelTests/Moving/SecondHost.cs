using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Moving;

/// <summary>Another host with an agent of its own, behind the same world: guests of a network may move to it.</summary>
internal sealed class SecondHost : IAsyncDisposable
{
    private const string UplinkMac = "0e:00:00:00:01:01";
    private const string WorldMac = "0e:00:00:00:01:02";

    private readonly TestNetwork network;
    private readonly NetNamespace place = NetNamespace.Create("second");

    private SecondHost(TestNetwork network) => this.network = network;

    public DaemonProcess Daemon { get; private set; } = null!;

    public SecurityGroupAgent.SecurityGroupAgentClient Client => new(Daemon.Channel);

    public static async Task<SecondHost> StartAsync(TestNetwork network)
    {
        var host = new SecondHost(network);
        try
        {
            host.Wire();
            host.Daemon = await DaemonProcess.StartAsync(
                host.place, new DaemonOptions { ReadyTimeout = Pace.Scaled(TimeSpan.FromSeconds(60)) });
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Moves the guest's device here, as a hypervisor would; the guest keeps its end of the wire.</summary>
    public void Receive(Guest guest)
    {
        SystemCommand.Run("ip", "-n", network.Host.Name, "link", "set", guest.HostDevice, "netns", place.Name);
        place.IpBatch(
        [
            $"addr add 169.254.0.1/32 dev {guest.HostDevice}",
            $"addr add fe80::1/64 dev {guest.HostDevice} nodad",
            $"link set {guest.HostDevice} up",
            .. guest.Addresses.Select(a => $"route add {a} dev {guest.HostDevice}"),
            .. guest.Addresses.Select(a =>
                $"neigh replace {a} lladdr {guest.Spec.Mac} dev {guest.HostDevice} nud permanent"),
        ]);

        // As a network learns it from the guest's announcement.
        network.Outsider.Place.IpBatch(guest.Addresses.Select(a => Packets.IsV4(a)
            ? $"route replace {a} via 169.254.0.1 dev eth1 onlink" : $"route replace {a} via fe80::1 dev eth1"));
    }

    public Task<Accepted> ApplyAsync(Snapshot state) => DaemonLab.ApplyAsync(Client, state);

    public Task EnforcedAsync(string vnic) => DaemonLab.UntilAsync($"{vnic} enforced on the second host", async () =>
        (await Client.GetStatusAsync(new GetStatusRequest())).Vnics
            .Single(one => one.VnicId == vnic).State == VnicState.Enforced);

    public async ValueTask DisposeAsync()
    {
        if (Daemon is not null)
        {
            await Daemon.DisposeAsync();
        }

        place.Dispose();
    }

    private void Wire()
    {
        NetNamespace world = network.Outsider.Place;
        foreach (string sysctl in (string[])["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"])
        {
            place.SetSysctl(sysctl, "1");
        }

        foreach (string scope in (string[])["all", "default"])
        {
            place.SetSysctl($"net/ipv4/conf/{scope}/rp_filter", "0");
            place.SetSysctl($"net/ipv6/conf/{scope}/accept_dad", "0");
        }

        place.IpBatch(
        [
            $"link add uplink0 address {UplinkMac} type veth peer name eth1 address {WorldMac} netns {world.Name}",
            "addr add 169.254.0.1/32 dev uplink0",
            "addr add fe80::1/64 dev uplink0 nodad",
            "link set uplink0 up",
            $"neigh replace 169.254.0.2 lladdr {WorldMac} dev uplink0 nud permanent",
            $"neigh replace fe80::2 lladdr {WorldMac} dev uplink0 nud permanent",
            "route add default via 169.254.0.2 dev uplink0 onlink",
            "route add ::/0 via fe80::2 dev uplink0",
        ]);
        world.IpBatch(
        [
            "link set eth1 up",
            $"neigh replace 169.254.0.1 lladdr {UplinkMac} dev eth1 nud permanent",
            $"neigh replace fe80::1 lladdr {UplinkMac} dev eth1 nud permanent",
        ]);
    }
}
