using System.Diagnostics;
using System.Net;
using Agent.KernelTests.Scenarios;
using Agent.Nftables;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Spoofing;

/// <summary>
/// Three guests whose own stacks are silent, so that each frame on their wires is ours, and behind each guard a counter
/// of what came through it.
/// </summary>
public abstract class GuardHost(Topology topology) : IAsyncLifetime
{
    private const string Table = "sg_agent";
    private const string PassedTable = "behind_the_guard";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private static readonly GuestSpec[] Specs =
    [
        new("one", "tap-one", "02:00:00:00:00:01", "10.0.0.8", "10.0.0.9", "2001:db8:1::8", "2001:db8:1::9"),
        new("router", "tap-router", "02:00:00:00:00:02", "10.0.0.5", "10.0.0.6", "2001:db8:1::5", "2001:db8:1::6"),
        new("many", "tap-many", "02:00:00:00:00:03", "10.0.0.7", "2001:db8:1::7")
        {
            DelegatedPrefixes =
            [
                .. Enumerable.Range(0, 100).SelectMany(i => (string[])[$"10.3.{i}.0/28", $"2001:db8:3:{i}::/80"]),
            ],
        },
    ];

    private TestNetwork? network;
    private DaemonProcess? daemon;
    private NftConnection? kernel;

    public TestNetwork Network => network ?? throw new InvalidOperationException("not initialized");

