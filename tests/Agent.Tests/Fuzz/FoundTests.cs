using System.Net;
using System.Text;
using Agent.Cli;
using Agent.Cli.Input;
using Agent.Daemon.Config;
using Agent.Daemon.Counting;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.Tests.Cli;

namespace Agent.Tests.Fuzz;

/// <summary>What fuzzing has found, each by its bytes.</summary>
public sealed class FoundTests
{
    /// <summary>The inverse of a tuple is a property of it: a record prints those, and so on without end.</summary>
    [Fact]
    public void A_session_prints_itself_once()
    {
        var flow = Flow.New(new FlowTuple(IPAddress.Parse("10.0.0.8"), IPAddress.Parse("198.51.100.7"), 6, 1, 443),
            7, 300, isAnswered: true, isAssured: true);
        Assert.Equal("6 10.0.0.8 1 > 198.51.100.7 443", flow.Original.ToString());
        Assert.Contains("6 198.51.100.7 443 > 10.0.0.8 1", flow.ToString(), StringComparison.Ordinal);
    }

    /// <summary>kube-proxy's chains have names of 60 bytes: one of them hid the tables of all others.</summary>
    [Theory]
    [InlineData("service-ULMVA6XW-default/kubernetes/tcp/https", "a verdict to 'service-ULMVA6XW")]
    [InlineData("a_chain_with_a_name_of_31_bytes", null)]
    public void A_map_to_chains_of_others_is_read_whatever_their_names(string chain, string? unexpected)
    {
        ElementReader reader = Read(Map(NftSetKind.VerdictMap), element => element.PutVerdict(
            NftaSetElem.Data, NftVerdict.Goto(chain)));
        Assert.StartsWith(unexpected ?? "", reader.Unexpected ?? "", StringComparison.Ordinal);
        Assert.Equal(unexpected is null, reader.Unexpected is null);
    }

    /// <summary>What a row has no place for was read as something else, or not at all.</summary>
    [Fact]
    public void An_element_that_a_row_cannot_say_is_unexpected()
    {
        NftSet verdicts = Map(NftSetKind.VerdictMap);
        Assert.Equal("an element without its data", Read(verdicts, _ => { }).Unexpected);
        Assert.Equal("a verdict that this build does not know", Read(verdicts, element => element.PutVerdict(
            NftaSetElem.Data, new NftVerdict(NftVerdictCode.Jump))).Unexpected);
        Assert.StartsWith("object", Read(verdicts, element => element.PutText(NftaSetElem.Objref, "total")).Unexpected,
            StringComparison.Ordinal);
        NftSet plain = Map(NftSetKind.Set);
        Assert.Equal("an element with two keys", Read(plain, element => element.PutValue(
            NftaSetElem.KeyEnd, new byte[4])).Unexpected);
        Assert.Equal("an end of a range in a set without ranges", Read(plain, element => element.PutU32Be(
            NftaSetElem.Flags, NftSetElem.IntervalEnd)).Unexpected);
        Assert.Equal("two ranges that begin at one key", Read(plain with { Interval = true }, _ => { }, times: 2)
            .Unexpected);
    }

    /// <summary>nlmsgerr | the request's header, whose length is not true | nothing behind it.</summary>
    [Theory]
    [InlineData("fefffffff0ffffff060a05000900000000000000", "ENOENT")]
    [InlineData("feffffff00000000060a05000900000000000000", "ENOENT")]
    [InlineData("feffffffffffffff060a05000900000000000000", "ENOENT")]
    [InlineData("0200000010000000060a05000900000000000000", null)]
    [InlineData("0000008010000000060a05000900000000000000", null)]
    public void An_error_whose_request_has_no_true_length_is_read_or_refused(string payload, string? error)
    {
        var writer = new NlWriter();
        NlMark message = writer.BeginMessage(Nlmsg.Error, NlmFAck.AckTlvs, 9);
        writer.PutRaw(Convert.FromHexString(payload));
        writer.EndMessage(message);
        string? read = null;
        try
        {
            foreach (NlMessage one in new NlMessages(writer.Written))
            {
                read = KernelError.Read(one)?.Name;
            }
        }
        catch (NetlinkFormatException)
        {
            // no kernel would send it
        }

        Assert.Equal(error, read);
    }

