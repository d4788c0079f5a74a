using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Chaos;

/// <summary>
/// A host with guests of two tenants: e1, e2 and e3 of <see cref="DaemonLab.OneWayIn"/>, and g1 and g2 of a VPC of
/// their own, of which g2 lets everybody in. The state is on a small disk of its own.
/// </summary>
internal sealed class ChaosHost : IAsyncDisposable
{
    private const string OtherVpc = "vpc-2";
    private const int StateSizeKiB = 2048;

    private static readonly GuestSpec[] Others =
    [
        new("g1", "tap-g1", "02:00:00:00:02:01", "10.2.0.8", "2001:db8:2::8"),
        new("g2", "tap-g2", "02:00:00:00:02:02", "10.2.0.5", "2001:db8:2::5"),
    ];

    private readonly PrivateDisk disk;

    private ChaosHost(DaemonLab lab, PrivateDisk disk) => (Lab, this.disk) = (lab, disk);

    public DaemonLab Lab { get; }

    public Guest G1 => Lab.Network.Guests["g1"];

    public Guest G2 => Lab.Network.Guests["g2"];

    public static async Task<ChaosHost> StartAsync(Action<JsonObject>? configure = null)
    {
        PrivateDisk disk = await PrivateDisk.MountAsync(StateSizeKiB);
        try
        {
            DaemonLab lab = await DaemonLab.StartAsync(
                configure,
                network =>
                {
                    foreach (GuestSpec other in Others)
                    {
                        network.AddGuest(other);
                    }
                },
                adapt: options => options with { Directory = disk.Folder.FullName, Wrapper = disk.Wrapper });
            return new ChaosHost(lab, disk);
        }
        catch
        {
            disk.Dispose();
            throw;
        }
    }

    public static Snapshot State()
    {
        Snapshot state = DaemonLab.OneWayIn();
        SecurityGroup closed = States.Isolating("sg-g1");
        SecurityGroup open = States.Isolating(
            "sg-g2",
            "in 1 accept udp 1/65535 0.0.0.0/0", "in 1 accept udp 1/65535 ::/0",
            "in 1 accept tcp 22/22 0.0.0.0/0", "in 1 accept tcp 22/22 ::/0");
        closed.VpcId = open.VpcId = OtherVpc;
        state.Groups.Add([closed, open]);
        state.Vnics.Add([Nic(Others[0], closed.Id), Nic(Others[1], open.Id)]);
        state.Vpcs.Add([
            new Vpc { Id = States.Vpc, UplinkInterfaces = { "uplink0" } },
            new Vpc { Id = OtherVpc },
        ]);
        return state;
    }

    public async ValueTask DisposeAsync()
    {
        await Lab.DisposeAsync();
        disk.Dispose();
    }

    private static Vnic Nic(GuestSpec guest, string group) => new()
    {
        Id = $"eni-{guest.Name}",
        InterfaceName = guest.Device,
        Mac = guest.Mac,
        VpcId = OtherVpc,
        Addresses = { guest.Addresses },
        GroupIds = { group },
    };
}
