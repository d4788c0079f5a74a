using System.Net;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Scenarios;

/// <summary>One topology and one daemon for all scenarios of a class; each scenario is one snapshot more.</summary>
public class ScenarioHost : IAsyncLifetime
{
    private readonly Dictionary<string, TcpStream> streams = [];
    private TestNetwork? network;
    private DaemonProcess? daemon;
    private Probe? probe;

    public TestNetwork Network => network ?? throw new InvalidOperationException("not initialized");

    public DaemonProcess Daemon => daemon ?? throw new InvalidOperationException("not initialized");

    public Probe Probe => probe ?? throw new InvalidOperationException("not initialized");

    /// <summary>What this class of tests wants otherwise.</summary>
    protected virtual DaemonOptions Options => new();

    /// <summary>How the guests are connected.</summary>
    protected virtual Topology Topology => Topology.Routed;

    public async ValueTask InitializeAsync()
    {
        if (Topology == Topology.Bridged && !KernelNeeds.Has(KernelFeature.BridgeConntrack))
        {
            return; // each test says so, and why
        }

        network = TestNetwork.Create(
            new TestNetworkOptions
            {
                Topology = Topology,
                OutsideAddresses =
                [
                    AddressPlan.V4.Seven, AddressPlan.V4.Nine, AddressPlan.V4.Ten, AddressPlan.V4.Resolver,
                    AddressPlan.V6.Seven, AddressPlan.V6.Nine, AddressPlan.V6.Ten, AddressPlan.V6.Resolver,
                    AddressPlan.Metadata, AddressPlan.CloudDns, AddressPlan.HealthCheck,
                ],
            },
            States.Guests);
        network.MapEip(IPAddress.Parse(AddressPlan.V4.E1), IPAddress.Parse(AddressPlan.Eip1));
        network.MapEip(IPAddress.Parse(AddressPlan.V4.E2), IPAddress.Parse(AddressPlan.Eip2));
        probe = new Probe(network);
        daemon = await DaemonProcess.StartAsync(network.Host, Options);
    }

