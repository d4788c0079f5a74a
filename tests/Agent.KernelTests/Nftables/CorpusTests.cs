using System.Net;
using System.Net.Sockets;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Netlink.Nflog;
using Agent.Netlink.Route;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.TestNet;
using Agent.Tests.Nftables;
using Nfnl = Agent.Netlink.Nfnl;

namespace Agent.KernelTests.Nftables;

/// <summary>
/// What this kernel sends is read, whatever it has that we do not use. SG_WRITE_CORPUS keeps it for fuzzing
/// (tests/Agent.Tests/Fuzz/corpus/kernel).
/// </summary>
public sealed class CorpusTests
{
    /// <summary>What others have in their tables, and we do not: maps, timeouts, expressions, long names.</summary>
    private const string Foreign = """
        table ip kube {
          map services { typeof ip daddr . meta l4proto . th dport : verdict; flags interval
            elements = { 10.96.0.1 . tcp . 443 : goto service-ULMVA6XW-default/kubernetes/tcp/https } }
          set seen { type ipv4_addr; flags dynamic,timeout; timeout 1h; size 128; elements = { 10.0.0.9 } }
          map marks { type ifname : mark; elements = { "eth0" : 7 } }
          set any { type ipv4_addr; counter; elements = { 10.0.0.1, 10.0.0.2 } }
          counter hits { }
          quota most { 10 mbytes }
          limit often { rate 7/second }
          chain service-ULMVA6XW-default/kubernetes/tcp/https {
            numgen random mod 2 vmap { 0 : accept, 1 : drop }
          }
          chain nat { type nat hook postrouting priority srcnat; policy accept
            masquerade
            ip saddr 10.0.0.0/8 snat to 192.0.2.1-192.0.2.9
          }
          chain forward { type filter hook forward priority 0; policy drop
            ip daddr . meta l4proto . th dport vmap @services
            fib saddr . iif oif missing drop
            ip saddr @seen update @seen { ip saddr timeout 10m } counter name hits
            ct helper "ftp" accept
            tcp option maxseg size set 1400
            ip dscp set cs1 quota name "most" limit name "often"
            jhash ip saddr mod 4 == 1 queue num 1-3 bypass
            meta hour "08:00"-"17:00" log level warn flags all
            socket transparent 1 mark set 1
            reject with icmp admin-prohibited
          }
        }
        """;

    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, List<(string Name, byte[] Bytes)>> captured = [];

    [Fact]
    public void What_this_kernel_sends_is_read()
    {
        using NftConnection nft = Namespace.Clean();
        Assert.IsType<CommitOutcome.Committed>(nft.Commit(Samples.Build(Samples.Everything()), null));
        AddForeign();
        CaptureTables();
        IReadOnlyList<NftTable> foreign = nft.ReadForeign((_, name) => name == Samples.Table);
        Assert.Contains(foreign, table => table.Name == "kube"
            && table.Chains.Any(chain => chain.Rules.Any(rule => rule.Exprs.Any(expr => expr is NftExpr.Opaque))));
        CaptureLinks();
        CaptureFlows();
        CapturePackets();
        if (Environment.GetEnvironmentVariable("SG_WRITE_CORPUS") is { Length: > 0 })
        {
            Write();
        }
    }

    // Not every kernel has all of these expressions: rules that it does not take are left out.
    private static void AddForeign()
    {
        List<string> lines = [.. Foreign.Split('\n')];
        int all = lines.Count;
        for (int i = all - 1; i >= 0 && !Fits(lines); i--)
        {
            if (IsRule(lines[i]) && !Fits([.. lines.Where((line, at) => at == i || !IsRule(line))]))
            {
                lines.RemoveAt(i);
            }
        }

        Assert.True(lines.Count > all - 8, string.Join('\n', lines));
        Namespace.Run("nft", "-f -", string.Join('\n', lines));

        static bool Fits(List<string> some) =>
            Namespace.TryRun("nft", "-f -", string.Join('\n', some)).Code == 0
            && Namespace.Run("nft", "delete table ip kube").Length == 0;

        static bool IsRule(string line) => line.StartsWith("    ", StringComparison.Ordinal)
            && !line.StartsWith("    elements", StringComparison.Ordinal);
    }

    private void CaptureTables()
    {
        foreach ((NftFamily family, string table) in (IEnumerable<(NftFamily, string)>)
            [(NftFamily.Inet, Samples.Table), (NftFamily.Netdev, Samples.Table), (NftFamily.Ipv4, "kube")])
        {
            List<string> sets = [];
            Dump(family, NftMsg.GetChain, _ => { });
            Dump(family, NftMsg.GetRule, writer => writer.PutText(NftaRule.Table, table));
            byte[][] described = Dump(family, NftMsg.GetSet, writer => writer.PutText(NftaSet.Table, table));
            foreach (byte[] datagram in described)
            {
                foreach (NlMessage message in new NlMessages(datagram))
                {
                    sets.Add(SetCodec.Read(message.Attrs(NfMessage.HeaderBytes)).Set.Name);
                }
            }

            foreach (string set in sets)
            {
                Dump(family, NftMsg.GetSetElem, writer =>
                {
                    writer.PutText(NftaSetElemList.Table, table);
                    writer.PutText(NftaSetElemList.Set, set);
                });
            }

            Dump(family, NftMsg.GetObj, writer => writer.PutText(NftaObj.Table, table));
        }

        byte[][] Dump(NftFamily family, ushort op, Action<NlWriter> attrs) => Ask(
            NetlinkProtocol.Netfilter, "nftables", $"{family}_{op}", writer =>
            {
                NlMark message = NfMessage.Begin(writer, op, NlmF.Dump, 1, family);
                attrs(writer);
                writer.EndMessage(message);
            });
    }

