using System.Net;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// Devices by the hundred whose far ends are in one namespace: each comes, goes, is renamed and moved at random, and
/// after each step every one that is there sends what must never get out.
/// </summary>
internal sealed class DeviceCrowd : IDisposable
{
    public const string Group = "sg-crowd";

    private static readonly IPAddress Foreign = IPAddress.Parse("10.66.66.66");
    private static readonly byte[] Legitimate = [0xc0, 0x0b, 0x1d, 1];
    private static readonly byte[] Forbidden = [0xc0, 0x0b, 0x1d, 2];

    private readonly TestNetwork network;
    private readonly NetNamespace far = NetNamespace.Create("crowd");
    private readonly NetNamespace elsewhere = NetNamespace.Create("elsewhere");
    private readonly Random random;
    private readonly IDisposable watch;
    private readonly HashSet<int> arrived = [];
    private readonly HashSet<int> created = [];

    /// <summary>The present name of each; null: it is not there, "": it is elsewhere.</summary>
    private readonly string?[] names;
    private long leaked;
    private long sent;

    public DeviceCrowd(TestNetwork network, int count, int seed)
    {
        this.network = network;
        names = new string?[count];
        random = new Random(seed);
        watch = network.Outsider.Wire.Subscribe(See);
    }

    /// <summary>Packets that were sent so far.</summary>
    public long Sent => sent;

    /// <summary>Those that were never to arrive, and did.</summary>
    public long Leaked => Interlocked.Read(ref leaked);

    public IEnumerable<Vnic> Vnics => Enumerable.Range(0, names.Length).Select(i => new Vnic
    {
        Id = $"eni-c{i}",
        InterfaceName = NameOf(i),
        Mac = NetworkMac(i),
        VpcId = States.Vpc,
        Addresses = { AddressOf(i).ToString() },
        GroupIds = { Group },
    });

    /// <summary>So many devices, each of which does what comes to it; then all that are there send.</summary>
    public void Step(int devices)
    {
        List<string> here = [];
        List<string> there = [];
        foreach (int i in Enumerable.Range(0, devices).Select(_ => random.Next(names.Length)).Distinct())
        {
            switch (names[i])
            {
                case null when names.Contains(NameOf(i)):
                    break; // somebody else has its name
                case null:
                    Create(i, here);
                    break;
                case "":
                    there.Add($"link set {NameOf(i)} netns {network.Host.Name}");
                    here.Add($"link set {NameOf(i)} up");
                    names[i] = NameOf(i);
                    break;
                default:
                    Disturb(i, here);
                    break;
            }
        }

        elsewhere.IpBatch(there);
        Do(here);
        SendForbidden();
    }

    /// <summary>All are there, under their own names.</summary>
    public void Settle()
    {
        List<string> away = [];
        List<string> here = [];
        for (int i = 0; i < names.Length; i++)
        {
            if (names[i] == "")
            {
                away.Add($"link set {NameOf(i)} netns {network.Host.Name}");
            }
            else if (names[i] is { } name)
            {
                here.Add($"link del {name}");
            }
        }

        elsewhere.IpBatch(away);
        here.AddRange(away.Select(line => $"link del {line.Split(' ')[2]}"));
        for (int i = 0; i < names.Length; i++)
        {
            Create(i, here);
        }

        Do(here);
    }

    /// <summary>Each sends what it may.</summary>
    /// <returns>Those of which nothing arrived.</returns>
    public async Task<IReadOnlyList<string>> SilentAsync(TimeSpan patience)
    {
        for (int i = 0; i < names.Length; i++)
        {
            Send(i, AddressOf(i), [.. Legitimate, (byte)(i >> 8), (byte)i]);
        }

        long until = Environment.TickCount64 + (long)patience.TotalMilliseconds;
        while (Environment.TickCount64 < until && Seen().Count < names.Length)
        {
            await Task.Delay(5, CancellationToken.None);
        }

        HashSet<int> seen = Seen();
        return [.. Enumerable.Range(0, names.Length).Where(i => !seen.Contains(i)).Select(NameOf)];
    }

