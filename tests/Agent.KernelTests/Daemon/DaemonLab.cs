using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Scenarios;
using Agent.Nftables;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>A network and a daemon for one test, which may stop, kill and damage it.</summary>
internal sealed class DaemonLab : IAsyncDisposable
{
    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(15));

    private readonly NftConnection kernel;

    private DaemonLab(TestNetwork network, DaemonProcess daemon)
    {
        Network = network;
        Daemon = daemon;
        Probe = new Probe(network);
        kernel = network.Host.Run(() => new NftConnection());
    }

    public TestNetwork Network { get; }

    public DaemonProcess Daemon { get; }

    public Probe Probe { get; }

    public SecurityGroupAgent.SecurityGroupAgentClient Client => new(Daemon.Channel);

    public Guest E1 => Network.Guests["e1"];

    public Guest E2 => Network.Guests["e2"];

    public Guest E3 => Network.Guests["e3"];

    /// <summary>
    /// The three guests of the scenarios; the tables are anybody's, so that a restart has no reason to write.
    /// </summary>
    public static Task<DaemonLab> StartUnprotectedAsync() => StartAsync(c => c["protect_tables"] = false);

    public static async Task<DaemonLab> StartAsync(
        Action<JsonObject>? configure = null, Action<TestNetwork>? before = null, int? stateSizeKiB = null,
        Topology topology = Topology.Routed, string? binary = null,
        IReadOnlyDictionary<string, string>? disks = null, Func<DaemonOptions, DaemonOptions>? adapt = null)
    {
        TestNetwork network = TestNetwork.Create(new TestNetworkOptions { Topology = topology }, States.Guests);
        try
        {
            before?.Invoke(network);
            DaemonOptions options = new()
            {
                Configure = configure,
                ReadyTimeout = Pace.Scaled(TimeSpan.FromSeconds(60)),
                StateSizeKiB = stateSizeKiB,
                BinaryPath = binary,
                Disks = disks ?? new Dictionary<string, string>(),
            };
            return new DaemonLab(network, await DaemonProcess.StartAsync(
                network.Host, adapt?.Invoke(options) ?? options));
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>e2 takes UDP and TCP 22 from the members of sg-a, which is e1; nothing from e3.</summary>
    public static Snapshot OneWayIn() => States.Apply(
        [
            States.Isolating("sg-a"),
            States.Isolating("sg-b", "in 1 accept udp 1/65535 sg-a", "in 1 accept tcp 22/22 sg-a"),
            States.Isolating("sg-c"),
        ],
        States.Nic("e1", "sg-a"),
        States.Nic("e2", "sg-b"),
        States.Nic("e3", "sg-c")).State.Clone();

    /// <summary>Whatever was before, also if that is a mass change.</summary>
    public Task<Accepted> ApplyAsync(Snapshot state) => ApplyAsync(Client, state);

    /// <summary>Likewise, by any agent.</summary>
    public static async Task<Accepted> ApplyAsync(
        SecurityGroupAgent.SecurityGroupAgentClient client, Snapshot state)
    {
        ApplyResponse answer = await client.ApplySnapshotAsync(new ApplySnapshotRequest
        {
            Snapshot = state,
            NextRevision = true,
            ConfirmMassChange = true,
        });
        Assert.True(answer.Accepted is not null, $"not accepted: {answer}");
        return answer.Accepted;
    }

    public async Task<Snapshot> StateAsync() => await Client.GetStateAsync(new GetStateRequest());

    public async Task<AgentStatus> StatusAsync() => await Client.GetStatusAsync(new GetStatusRequest());

    public async Task<VnicStatus> VnicAsync(string device) =>
        (await StatusAsync()).Vnics.Single(v => v.InterfaceName == device);

    /// <summary>Moves with every commit of anybody in the host's namespace.</summary>
    public uint Generation() => kernel.ReadGeneration();

    /// <summary>Ends when nothing is left to clean up, and nobody writes any more.</summary>
    public async Task SettledAsync()
    {
        uint last = Generation();
        int quiet = 0;
        await UntilAsync("a ruleset at rest", () =>
        {
            uint now = Generation();
            quiet = now == last ? quiet + 1 : 0;
            last = now;
            return quiet > 20;
        });
    }

    /// <summary>Does something while somebody else commits without pause.</summary>
    /// <param name="set">A set of addresses in their own table, as nft names it.</param>
    /// <param name="act">What is done.</param>
    public async Task WhileOthersCommitAsync(string set, Func<Task> act)
    {
        using CancellationTokenSource end = new();
        Task storm = Task.Run(() =>
        {
            for (int i = 0; !end.IsCancellationRequested; i++)
            {
                Network.Host.Exec("nft", $"{(i % 2 == 0 ? "add" : "delete")} element {set} {{ 192.0.2.200 }}");
            }
        });
        try
        {
            await act();
        }
        finally
        {
            await end.CancelAsync();
            await storm;
        }
    }

    /// <summary>Everything that nft sees, with handles: an object that was made anew has another one.</summary>
    public string Listing() => Network.Host.Exec("nft", "-a", "list", "ruleset");

    public static Flood StartFlood(
        NetworkEndpoint from, NetworkEndpoint to, int perSecond, FloodDirections directions) =>
        Flood.StartUdp(
            new UdpPath(
                from, new IPEndPoint(from.V4, PortNumbers.Next()), to, new IPEndPoint(to.V4, PortNumbers.Next())),
            perSecond, directions);

    /// <summary>Every kind of frame that a guard tells apart, as a guest sends it.</summary>
    public IReadOnlyList<GuestFrame> FramesOf(Guest guest) => GuestFrames.Of(
        new GuestIdentity(guest.Mac, Network.NextHopMac(guest, IPAddress.Parse("198.51.100.7")))
        {
            V4 = guest.V4,
            OtherV4 = guest.Addresses.Last(Packets.IsV4),
            V6 = guest.V6,
            OtherV6 = guest.Addresses[^1],
        });

    public Task<bool> UdpArrivesAsync(NetworkEndpoint from, NetworkEndpoint to, bool expected) => Probe.UdpArrivesAsync(
        from, new IPEndPoint(from.V4, PortNumbers.Next()), to, new IPEndPoint(to.V4, PortNumbers.Next()),
        expected ? Probe.PassWait : Probe.DropWait);

    public async Task<double> MetricAsync(string name)
    {
        string line = (await Daemon.ReadMetricsAsync()).Single(l => l.StartsWith(name + " ", StringComparison.Ordinal));
        return double.Parse(line.Split(' ')[1], CultureInfo.InvariantCulture);
    }

    public static Task UntilAsync(string what, Func<bool> happened) =>
        UntilAsync(what, () => Task.FromResult(happened()));

    /// <summary>For what takes its time.</summary>
    public static Task UntilLongAsync(string what, Func<bool> happened, TimeSpan patience) =>
        UntilAsync(what, () => Task.FromResult(happened()), patience);

    public static async Task UntilAsync(string what, Func<Task<bool>> happened, TimeSpan? patience = null)
    {
        TimeSpan most = patience ?? Patience;
        Stopwatch waited = Stopwatch.StartNew();
        while (!await happened())
        {
            Assert.True(waited.Elapsed < most, $"in {most}, this did not come: {what}");
            await Task.Delay(5);
        }
    }

    public async ValueTask DisposeAsync()
    {
        kernel.Dispose();
        await Daemon.DisposeAsync();
        Network.Dispose();
    }
}