    public async ValueTask DisposeAsync()
    {
        CloseStreams();
        if (daemon is not null)
        {
            await daemon.DisposeAsync();
        }

        network?.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>The endpoint of a name of a <see cref="Question"/>.</summary>
    public NetworkEndpoint Endpoint(string name) => name == "out" ? Network.Outsider : Network.Guests[name];

    public async Task ApplyAsync(Snapshot state)
    {
        SecurityGroupAgent.SecurityGroupAgentClient client = new(Daemon.Channel);
        ApplyResponse answer = await client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = state, NextRevision = true, ConfirmMassChange = true });
        Assert.True(answer.Accepted is not null, $"refused: {answer.Refused}");
        Assert.Empty(answer.Accepted.FailedVnics);
    }

    /// <summary>Runs the steps; the failure names every question that was answered otherwise.</summary>
    public async Task RunAsync(Scenario scenario, AddressPlan plan)
    {
        ArgumentNullException.ThrowIfNull(scenario);
        CloseStreams();
        List<string> wrong = [];
        bool first = true;
        foreach (ScenarioStep step in scenario.Script(plan))
        {
            await PerformAsync(step, wrong);
            if (first)
            {
                // A scenario's traffic is new, unless it opened it itself.
                SessionTable.Flush(Network.Host);
                first = false;
            }
        }

        Assert.True(wrong.Count == 0, $"{scenario.Id} {plan.Family}, {scenario.Text}:\n{string.Join('\n', wrong)}");
    }

    private async Task PerformAsync(ScenarioStep step, List<string> wrong)
    {
        switch (step)
        {
            case ScenarioStep.Apply apply:
                await ApplyAsync(apply.State);
                break;
            case ScenarioStep.Ask ask:
                bool[] answers = await Task.WhenAll(ask.Questions.Select(AnswerAsync));
                wrong.AddRange(ask.Questions.Zip(answers)
                    .Where(q => q.First.Passes != q.Second)
                    .Select(q => $"  {q.First}: expected {Word(q.First.Passes)}, observed {Word(q.Second)}"));
                break;
            case ScenarioStep.Open open:
                TcpStream? stream = await Probe.ConnectAsync(RouteOf(open.Session), Probe.PassWait);
                streams[open.Name] = stream ?? throw new InvalidOperationException($"{open.Session} did not connect");
                break;
            case ScenarioStep.Both both:
                await SendBothWaysAsync(both, wrong);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(step));
        }
    }

    private async Task SendBothWaysAsync(ScenarioStep.Both both, List<string> wrong)
    {
        TimeSpan wait = both.Passes ? Probe.PassWait : Probe.DropWait;
        bool fromServer = await streams[both.Name].ServerSendsAsync(wait);
        bool fromClient = await streams[both.Name].ClientSendsAsync(wait);
        (string, bool)[] ends = [("server", fromServer), ("client", fromClient)];
        foreach ((string end, bool passed) in ends)
        {
            if (passed != both.Passes)
            {
                wrong.Add($"  {both.Name}, {end} sends: expected {Word(both.Passes)}, observed {Word(passed)}");
            }
        }
    }

    private async Task<bool> AnswerAsync(Question question)
    {
        TimeSpan wait = question.Passes ? Probe.PassWait : Probe.DropWait;
        NetworkEndpoint from = Endpoint(question.From);
        NetworkEndpoint to = Endpoint(question.To);
        IPAddress source = IPAddress.Parse(question.Source);
        IPAddress target = IPAddress.Parse(question.Target);
        int sourcePort = question.SourcePort != 0 ? question.SourcePort : PortNumbers.Next();
        return question.Kind switch
        {
            ProbeKind.Tcp => await Probe.TcpConnectsAsync(RouteOf(question), wait),
            ProbeKind.Udp => await Probe.UdpArrivesAsync(
                from, new IPEndPoint(source, sourcePort), to, new IPEndPoint(target, question.Port), wait),
            ProbeKind.Echo => await Probe.EchoReturnsAsync(from, source, target, wait),
            ProbeKind.Protocol => await Probe.ProtocolArrivesAsync(from, source, to, target, question.Protocol, wait),
            ProbeKind.TooBigForUdp or ProbeKind.TooBigForTcp => await ComplainAsync(question, wait),
            _ => throw new ArgumentOutOfRangeException(nameof(question)),
        };
    }

    /// <summary>Opens a session outwards, and lets a router outside complain about it.</summary>
    private async Task<bool> ComplainAsync(Question question, TimeSpan wait)
    {
        NetworkEndpoint guest = Endpoint(question.From);
        IPEndPoint own = new(IPAddress.Parse(question.Source), PortNumbers.Next());
        IPEndPoint peer = new(IPAddress.Parse(question.Target), question.Port);
        byte[] quoted;
        if (question.Kind == ProbeKind.TooBigForTcp)
        {
            TcpStream? stream = await Probe.ConnectAsync(
                RouteOf(question with { SourcePort = own.Port }), Probe.PassWait);
            streams[$"quoted {own}"] = stream ?? throw new InvalidOperationException($"{question}: no session");
            quoted = Packets.Tcp(own, peer, TcpFlags.Ack, 1, 1, Probe.Payload());
        }
        else
        {
            quoted = Packets.Udp(own.Address, peer.Address, own.Port, peer.Port, Probe.Payload());
            Assert.True(
                await Probe.PacketArrivesAsync(guest, quoted, Network.Outsider, Probe.PassWait),
                $"{question}: the session itself does not pass");
        }

        byte[] complaint = Packets.TooBig(IPAddress.Parse(question.Router), own.Address, quoted, 1400);
        return await Probe.PacketArrivesAsync(Network.Outsider, complaint, guest, wait);
    }

    private TcpRoute RouteOf(Question question) =>
        new(
            Endpoint(question.From),
            new IPEndPoint(IPAddress.Parse(question.Target), question.Port),
            Endpoint(question.To))
        {
            Source = IPAddress.Parse(question.Source),
            SourcePort = question.SourcePort,
        };

    private void CloseStreams()
    {
        foreach (TcpStream stream in streams.Values)
        {
            stream.Dispose();
        }

        streams.Clear();
    }

    private static string Word(bool passes) => passes ? "ACCEPT" : "DROP";
}
