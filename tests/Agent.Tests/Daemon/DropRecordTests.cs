using System.Collections.Immutable;
using System.Text.Json.Nodes;
using Agent.Compiler;
using Agent.Daemon.Drops;
using Agent.Daemon.Enforcement;
using Agent.Netlink.Nflog;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;
using Agent.Tests.State;
using Microsoft.Extensions.Time.Testing;
using Packets = Agent.TestNet.Packets;

namespace Agent.Tests.Daemon;

/// <summary>Reported packets in the policy's terms, handed to readers of any speed, and written to files.</summary>
public sealed class DropRecordTests
{
    private const uint Device = 7;

    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero));
    private readonly HostLinks links = new(ImmutableSortedDictionary.Create<string, int>(StringComparer.Ordinal)
        .Add("tap-n", (int)Device).Add("tap-x", 8));

    [Theory]
    [InlineData("sg from rule", true, "rule", true)]
    [InlineData("sg to stale unjudged", false, "stale", false)]
    [InlineData("sg to accepted", false, "accepted", true)]
    public void A_prefix_is_what_was_written(string text, bool from, string reason, bool judged)
    {
        RecordPrefix prefix = Assert.NotNull(RecordPrefix.Parse(text));
        Assert.Equal(new RecordPrefix(from, reason, judged), prefix);
        Assert.Equal(text, prefix.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("sg")]
    [InlineData("sg from")]
    [InlineData("sg from ")]
    [InlineData("sg up rule")]
    [InlineData("sg from rule judged")]
    [InlineData("IN=eth0 sg from rule")]
    public void What_is_not_ours_is_no_record(string prefix)
    {
        Assert.Null(RecordPrefix.Parse(prefix));
        Assert.Null(Reader().Read(Packet(prefix)));
    }

    [Fact]
    public void The_mark_names_the_rule()
    {
        DropReader reader = Reader();
        CompiledRuleset ruleset = Compiled("in 1 drop udp 22/22 0.0.0.0/0", "out 1 accept udp 9/9 0.0.0.0/0");
        reader.Follow(new AgentState { Enforced = ruleset, Links = links });
        uint drop = MarkOf(ruleset, Direction.Ingress, "sg/r1", Verdict.Drop);
        uint accept = MarkOf(ruleset, Direction.Egress, "sg/r2", Verdict.Accept);
        DropRecord record = Read(reader, Packet("sg to rule", drop));
        Assert.Equal(("n", "tap-n", "sg/r1", Direction.Ingress), (
            record.VnicId, record.Interface, record.Rule, record.Direction));
        Assert.Equal("sg/r2", Read(reader, Packet("sg from accepted", accept)).Rule);
        Assert.Equal("default", Read(reader, Packet("sg to default", 17)).Rule);
        // A client asks a server that not everybody may ask: by a rule, or no rule was asked.
        byte[] asks = Packets.Udp(A, B, 68, 67, new byte[8]);
        Assert.Equal("sg/r2", Read(reader, Packet("sg from accepted", accept, network: asks)).Rule);
        Assert.Equal("default", Read(reader, Packet("sg from accepted", Decision.RestV4, network: asks)).Rule);
        Assert.Equal("default", Read(
            reader, Packet("sg from accepted", Decision.Of(Verdict.Accept, 0), network: asks)).Rule);
        Assert.Equal("", Read(reader, Packet("sg from accepted", 0, network: asks)).Rule);
        Assert.Equal("unknown", Read(reader, Packet("sg to rule", drop ^ 1)).Rule); // some number that is no rule's

        // A reply is judged as its session was opened, the other way round.
        Assert.Equal("sg/r1", Read(reader, Packet("sg from stale", drop)).Rule);
        // Nothing was judged: the mark is somebody else's.
        Assert.Equal("", Read(reader, Packet("sg to stale unjudged", drop)).Rule);
        Assert.Equal("", Read(reader, Packet("sg from notsyn", drop)).Rule);
        Assert.Equal("", Read(reader, Packet(
            "sg from stale", drop, network: Packets.Icmp(A, B, 3, 4, new byte[8]))).Rule);
    }

    [Fact]
    public void What_two_rulesets_call_differently_is_unknown_until_the_older_one_is_out_of_the_way()
    {
        DropReader reader = Reader();
        CompiledRuleset older = Compiled("in 1 drop udp 22/22 0.0.0.0/0");
        PolicySnapshot other = new PolicyBuilder().Advanced("sg", "in 1 drop udp 22/22 0.0.0.0/0")
            .Nic("m", "10.0.0.9", "sg", vnic => vnic with { InterfaceName = "tap-n" }).Build();
        reader.Follow(new AgentState { Enforced = older, Links = links });
        uint mark = MarkOf(older, Direction.Ingress, "sg/r1", Verdict.Drop);
        DateTimeOffset before = clock.GetUtcNow();
        clock.Advance(TimeSpan.FromSeconds(5));
        reader.Follow(new AgentState
        {
            Enforced = RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(other)),
            Links = links,
        });
        Assert.Equal("unknown", Read(reader, Packet("sg to rule", mark, before)).VnicId);
        Assert.Equal("sg/r1", Read(reader, Packet("sg to rule", mark, before)).Rule); // which both say
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("m", Read(reader, Packet("sg to rule", mark, clock.GetUtcNow())).VnicId);
    }

    [Theory]
    [InlineData(-5)]
    [InlineData(5)]
    public void A_clock_that_is_set_takes_no_names_away(int hours)
    {
        var jumping = new JumpingClock(clock);
        var reader = new DropReader(() => links, jumping);
        reader.Follow(new AgentState { Enforced = Compiled("in 1 drop udp 9/9 0.0.0.0/0"), Links = links });
        clock.Advance(TimeSpan.FromMinutes(1));
        CompiledRuleset ruleset = Compiled("in 1 drop udp 22/22 0.0.0.0/0");
        reader.Follow(new AgentState { Enforced = ruleset, Links = links });
        jumping.Jump = TimeSpan.FromHours(hours);
        clock.Advance(TimeSpan.FromMinutes(1));
        uint mark = MarkOf(ruleset, Direction.Ingress, "sg/r1", Verdict.Drop);
        DropRecord record = Read(reader, Packet("sg to rule", mark, jumping.GetUtcNow()));
        Assert.Equal(("n", "sg/r1"), (record.VnicId, record.Rule));
    }

    [Fact]
    public void A_device_that_nobody_knows_is_looked_for_once_a_second()
    {
        int looked = 0;
        var reader = new DropReader(
            () =>
            {
                looked++;
                return HostLinks.None;
            }, clock);
        reader.Follow(new AgentState { Enforced = Compiled(), Links = HostLinks.None });
        for (int i = 0; i < 5; i++)
        {
            Assert.Equal("unknown", Read(reader, Packet("sg to rule")).Interface);
        }

        Assert.Equal(1, looked);
        clock.Advance(TimeSpan.FromSeconds(2));
        Read(reader, Packet("sg to rule"));
        Assert.Equal(2, looked);

        // Gone is not forgotten.
        reader.Follow(new AgentState { Enforced = Compiled(), Links = links });
        Read(reader, Packet("sg to rule"));
        reader.Follow(new AgentState { Enforced = Compiled(), Links = HostLinks.None });
        Assert.Equal("tap-n", Read(reader, Packet("sg to rule")).Interface);
    }

    [Fact]
    public void A_slow_reader_is_told_what_it_lost_and_a_quick_one_loses_nothing()
    {
        long lost = 0;
        var hub = new DropHub(kept: 10, (kind, count) => lost += kind == "slow" ? count : 1_000_000);
        DropReader reader = Reader();
        DropRecord record = Read(reader, Packet("sg to rule"));
        using DropHub.DropReading slow = hub.Read("slow", _ => true).Reading;
        using DropHub.DropReading quick = hub.Read("quick", _ => true).Reading;
        for (int i = 0; i < DropHub.Behind + 5; i++)
        {
            hub.Publish(record);
            Assert.True(quick.Records.TryRead(out (DropRecord, long Lost) got));
            Assert.Equal(0, got.Lost);
        }

        Assert.Equal(5, lost);
        Assert.True(slow.Records.TryRead(out _));
        hub.Publish(record);
        long told = 0;
        while (slow.Records.TryRead(out (DropRecord Record, long Lost) got))
        {
            told += got.Lost;
        }

        Assert.Equal(5, told);
        Assert.Equal(10, hub.Read("slow", _ => true, last: 50).Kept.Length);
        Assert.Equal(3, hub.Read("slow", _ => true, last: 3).Kept.Length);
        Assert.Empty(hub.Read("slow", one => one.Reason != "rule", last: 50).Kept);
    }

    [Fact]
    public void A_full_file_is_put_aside_and_so_many_are_kept()
    {
        string folder = Directory.CreateTempSubdirectory("sg-drops").FullName;
        try
        {
            string path = Path.Combine(folder, "drops.json");
            using var file = new DropFile(path, maxBytes: 30, keep: 2);
            for (int i = 0; i < 10; i++)
            {
                Assert.Null(file.Write($"line {i} 34567890"));
            }

            Assert.Equal(["drops.json", "drops.json.1", "drops.json.2"],
                Directory.GetFiles(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
            Assert.Equal("line 9 34567890\n", File.ReadAllText(path));
            Assert.Equal("line 8 34567890\n", File.ReadAllText(path + ".1"));

            // Somebody else moves it away, or a directory is in its place.
            Directory.Delete(folder, recursive: true);
            Assert.NotNull(file.Write(new string('x', 40)));
            Directory.CreateDirectory(path);
            Assert.NotNull(file.Write("x"));
            Directory.Delete(path);
            Assert.Null(file.Write("x"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_line_of_json_has_what_is_known()
    {
        DropReader reader = Reader();
        reader.Follow(new AgentState { Enforced = Compiled(), Links = links });
        JsonNode line = JsonNode.Parse(DropJson.Line(Read(reader, Packet("sg from mac") with
        {
            Link = new byte[] { 1, 2, 3, 4, 5, 6, 0x2a, 0, 0, 0, 0, 9, 8, 0 },
            VlanTag = 0x2005,
        }), lostBefore: 3))!;
        Assert.Equal("""
            {"time":"2026-11-24T12:00:00.0000000Z","vnic":"n","interface":"tap-n","direction":"egress","verdict":"drop",
            "reason":"mac","protocol":"udp","source":"10.0.0.8","source_port":4711,"destination":"198.51.100.7",
            "destination_port":22,"length":29,"ether_type":2048,"mac":"2a:00:00:00:00:09","vlan":5,"lost_before":3}
            """.Replace("\n", "", StringComparison.Ordinal), line.ToJsonString());
    }

    private static readonly System.Net.IPAddress A = System.Net.IPAddress.Parse("10.0.0.8");
    private static readonly System.Net.IPAddress B = System.Net.IPAddress.Parse("198.51.100.7");

    private DropReader Reader() => new(() => links, clock);

    private static DropRecord Read(DropReader reader, LoggedPacket packet)
    {
        DropRecord? record = reader.Read(packet);
        Assert.NotNull(record);
        return record;
    }

    private LoggedPacket Packet(
        string prefix, uint mark = 0, DateTimeOffset? time = null, byte[]? network = null) => new()
        {
            Prefix = prefix,
            Mark = mark,
            In = Device,
            Out = Device,
            EtherType = 0x0800,
            Time = time ?? clock.GetUtcNow(),
            Network = network ?? Packets.Udp(A, B, 4711, 22, [1]),
        };

    private static CompiledRuleset Compiled(params string[] rules) => RulesetCompiler.Compile(
        CompilerAgainstOracleTests.Request(new PolicyBuilder().Advanced("sg", rules)
            .Nic("n", "10.0.0.8", "sg", vnic => vnic with { InterfaceName = "tap-n" }).Build()));

    // Numbers are the compiler's own business: whichever leads to the rule.
    private static uint MarkOf(CompiledRuleset ruleset, Direction direction, string rule, Verdict verdict)
    {
        string profile = CompiledRuleset.ProfileOf(ruleset.Request.Policy.Vnics["n"]);
        PolicyProgram program = direction == Direction.Ingress
            ? ruleset.Profiles[profile].Ingress : ruleset.Profiles[profile].Egress;
        return Decision.Of(verdict, program.RuleKeys.Single(pair => pair.Value == rule).Key);
    }
}
