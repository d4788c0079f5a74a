using System.Collections.Immutable;
using System.Text.Json.Nodes;
using Agent.Compiler;
using Agent.Daemon.Drops;
using Agent.Daemon.Enforcement;
using Agent.Netlink;
using Agent.Netlink.Nflog;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.Fuzz;

/// <summary>Packets that the kernel reports: messages of nfnetlink_log with a guest's bytes in them, up to the line
/// that is written of each.</summary>
internal sealed class PacketTarget : NetlinkTarget
{
    private readonly DropReader reader;

    public PacketTarget() : base(NflogCodec.HeaderBytes)
    {
        var links = new HostLinks(ImmutableSortedDictionary.Create<string, int>(StringComparer.Ordinal)
            .Add("tap-n", 3).Add("uplink0", 4));
        reader = new DropReader(
            () => links, new FakeTimeProvider(new DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero)));
        reader.Follow(new AgentState { Enforced = Compiled(), Links = links });
    }

    public override string Name => "packets";

    protected override string Read(NlMessage message)
    {
        LoggedPacket packet = NflogCodec.Read(message);
        if (reader.Read(packet) is not { } record)
        {
            return "none of ours";
        }

        JsonNode line = JsonNode.Parse(DropJson.Line(record))!;
        FuzzException.Unless((string?)line["reason"] == record.Reason, $"{record} is written as {line}");
        bool isWhole = record.Packet.LengthBytes > 0;
        FuzzException.Unless(!isWhole || packet.Network.Length >= 20, "headers are read of nothing");
        FuzzException.Unless(
            record.Packet.SourcePort is null || !record.Packet.IsLaterFragment, "ports of a later fragment");
        return $"{record.Reason} {record.Rule} {record.VnicId} {record.Direction} {isWhole} {record.GuestMac is null} "
            + $"{record.Packet.Protocol} {record.Packet.SourcePort is null} {record.Packet.IcmpType is null} "
            + $"{record.Packet.IsLaterFragment} {record.VlanId is null} {record.Packet.IsDhcpRequest}";
    }

    private static CompiledRuleset Compiled() => RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(
        new PolicyBuilder().Advanced("sg", "in 1 drop udp 22/22 0.0.0.0/0", "out 1 accept tcp 1/9 ::/0")
            .Nic("n", "10.0.0.8 2001:db8::8", "sg", vnic => vnic with { InterfaceName = "tap-n" }).Build()));
}
