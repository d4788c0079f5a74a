using System.Net;
using Agent.Cli.Output;
using Agent.Compiler;
using Agent.Daemon.Counting;
using Agent.Daemon.Ownership;
using Agent.Daemon.Removal;
using Agent.Daemon.Sessions;
using Agent.Daemon.State;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Netlink.Nflog;
using Agent.Netlink.Route;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.Policy;
using Agent.Tests.Contract;
using Agent.Tests.Nftables;
using Agent.Tests.State;
using Agent.V1;
using Google.Protobuf;
using CliJson = Agent.Cli.Output.Json;
using Direction = Agent.Policy.Direction;
using Nfnl = Agent.Netlink.Nfnl;
using Packets = Agent.TestNet.Packets;

namespace Agent.Tests.Fuzz;

/// <summary>What our own encoders make: every kind of message once.</summary>
internal static class WrittenCorpus
{
    private static readonly IPAddress A = IPAddress.Parse("10.0.0.8");
    private static readonly IPAddress B = IPAddress.Parse("198.51.100.7");
    private static readonly IPAddress A6 = IPAddress.Parse("2001:db8::8");
    private static readonly IPAddress B6 = IPAddress.Parse("2001:db8:ffff::7");

    public static SortedDictionary<string, string> Files()
    {
        Snapshot state = RandomStates.Next(new Random(3), 3);
        string json = CliJson.State(state);
        return new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["nftables.hex"] = Corpus.Hex(Tables()),
            ["acks.hex"] = Corpus.Hex(Acks()),
            ["links.hex"] = Corpus.Hex(Links()),
            ["flows.hex"] = Corpus.Hex(Flows().Select((flow, i) =>
                ($"flow{i}", Written(writer => FlowCodec.WriteNew(writer, 1, flow))))),
            ["packets.hex"] = Corpus.Hex(LoggedPackets()),
            ["policy.json"] = json,
            ["policy.yaml"] = Yaml.FromJson(json),
            ["sessions.json"] = CliJson.State(Exported()),
            ["state.hex"] = Corpus.Hex([("snapshot_delta_deltas", StateFileOf(state))]),
            ["statetext-lease.txt"] = LeaseFile.Format(new Lease(17, "ctl-a")),
            ["statetext-footprint.txt"] = new Footprint
            {
                Tables = Footprint.None.Tables.Add("sg_agent", 0xffff_0000),
                Sysctls = Footprint.None.Sysctls.Add("nf_conntrack_generic_timeout", new ChangedSysctl(600, 30)),
            }.Format(),
            ["counters.hex"] = Corpus.Hex([("ledger", LedgerFile.Write(Ledger()))]),
        };
    }

    // A table, as far as it fits: each datagram is a list of one kind, as dumps are, behind what it refers to.
    private static IEnumerable<(string, byte[])> Tables()
    {
        foreach ((string text, NftRule rule) in Samples.InetRules())
        {
            yield return (text, Written(writer =>
            {
                Message(writer, NftMsg.NewChain, () =>
                    ChainCodec.Write(writer, NftFamily.Inet, "t", "forward", new BaseHook(NftHook.Forward, -5)));
                Message(writer, NftMsg.NewRule, () => RuleCodec.Write(writer, "t", "forward", rule));
            }));
        }

        foreach (NftSet set in Samples.Sets())
        {
            yield return ($"set {set.Name}", Written(writer =>
            {
                Message(writer, NftMsg.NewSet, () => SetCodec.Write(writer, "t", set, 1));
                ElementWriter.Write(
                    writer, NftMsg.NewSetElem, NlmF.Create, 1, NftFamily.Inet, "t", set, set.Elements);
            }));
        }

        foreach (NftObject value in Samples.Objects())
        {
            yield return ($"object {value.Name}", Written(writer =>
                Message(writer, NftMsg.NewObj, () => ObjectCodec.Write(writer, "t", value))));
        }

        foreach (NftTable table in Samples.Everything().Tables)
        {
            yield return ($"chains {table.Family}", Written(writer =>
            {
                foreach (NftChain chain in table.Chains)
                {
                    Message(writer, NftMsg.NewChain, table.Family, () =>
                        ChainCodec.Write(writer, table.Family, "t", chain.Name, chain.Hook));
                }
            }));
        }
    }

    private static IEnumerable<(string, byte[])> Acks()
    {
        yield return ("ack", Error(0, NlmFAck.Capped, [], _ => { }));
        yield return ("capped", Error(-2, NlmFAck.Capped | NlmFAck.AckTlvs, [], writer =>
        {
            writer.PutText(NlmsgerrAttr.Msg, "no such chain");
            writer.PutU32Host(NlmsgerrAttr.Offs, 20);
        }));
        yield return ("with its request", Error(-95, NlmFAck.AckTlvs, [1, 2, 3, 4, 5], writer =>
            writer.PutText(NlmsgerrAttr.Msg, "operation not supported")));
    }

    private static byte[] Error(int errno, NlmF flags, byte[] request, Action<NlWriter> attrs) => Written(writer =>
    {
        NlMark message = writer.BeginMessage(Nlmsg.Error, flags, 9);
        writer.PutRaw(BitConverter.GetBytes(errno));
        writer.PutRaw([.. BitConverter.GetBytes(16 + request.Length), 6, 10, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        writer.PutRaw(request);
        attrs(writer);
        writer.EndMessage(message);
    });

    private static IEnumerable<(string, byte[])> Links()
    {
        foreach (ushort type in (ushort[])[Rtm.NewLink, Rtm.DelLink])
        {
            yield return ($"type {type}", Written(writer =>
            {
                NlMark message = writer.BeginMessage(type, NlmF.Multi, 1);
                writer.PutRaw([0, 0, 1, 0, 7, 0, 0, 0, 0x43, 0x10, 1, 0, 0, 0, 0, 0]);
                writer.PutText(Ifla.IfName, "tap1");
                writer.PutBytes(Ifla.Address, [2, 0, 0, 0, 0, 1]);
                writer.PutU8(Ifla.OperState, (byte)IfOper.Up);
                writer.PutU32Host(Ifla.Master, 3);
                NlMark info = writer.BeginNest(Ifla.LinkInfo);
                writer.PutText(IflaInfo.Kind, "tun");
                writer.EndNest(info);
                writer.EndMessage(message);
            }));
        }

        yield return ("statistics", Written(writer =>
        {
            NlMark message = writer.BeginMessage(Rtm.NewStats, NlmF.Multi, 1);
            writer.PutRaw([0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0]);
            writer.PutBytes(IflaStats.Link64, new byte[24 * sizeof(ulong)]);
            writer.EndMessage(message);
        }));
    }

    private static Flow[] Flows()
    {
        var stream = Flow.New(new FlowTuple(A, B, 6, 40_000, 443), 7, 300, isAnswered: true, isAssured: true);
        return
        [
            stream with { Tcp = new TcpFlow(3, new TcpSide(7, 3), new TcpSide(14, 7)) },
            Flow.New(new FlowTuple(A6, B6, 17, 53, 5353), 0, 30, isAnswered: false, isAssured: false),
            Flow.New(new FlowTuple(A, B, 1, 77, 0x0800), 0, 30, isAnswered: true, isAssured: false) with
            {
                Reply = new FlowTuple(B, A, 1, 77, 0),
            },
            Flow.New(new FlowTuple(A6, B6, 58, 77, 0x8000), 0, 30, isAnswered: false, isAssured: false),
            stream with { Reply = stream.Reply with { DestinationPort = 1 }, Mark = 0x8001_0000 },
            Flow.New(new FlowTuple(A, B, 47, 0, 0), 1, 600, isAnswered: false, isAssured: false),
        ];
    }

    private static IEnumerable<(string, byte[])> LoggedPackets()
    {
        byte[] udp6 = Packets.Udp(A6, B6, 546, 547, [9]);
        (string Name, ushort EtherType, byte[] Network)[] packets =
        [
            ("tcp", 0x0800, Packets.Tcp(
                new IPEndPoint(A, 4711), new IPEndPoint(B, 22), TestNet.TcpFlags.Syn, 1, 0, [])),
            ("udp6", 0x86dd, udp6),
            ("options", 0x86dd, [.. udp6[..6], 0, .. udp6[7..40], 60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0,
                17, 0, 0, 8, 0, 0, 0, 1, .. udp6[40..]]),
            ("icmp", 0x0800, Packets.Icmp(A, B, 3, 4, new byte[8])),
            ("dhcp", 0x0800, Packets.Udp(A, B, 68, 67, new byte[8])),
            ("arp", 0x0806, [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 8, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1]),
        ];
        string[] prefixes = ["sg from rule", "sg to default", "sg from mac", "sg to accepted", "sg to stale unjudged"];
        foreach ((int i, (string name, ushort etherType, byte[] network)) in packets.Index())
        {
            if (etherType == 0x0800)
            {
                network.AsSpan(4, 2).Clear(); // numbered as they are made, and summed
                network.AsSpan(10, 2).Clear();
            }

            yield return (name, Written(writer =>
            {
                NlMark message = writer.BeginMessage(Nfnl.SubsysUlog << 8 | NfulnlMsg.Packet, NlmF.None, 0);
                writer.PutRaw([i % 2 == 0 ? (byte)2 : (byte)7, 0, 6, 0xfd]);
                writer.PutBytes(Nfula.PacketHdr, [(byte)(etherType >> 8), (byte)(etherType & 0xff), 2, 0]);
                writer.PutText(Nfula.Prefix, prefixes[i % prefixes.Length]);
                writer.PutU32Be(Nfula.IfindexIndev, 3);
                writer.PutU32Be(Nfula.IfindexOutdev, 3);
                writer.PutU32Be(Nfula.IfindexPhysindev, 4);
                writer.PutU32Be(Nfula.Mark, Decision.Of(Verdict.Drop, 0));
                writer.PutBytes(Nfula.Hwheader, [1, 2, 3, 4, 5, 6, 0x2a, 0, 0, 0, 0, 9, 8, 0]);
                NlMark vlan = writer.BeginNest(Nfula.Vlan);
                writer.PutU16Be(NfulaVlan.Tci, 0x2005);
                writer.EndNest(vlan);
                writer.PutBytes(Nfula.Timestamp, [0, 0, 0, 0, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
                writer.PutU32Be(Nfula.Seq, 9);
                writer.PutBytes(Nfula.Payload, network);
                writer.EndMessage(message);
            }));
        }
    }

    private static ExportedSessions Exported()
    {
        var sessions = new ExportedSessions { VnicId = "v1", Revision = 3, Complete = true, Left = new SessionsLeft() };
        sessions.Sessions.AddRange(Flows()
            .Where(flow => MovingSessions.IsCarried(flow.Original.Protocol) && !flow.IsTranslated)
            .Select(MovingSessions.Of));
        return sessions;
    }

    private static byte[] StateFileOf(Snapshot state)
    {
        var random = new Random(4);
        var states = new List<Snapshot> { state };
        for (int i = 0; i < 3; i++)
        {
            Snapshot next = states[^1].Clone();
            next.Revision++;
            RandomStates.Change(next, random);
            states.Add(next);
        }

        Delta[] deltas = [.. states.Zip(states.Skip(1), (from, to) => RandomStates.Between(from, to, random))];
        var disk = new TornDisk();
        using (var file = new StateFile(disk))
        {
            file.WriteSnapshot(0x10000, state.ToByteArray());
            file.AppendDelta(0x10000, deltas[0].ToByteArray());
            file.AppendDeltas(0x20000, SavedPolicy.Format(deltas[1..]));
        }

        return disk.Read("state")!;
    }

    private static CounterLedger Ledger()
    {
        var ledger = new CounterLedger();
        DateTimeOffset noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);
        foreach (CountKind kind in Enum.GetValues<CountKind>())
        {
            ledger.Observe(
                new CountKey("v1", Direction.Ingress, kind, "g1/r1"), new CountPlace(NftFamily.Inet, "tap1"), 1,
                new PacketCount(3, 300), noon);
        }

        return ledger;
    }

    private static void Message(NlWriter writer, ushort op, Action attrs) =>
        Message(writer, op, NftFamily.Inet, attrs);

    private static void Message(NlWriter writer, ushort op, NftFamily family, Action attrs)
    {
        NlMark message = NfMessage.Begin(writer, op, NlmF.Multi, 1, family);
        attrs();
        writer.EndMessage(message);
    }

    private static byte[] Written(Action<NlWriter> write)
    {
        var writer = new NlWriter();
        write(writer);
        return writer.Written.ToArray();
    }
}