    public async ValueTask InitializeAsync()
    {
        if (topology == Topology.Bridged && !KernelNeeds.Has(KernelFeature.BridgeConntrack))
        {
            return; // each test says so, and why
        }

        network = TestNetwork.Create(new TestNetworkOptions { Topology = topology }, Specs);
        kernel = network.Host.Run(() => new NftConnection());
        KeepFragments(network.Host);
        foreach (Guest guest in network.Guests.Values)
        {
            guest.Place.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1");
            guest.Place.IpBatch(["addr flush dev eth0"]);
        }

        daemon = await DaemonProcess.StartAsync(network.Host);
        SecurityGroupAgent.SecurityGroupAgentClient client = new(daemon.Channel);
        ApplyResponse answer = await client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = State(), NextRevision = true });
        Assert.True(answer.Accepted is not null, $"refused: {answer.Refused}");
        Assert.Empty(answer.Accepted.FailedVnics);
        network.Host.Nft($"table netdev {PassedTable} {{\n{string.Join('\n', Specs.Select(Watch))}\n}}\n");
    }

    public async ValueTask DisposeAsync()
    {
        kernel?.Dispose();
        if (daemon is not null)
        {
            await daemon.DisposeAsync();
        }

        network?.Dispose();
        GC.SuppressFinalize(this);
    }

    internal static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> cases = [];
        foreach (GuestSpec spec in Specs)
        {
            foreach (GuestFrame frame in GuestFrames.Of(new GuestIdentity(new byte[6], new byte[6])
            {
                V4 = IPAddress.Loopback,
                OtherV4 = IPAddress.Loopback,
                V6 = IPAddress.IPv6Loopback,
                OtherV6 = IPAddress.IPv6Loopback,
            }))
            {
                cases.Add(spec.Name, frame.Name);
            }
        }

        return cases;
    }

    /// <summary>Sends the frame and compares which counter moved with the table.</summary>
    internal async Task CheckAsync(string name, string frameName)
    {
        Guest guest = Network.Guests[name];
        GuestFrame frame = Frames(guest).Single(one => one.Name == frameName);
        string? kind = name == "router" ? frame.KindOfRouter : frame.Kind;
        Dictionary<string, ulong> before = Counters(guest);
        TaskCompletionSource seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IDisposable watch = Network.Outsider.Wire.Subscribe(bytes =>
        {
            if (bytes.AsSpan().SequenceEqual(frame.Bytes))
            {
                seen.TrySetResult();
            }
        });
        guest.Wire.Send(frame.Bytes);
        string[] moved = await MovedAsync(guest, before);
        Assert.Equal([kind ?? "passed"], moved);
        bool arrives = topology == Topology.Bridged && kind is null && !NeedsMore(frameName);
        if (arrives)
        {
            await seen.Task.WaitAsync(Patience);
        }

        Assert.Equal(arrives, seen.Task.IsCompleted);
    }

    /// <summary>
    /// The guard is not what stops these: a bridge that tracks sessions waits for the other fragments, and lets an
    /// error or an answer pass only if there is something that it is about.
    /// </summary>
    private static bool NeedsMore(string frameName) =>
        ((string[])["first fragment", "later fragment", "too big", "echo reply"])
            .Any(part => frameName.Contains(part, StringComparison.Ordinal));

    private async Task<string[]> MovedAsync(Guest guest, Dictionary<string, ulong> before)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (true)
        {
            string[] moved = [.. Counters(guest).SelectMany(now =>
                Enumerable.Repeat(now.Key, (int)(now.Value - before[now.Key])))];
            if (moved.Length > 0 || waited.Elapsed > Patience)
            {
                return moved;
            }

            await Task.Delay(1);
        }
    }

    /// <summary>Packets by kind, and those that came through.</summary>
    private Dictionary<string, ulong> Counters(Guest guest)
    {
        string device = guest.HostDevice;
        Dictionary<string, ulong> counts = [];
        foreach ((string counter, PacketCount count) in kernel!.ReadCounters(NftFamily.Netdev, Table).Objects)
        {
            string[] parts = counter.Split('_', 3);
            if (parts[0] == "spoof" && parts[2] == device)
            {
                counts[parts[1]] = count.Packets;
            }
        }

        counts["passed"] = kernel.ReadCounters(NftFamily.Netdev, PassedTable).Objects[$"passed_{device}"].Packets;
        return counts;
    }

    private IReadOnlyList<GuestFrame> Frames(Guest guest)
    {
        bool delegated = guest.Spec.DelegatedPrefixes.Length > 0;
        return GuestFrames.Of(new GuestIdentity(guest.Mac, Network.NextHopMac(guest, IPAddress.Parse("198.51.100.7")))
        {
            V4 = guest.V4,
            OtherV4 = delegated
                ? IPAddress.Parse("10.3.77.9")
                : guest.Addresses.Last(a => a.GetAddressBytes().Length == 4),
            V6 = guest.V6,
            OtherV6 = delegated ? IPAddress.Parse("2001:db8:3:77::9") : guest.Addresses[^1],
        });
    }

    private static Snapshot State() => new()
    {
        Groups = { States.Accepting("sg-a", "in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0") },
        Vnics =
        {
            Specs.Select(spec => new Vnic
            {
                Id = $"eni-{spec.Name}",
                InterfaceName = spec.Device,
                Mac = spec.Mac,
                VpcId = States.Vpc,
                Addresses = { spec.Addresses },
                DelegatedPrefixes = { spec.DelegatedPrefixes },
                GroupIds = { "sg-a" },
                DisableSourceDestinationCheck = spec.Name == "router",
            }),
        },
    };

    /// <summary>
    /// A bridge that passes its frames through the IP hooks puts fragments together, and waits for the rest.
    /// </summary>
    private static void KeepFragments(NetNamespace host) => host.Run(() =>
    {
        foreach (string family in (string[])["iptables", "ip6tables"])
        {
            string path = $"/proc/sys/net/bridge/bridge-nf-call-{family}";
            if (File.Exists(path))
            {
                File.WriteAllText(path, "0");
            }
        }
    });

    private static string Watch(GuestSpec spec) => $$"""
          counter passed_{{spec.Device}} { }
          chain watch_{{spec.Device}} {
            type filter hook ingress device "{{spec.Device}}" priority 0; policy accept;
            counter name "passed_{{spec.Device}}"
          }
        """;
}

public sealed class RoutedGuardHost() : GuardHost(Topology.Routed);

public sealed class BridgedGuardHost() : GuardHost(Topology.Bridged);