    public void Dispose()
    {
        watch.Dispose();
        far.Dispose();
        elsewhere.Dispose();
    }

    private static string NameOf(int i) => $"tap-c{i}";

    private static string NetworkMac(int i) => $"02:00:00:01:{i >> 8:x2}:{i & 255:x2}";

    private static IPAddress AddressOf(int i) => new([10, 50, (byte)(i >> 8), (byte)i]);

    private static byte[] Mac(byte first, int i) => [first, 0, 0, 1, (byte)(i >> 8), (byte)i];

    private void Create(int i, List<string> here)
    {
        here.Add($"link add {NameOf(i)} address fe{NetworkMac(i)[2..]} type veth"
            + $" peer name c{i} address {NetworkMac(i)} netns {far.Name}");
        here.Add($"link set {NameOf(i)} up");
        created.Add(i);
        names[i] = NameOf(i);
    }

    private void Do(List<string> here)
    {
        network.Host.IpBatch(here);
        far.IpBatch(created.Where(i => names[i] is not null).Select(i => $"link set c{i} up"));
        created.Clear();
    }

    private void Disturb(int i, List<string> here)
    {
        string name = names[i]!;
        switch (random.Next(4))
        {
            case 0:
                here.Add($"link del {name}");
                names[i] = null;
                break;
            case 1 when name == NameOf(i):
                here.Add($"link set {name} netns {elsewhere.Name}");
                names[i] = "";
                break;
            case 2:
                // Under somebody else's name, who is away: another index, and another guest behind it.
                int[] free = [.. Enumerable.Range(0, names.Length).Where(
                    other => names[other] is null && !names.Contains(NameOf(other)))];
                Rename(i, free.Length > 0 ? NameOf(free[random.Next(free.Length)]) : $"vnet-c{i}", here);
                break;
            default:
                Rename(i, name == NameOf(i) ? $"vnet-c{i}" : Free(i), here);
                break;
        }
    }

    private string Free(int i) => names.Contains(NameOf(i)) ? $"vnet-c{i}" : NameOf(i);

    private void Rename(int i, string to, List<string> here)
    {
        if (names[i] == to)
        {
            return;
        }

        here.AddRange([$"link set {names[i]} down", $"link set {names[i]} name {to}", $"link set {to} up"]);
        names[i] = to;
    }

    private void SendForbidden()
    {
        for (int i = 0; i < names.Length; i++)
        {
            if (names[i] is not { Length: > 0 } name)
            {
                continue;
            }

            Send(i, Foreign, Forbidden);
            if (name != NameOf(i))
            {
                Send(i, AddressOf(i), Forbidden); // his own address, but the name is nobody's, or somebody else's
            }
        }
    }

    private void Send(int i, IPAddress source, byte[] payload)
    {
        byte[] packet = Packets.Udp(source, network.Outsider.V4, PortNumbers.Next(), 5300, payload);
        using FrameBurst burst = new([Packets.FrameOf(Mac(0xfe, i), Mac(0x02, i), packet)]);
        using FrameSender sender = FrameSender.Open(far, $"c{i}");
        sender.Send(burst, 1);
        sent++;
    }

    private void See(byte[] frame)
    {
        if (ReceivedPacket.FromFrame(frame) is not { Protocol: 17 } packet || packet.Transport.Length < 12)
        {
            return;
        }

        ReadOnlySpan<byte> payload = packet.Transport.Span[8..];
        if (payload.StartsWith(Forbidden))
        {
            Interlocked.Increment(ref leaked);
        }
        else if (payload.StartsWith(Legitimate))
        {
            lock (arrived)
            {
                arrived.Add(payload[4] << 8 | payload[5]);
            }
        }
    }

    private HashSet<int> Seen()
    {
        lock (arrived)
        {
            return [.. arrived];
        }
    }
}
