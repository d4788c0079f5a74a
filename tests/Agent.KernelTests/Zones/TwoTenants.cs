using System.Net;
using System.Net.Sockets;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Zones;

/// <summary>
/// Two VPCs with the same addresses on one host: guests a1, a2 and b1, b2, and a world behind an uplink for each. The
/// host routes each VPC by its own table, as a cloud's host does.
/// </summary>
internal sealed class TwoTenants : IAsyncDisposable
{
    public const int TableA = 101;
    public const int TableB = 102;

    private static readonly string[] Outside = ["198.51.100.7", "2001:db8:ffff::7"];

    private TwoTenants(TestNetwork network, DaemonProcess daemon, NetworkEndpoint worldA, NetworkEndpoint worldB)
    {
        Network = network;
        Daemon = daemon;
        WorldA = worldA;
        WorldB = worldB;
        Probe = new Probe(network);
    }

    public TestNetwork Network { get; }

    public DaemonProcess Daemon { get; }

    public Probe Probe { get; }

    public NetworkEndpoint WorldA { get; }

    public NetworkEndpoint WorldB { get; }

    public Guest this[string name] => Network.Guests[name];

    public SecurityGroupAgent.SecurityGroupAgentClient Client => new(Daemon.Channel);

    public static async Task<TwoTenants> StartAsync()
    {
        TestNetwork network = TestNetwork.Create(
            new TestNetworkOptions(),
            Spec("a1", TableA, 5), Spec("a2", TableA, 6), Spec("b1", TableB, 5), Spec("b2", TableB, 6));
        try
        {
            NetworkEndpoint worldA = network.AddUplink("up-a", TableA, Outside);
            NetworkEndpoint worldB = network.AddUplink("up-b", TableB, Outside);
            DaemonOptions options = new()
            {
                Configure = c => c["protect_tables"] = false,
                ReadyTimeout = TimeSpan.FromSeconds(60),
            };
            return new TwoTenants(network, await DaemonProcess.StartAsync(network.Host, options), worldA, worldB);
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Each VPC: one of its guests is in "clients"; the other, a server, takes UDP and TCP from them and from outside.
    /// </summary>
    public static Snapshot State()
    {
        var state = new Snapshot
        {
            Vpcs =
            {
                new Vpc { Id = "vpc-a", UplinkInterfaces = { "up-a" } },
                new Vpc { Id = "vpc-b", UplinkInterfaces = { "up-b" } },
            },
        };
        foreach (string vpc in (string[])["a", "b"])
        {
            SecurityGroup clients = States.Isolating($"sg-{vpc}-clients");
            SecurityGroup servers = States.Isolating($"sg-{vpc}-servers",
                $"in 1 accept udp 1/65535 sg-{vpc}-clients", $"in 1 accept tcp 1/65535 sg-{vpc}-clients",
                "in 1 accept udp 5300/5399 198.51.100.7/32", "in 1 accept tcp 22/22 198.51.100.7/32",
                "in 1 accept udp 5300/5399 2001:db8:ffff::7/128", "in 1 accept tcp 22/22 2001:db8:ffff::7/128");
            clients.VpcId = servers.VpcId = $"vpc-{vpc}";
            state.Groups.Add([clients, servers]);
            state.Vnics.Add([Nic(vpc, 1, 5, clients.Id), Nic(vpc, 2, 6, servers.Id)]);
        }

        return state;
    }

    public async Task<Accepted> ApplyAsync(Snapshot state)
    {
        ApplyResponse answer = await Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = state, NextRevision = true, ConfirmMassChange = true });
        Assert.True(answer.Accepted is not null, $"refused: {answer.Refused}");
        Assert.Empty(answer.Accepted.FailedVnics);
        return answer.Accepted;
    }

    public async Task<AgentStatus> StatusAsync() => await Client.GetStatusAsync(new GetStatusRequest());

    public Task<bool> UdpArrivesAsync(NetworkEndpoint from, NetworkEndpoint to, IPAddress target, bool expected) =>
        Probe.UdpArrivesAsync(
            from,
            new IPEndPoint(target.AddressFamily == AddressFamily.InterNetwork ? from.V4 : from.V6, PortNumbers.Next()),
            to,
            new IPEndPoint(target, 5300),
            expected ? Probe.PassWait : Probe.DropWait);

    public async ValueTask DisposeAsync()
    {
        await Daemon.DisposeAsync();
        Network.Dispose();
    }

    private static GuestSpec Spec(string name, int table, int host) => new(
        name, $"tap-{name}", Mac(name), $"10.0.0.{host}", $"2001:db8:1::{host}")
    {
        RoutingTable = table,
    };

    private static Vnic Nic(string vpc, int number, int host, string group) => new()
    {
        Id = $"eni-{vpc}{number}",
        InterfaceName = $"tap-{vpc}{number}",
        Mac = Mac($"{vpc}{number}"),
        VpcId = $"vpc-{vpc}",
        Addresses = { $"10.0.0.{host}", $"2001:db8:1::{host}" },
        GroupIds = { group },
    };

    public static string Mac(string name) => $"02:00:00:00:0{(char)name[0]}:0{name[1]}";
}
