using System.Net;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Chaos;

/// <summary>
/// All that is sent while misfortunes happen: TCP and UDP, sessions that live and new ones, both families, allowed and
/// forbidden.
/// </summary>
internal sealed class ChaosTraffic : IDisposable
{
    private static readonly TimeSpan Rhythm = TimeSpan.FromMilliseconds(20);

    private readonly List<ChaosFlow> flows = [];
    private readonly Dictionary<string, IDisposable> watches = [];
    private readonly Thread sender;
    private volatile bool over;

    private ChaosTraffic() => sender = new Thread(SendAll) { IsBackground = true, Name = "chaos-traffic" };

    public IEnumerable<ChaosFlow> Allowed => flows.Where(flow => flow.IsAllowed);

    public IEnumerable<ChaosFlow> Forbidden => flows.Where(flow => !flow.IsAllowed);

    /// <summary>Opens the sessions that will live, and sends from then on. The policy is in force.</summary>
    public static async Task<ChaosTraffic> StartAsync(ChaosHost host)
    {
        ChaosTraffic traffic = new();
        try
        {
            await traffic.OpenAsync(host);
            foreach (NetworkEndpoint receiver in traffic.Fresh().Select(flow => flow.Receiver).Distinct())
            {
                traffic.Watch(receiver);
            }

            traffic.sender.Start();
            return traffic;
        }
        catch
        {
            traffic.Dispose();
            throw;
        }
    }

    /// <summary>The receiver's wire is a new one.</summary>
    public void Watch(NetworkEndpoint receiver)
    {
        FreshSessions[] mine = [.. Fresh().Where(flow => flow.Receiver == receiver)];
        if (mine.Length == 0)
        {
            return;
        }

        watches.GetValueOrDefault(receiver.HostDevice)?.Dispose();
        watches[receiver.HostDevice] = receiver.Wire.Subscribe(frame =>
        {
            if (ReceivedPacket.FromFrame(frame) is { } packet)
            {
                foreach (FreshSessions flow in mine)
                {
                    flow.See(packet);
                }
            }
        });
    }

    public void Dispose()
    {
        over = true;
        if (sender.IsAlive)
        {
            sender.Join();
        }

        foreach (IDisposable one in watches.Values.Concat(flows))
        {
            one.Dispose();
        }
    }

    private IEnumerable<FreshSessions> Fresh() => flows.OfType<FreshSessions>();

    private async Task OpenAsync(ChaosHost host)
    {
        (DaemonLab lab, Guest g1, Guest g2) = (host.Lab, host.G1, host.G2);
        (Guest e1, Guest e2, Guest e3) = (lab.E1, lab.E2, lab.E3);
        flows.Add(await LivingTcp.OpenAsync("living tcp4 e1-e2", e1, e2, v4: true));
        flows.Add(await LivingTcp.OpenAsync("living tcp6 g1-g2", g1, g2, v4: false));
        flows.Add(Living("living udp4 e1-e2", isAllowed: true, e1.V4, e1, e2.V4, e2));
        flows.Add(Living("living udp6 e1-e2", isAllowed: true, e1.V6, e1, e2.V6, e2));
        flows.Add(Living("living udp4 g1-g2", isAllowed: true, g1.V4, g1, g2.V4, g2));
        flows.Add(Fresh("new udp4 e1-e2", isAllowed: true, e1, e1.V4, e2, e2.V4, isTcp: false));
        flows.Add(Fresh("new tcp6 e1-e2", isAllowed: true, e1, e1.V6, e2, e2.V6, isTcp: true));
        flows.Add(Fresh("new udp6 g1-g2", isAllowed: true, g1, g1.V6, g2, g2.V6, isTcp: false));
        flows.Add(Fresh("new tcp4 g1-g2", isAllowed: true, g1, g1.V4, g2, g2.V4, isTcp: true));

        flows.Add(Living("living udp4 e3-e2", isAllowed: false, e3.V4, e3, e2.V4, e2));
        flows.Add(Living("living udp6 e3-e2", isAllowed: false, e3.V6, e3, e2.V6, e2));
        flows.Add(Fresh("new udp6 e3-e2", isAllowed: false, e3, e3.V6, e2, e2.V6, isTcp: false));
        flows.Add(Fresh("new tcp4 e3-e2", isAllowed: false, e3, e3.V4, e2, e2.V4, isTcp: true));
        flows.Add(Fresh("new udp4 e2-e1, the other way", isAllowed: false, e2, e2.V4, e1, e1.V4, isTcp: false));
        flows.Add(Fresh("new tcp6 e2-e1, the other way", isAllowed: false, e2, e2.V6, e1, e1.V6, isTcp: true));
        NetworkEndpoint world = lab.Network.Outsider;
        flows.Add(Fresh("new udp4 world-e2", isAllowed: false, world, world.V4, e2, e2.V4, isTcp: false));
        flows.Add(Fresh("new udp4 e3 as e1-e2", isAllowed: false, e3, e1.V4, e2, e2.V4, isTcp: false));
        flows.Add(Fresh("new udp4 e1-g2, another tenant", isAllowed: false, e1, e1.V4, g2, g2.V4, isTcp: false));
        flows.Add(Fresh("new tcp6 g1-e2, another tenant", isAllowed: false, g1, g1.V6, e2, e2.V6, isTcp: true));
    }

    private static LivingUdp Living(
        string name, bool isAllowed, IPAddress source, Guest from, IPAddress target, Guest to) => new(
            name, isAllowed, new UdpPath(
                from, new IPEndPoint(source, PortNumbers.Next()), to, new IPEndPoint(target, PortNumbers.Next())));

    private static FreshSessions Fresh(
        string name, bool isAllowed, NetworkEndpoint sender, IPAddress source, NetworkEndpoint receiver,
        IPAddress target, bool isTcp) =>
        new(name, isAllowed, sender, source, receiver, new IPEndPoint(target, isTcp ? 22 : PortNumbers.Next()), isTcp);

    private void SendAll()
    {
        while (!over)
        {
            flows.ForEach(flow => flow.Send());
            Thread.Sleep(Rhythm);
        }
    }
}