    /// <summary>Two scanners of YAML end in exceptions of their own where a text is at odds with itself.</summary>
    [Theory]
    [InlineData("  : {\nx")]
    public async Task A_text_that_no_YAML_scanner_takes_is_a_fault(string text)
    {
        Assert.NotEmpty(PolicyFile.Read("a.yaml", Encoding.UTF8.GetBytes(text)).Faults);
        Assert.Equal(ExitCode.InputInvalid, (await CliRun.OnFile("check", text)).ExitCode);
    }

    /// <summary>A parser repeats what it stumbles over; a key of a document is as long as it likes.</summary>
    [Fact]
    public async Task Messages_are_short_whatever_is_long()
    {
        string long_ = new('x', 20_000);
        Assert.All(PolicyFile.Read("a.json", Encoding.UTF8.GetBytes($$"""{ "a": { "{{long_}}": f } }""")).Faults,
            fault => Assert.True(fault.Fault.ToString().Length < 1000));
        foreach (string document in (string[])
            [
                $$"""
                { "SecurityGroupId": "sg-b", "VpcId": "vpc-1", "InnerAccessPolicy": "Accept", "{{long_}}": 1,
                  "Permissions": { "Permission": [] } }
                """,
                $$"""
                { "id": "sg-b", "rules": [ { "id": "r", "direction": "ingress", "ethertype": "IPv4",
                  "protocol": "{{long_}}", "port_range_min": 1, "port_range_max": 2 } ] }
                """,
            ])
        {
            CliRun run = await CliRun.Of(["convert", "-"], document);
            Assert.InRange(run.Error.Length, 1, 2000);
        }
    }

    /// <summary>JSON that is well formed and no text: the daemon did not say so, and ended.</summary>
    [Theory]
    [InlineData("""{ "table": "\ud800" }""")]
    [InlineData("""{ "\ud800": 1 }""")]
    [InlineData("""{ "managed_interfaces": ["tap*", "\udc00"] }""")]
    public void A_configuration_with_half_a_character_is_faulty(string text)
    {
        ConfigResult read = ConfigReader.Read(text, []);
        Assert.Null(read.Config);
        Assert.Contains("surrogate", Assert.Single(read.Faults).Message, StringComparison.Ordinal);
    }

    /// <summary>A checksum that is right is no promise that a time is one.</summary>
    [Fact]
    public void A_ledger_whose_times_are_none_is_as_none()
    {
        byte[] body =
        [
            .. "SGCOUNT"u8, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, (byte)'v', 0, 0, 1, (byte)'n',
            .. BitConverter.GetBytes(long.MaxValue), .. new byte[24],
        ];
        Assert.Empty(LedgerFile.Read(LedgerTarget.Hashed(body), out string? damage).States);
        Assert.StartsWith("it makes no sense", damage, StringComparison.Ordinal);
    }

    private static NftSet Map(NftSetKind kind) => new(
        "services", [NftType.Ipv4Addr], Interval: false, kind, Size: null, Counters: false,
        NftElements.Empty(NftElements.RowLength([NftType.Ipv4Addr], interval: false, kind)));

    private static ElementReader Read(NftSet set, Action<NlWriter> rest, int times = 1)
    {
        var writer = new NlWriter();
        NlMark list = writer.BeginNest(NftaSetElemList.Elements);
        for (; times > 0; times--)
        {
            NlMark element = writer.BeginNest(NftaList.Elem);
            writer.PutValue(NftaSetElem.Key, [10, 96, 0, 1]);
            rest(writer);
            writer.EndNest(element);
        }

        writer.EndNest(list);
        var reader = new ElementReader(set);
        reader.Read(new NlAttrs(writer.Written));
        _ = reader.Build();
        return reader;
    }
}
