using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.Netlink.Conntrack;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>One network and one daemon for a class of tests about live sessions.</summary>
public class SessionLab : IAsyncLifetime
{
    private DaemonLab? lab;
    private ConntrackConnection? sessions;
    private CountedDrops? drops;
    private string? served;

    internal DaemonLab Lab => lab ?? throw new InvalidOperationException("not initialized");

    /// <summary>Every test says first what it needs of the kernel.</summary>
    internal void Need()
    {
        if (Topology == Topology.Bridged)
        {
            KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        }
    }

    internal Guest E1 => Lab.E1;

    internal Guest E2 => Lab.E2;

    internal Guest E3 => Lab.E3;

    internal NetworkEndpoint Outsider => Lab.Network.Outsider;

    internal CountedDrops Drops => drops ?? throw new InvalidOperationException("not initialized");

    internal Volley Volley => new(Lab.Network, Drops);

    protected virtual void Configure(JsonObject configuration)
    {
    }

    protected virtual Topology Topology => Topology.Routed;

    /// <summary>What the network needs before the daemon starts.</summary>
    protected virtual void Prepare(TestNetwork network)
    {
    }

    public async ValueTask InitializeAsync()
    {
        if (Topology == Topology.Bridged && !KernelNeeds.Has(KernelFeature.BridgeConntrack))
        {
            return; // each test says so, and why
        }

        lab = await DaemonLab.StartAsync(Configure, Prepare, topology: Topology);
        sessions = lab.Network.Host.Run(() => new ConntrackConnection());
        drops = new CountedDrops(lab.Network.Host);
    }

    public virtual async ValueTask DisposeAsync()
    {
        sessions?.Dispose();
        drops?.Dispose();
        if (lab is not null)
        {
            await lab.DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>The host's session table, as the kernel has it now.</summary>
    internal IReadOnlyList<Flow> Sessions() => sessions!.Read();

    internal int ClearMarks(uint mask, uint value, uint clear) => sessions!.ClearMarks(mask, value, clear);

    /// <summary>Restarts the daemon with these services of the host, and nothing else changed.</summary>
    internal async Task ServeAsync(params string[] services)
    {
        string wanted = string.Join(' ', services);
        if (wanted == served)
        {
            return;
        }

        served = wanted;
        await Lab.Daemon.StopAsync();
        CancellationToken cancel = TestContext.Current.CancellationToken;
        JsonNode configuration = JsonNode.Parse(await File.ReadAllTextAsync(Lab.Daemon.ConfigurationPath, cancel))!;
        configuration["host_services"] = new JsonArray([.. services.Select(one => JsonValue.Create(one))]);
        await File.WriteAllTextAsync(Lab.Daemon.ConfigurationPath, configuration.ToJsonString(), cancel);
        await Lab.Daemon.LaunchAsync();
        await Lab.StatusAsync();
    }

    /// <summary>Nobody's session is left over from another test.</summary>
    internal void Forget() => SessionTable.Flush(Lab.Network.Host);

    /// <summary>Applies; the moment is taken when the acknowledgement is in our hands.</summary>
    internal async Task<(Accepted Answer, long AckedAt)> ApplyAsync(Snapshot state)
    {
        Accepted answer = await Lab.ApplyAsync(state);
        long acked = Stopwatch.GetTimestamp();
        Assert.Empty(answer.FailedVnics);
        return (answer, acked);
    }

    internal static Flood StartUdp(
        NetworkEndpoint from, NetworkEndpoint to, bool v4, int perSecond, FloodDirections directions)
    {
        (IPAddress source, IPAddress target) = v4 ? (from.V4, to.V4) : (from.V6, to.V6);
        return Flood.StartUdp(
            new UdpPath(
                from, new IPEndPoint(source, PortNumbers.Next()), to, new IPEndPoint(target, PortNumbers.Next())),
            perSecond, directions);
    }

    internal static async Task<TcpStream> ConnectAsync(NetworkEndpoint from, NetworkEndpoint to, bool v4, int port = 22)
    {
        TcpStream? stream = await Probe.ConnectAsync(
            new TcpRoute(from, new IPEndPoint(v4 ? to.V4 : to.V6, port), to), Probe.PassWait);
        return stream ?? throw new InvalidOperationException("the session that the test needs did not come about");
    }

    /// <summary>
    /// What never came of what was sent after the first that did: the answer may be faster than the question.
    /// </summary>
    internal static long[] Lost(FloodStream stream) =>
        [.. stream.Missing().Where(sequence => sequence > stream.FirstSequence)];

    /// <summary>
    /// e1 (in sg-a) calls e2 (in sg-b), which lets it in by these rules; e1 calls e3 (in sg-c) whatever happens.
    /// </summary>
    internal static Snapshot CallsInto(params string[] rules) => States.Apply(
        [
            States.Isolating("sg-a"),
            States.Isolating("sg-b", rules),
            States.Isolating("sg-c", "in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0"),
        ],
        States.Nic("e1", "sg-a"),
        States.Nic("e2", "sg-b"),
        States.Nic("e3", "sg-c")).State.Clone();
}

/// <summary>A daemon with four bits of epoch, so that the circle closes every fifteen revocations.</summary>
public sealed class SmallCircleLab : SessionLab
{
    internal const uint Mask = 0x00f00000;

    protected override void Configure(JsonObject configuration) => configuration["epoch_mask"] = "0x00f00000";
}

public sealed class BridgedLab : SessionLab
{
    protected override Topology Topology => Topology.Bridged;
}

public sealed class KeepingLab : SessionLab
{
    protected override void Configure(JsonObject configuration) => configuration["on_change"] = "keep";
}