    private void CaptureLinks()
    {
        Namespace.TryRun("ip", "link add sgbr0 type bridge");
        Namespace.TryRun("ip", "link add sgv0 address 02:00:00:00:00:07 type veth peer name sgv1");
        Namespace.Run("ip", "link set sgv0 up master sgbr0");
        Namespace.Run("ip", "link set lo up");
        Ask(NetlinkProtocol.Route, "links", "links", writer => LinkCodec.WriteDump(writer, 1));
        Ask(NetlinkProtocol.Route, "links", "statistics", writer =>
        {
            NlMark message = writer.BeginMessage(Rtm.GetStats, NlmF.Request | NlmF.Dump, 1);
            writer.PutRaw([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
            writer.EndMessage(message);
        });
        Assert.Contains(LinkMonitor.ReadAll(), link => link.Name == "sgv0");
        Namespace.Run("ip", "link del sgbr0");
        Namespace.Run("ip", "link del sgv0");
    }

    private void CaptureFlows()
    {
        using var conntrack = new ConntrackConnection();
        var stream = Flow.New(
            new FlowTuple(IPAddress.Parse("10.0.0.8"), IPAddress.Parse("198.51.100.7"), 6, 40_000, 443), 7, 300,
            isAnswered: true, isAssured: true);
        Flow[] flows =
        [
            stream with { Tcp = new TcpFlow(3, new TcpSide(7, 3), new TcpSide(14, 7)) },
            Flow.New(new FlowTuple(IPAddress.Parse("2001:db8::8"), IPAddress.Parse("2001:db8::9"), 17, 53, 5353), 0,
                30, isAnswered: false, isAssured: false),
        ];
        Assert.All(conntrack.Open(flows), Assert.Null);
        Ask(NetlinkProtocol.Netfilter, "flows", "flows", writer => FlowCodec.WriteDump(writer, 1, FlowFilter.All));
        Assert.Equal(2, conntrack.Read().Count(flow => flow.Zone is 7 or 0 && flow.Original.DestinationPort != 0));
    }

    private void CapturePackets()
    {
        Namespace.Run("nft", "flush ruleset");
        Namespace.Run("nft", "add table inet t");
        Namespace.Run("nft", "add chain inet t out { type filter hook output priority 0; }");
        Namespace.Run("nft", "add rule inet t out log prefix \"sg to default\" group 1790");
        using var socket = new NetlinkSocket(NetlinkProtocol.Netfilter);
        var writer = new NlWriter();
        NflogCodec.WriteBind(writer, 1, 1790);
        NflogCodec.WriteSettings(writer, 2, 1790, NflogSettings.Default with { BatchPackets = 1 });
        Assert.Null(socket.Send(writer.Written));
        using (var sender = new UdpClient(AddressFamily.InterNetworkV6))
        {
            sender.Client.DualMode = true;
            sender.Send([1, 2, 3], new IPEndPoint(IPAddress.IPv6Loopback, 9));
            sender.Send([1, 2, 3], new IPEndPoint(IPAddress.Loopback, 9));
        }

        List<(string, byte[])> kept = Of("packets");
        while (kept.Count < 4 && socket.Receive(Soon) == ReceiveResult.Datagram)
        {
            foreach (NlMessage message in new NlMessages(socket.Received))
            {
                if (message.Type == (Nfnl.SubsysUlog << 8 | NfulnlMsg.Packet))
                {
                    Assert.Equal("sg to default", NflogCodec.Read(message).Prefix);
                    kept.Add(($"packet{kept.Count}", socket.Received.ToArray()));
                    break;
                }
            }
        }

        Assert.NotEmpty(kept);
        Namespace.Run("nft", "flush ruleset");
    }

    private List<(string, byte[])> Of(string target) =>
        captured.TryGetValue(target, out List<(string, byte[])>? list) ? list : captured[target] = [];

    // Each datagram without the end of the list, which nobody decodes.
    private byte[][] Ask(NetlinkProtocol protocol, string target, string name, Action<NlWriter> write)
    {
        using var socket = new NetlinkSocket(protocol);
        var writer = new NlWriter();
        write(writer);
        Assert.Null(socket.Send(writer.Written));
        var datagrams = new List<byte[]>();
        while (true)
        {
            Assert.Equal(ReceiveResult.Datagram, socket.Receive(Soon));
            using var kept = new MemoryStream();
            bool isLast = false;
            foreach (NlMessage message in new NlMessages(socket.Received))
            {
                Assert.NotEqual(Nlmsg.Error, message.Type);
                isLast |= message.Type == Nlmsg.Done;
                if (message.Type != Nlmsg.Done)
                {
                    Append(kept, message);
                }
            }

            if (kept.Length > 0)
            {
                datagrams.Add(kept.ToArray());
                Of(target).Add(($"{name}_{datagrams.Count}", kept.ToArray()));
            }

            if (isLast)
            {
                return [.. datagrams];
            }
        }
    }

    private static void Append(MemoryStream bytes, NlMessage message)
    {
        var copy = new NlWriter();
        NlMark mark = copy.BeginMessage(message.Type, message.Flags, 1);
        copy.PutRaw(message.Payload);
        copy.EndMessage(mark);
        bytes.Write(copy.Written);
    }

    private void Write()
    {
        string folder = Path.Combine(BuiltProgram.RepositoryRoot(), "tests/Agent.Tests/Fuzz/corpus/kernel");
        Directory.CreateDirectory(folder);
        foreach ((string target, List<(string Name, byte[] Bytes)> inputs) in captured)
        {
            File.WriteAllLines(Path.Combine(folder, target + ".hex"),
                inputs.Select(one => $"{one.Name} {Convert.ToHexStringLower(one.Bytes)}"));
        }
    }
}
