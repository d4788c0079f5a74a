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

    /// <summary>
    /// A payload of gigabytes, which no register takes, could not be printed; a goto to a chain without a name, and a
    /// log with an empty prefix, were not written as they were read.
    /// </summary>
    [Theory]
    [InlineData("""
        50000000030a030001000000000000000100000006000100740000000c000300666f7277617264000b00070066696c746572000008000500
        0000000114000480080001000000000208000200fffffffba0000000060a030001000000000000000100000006000100740000000c000200
        666f72776172640078000480340001800c0001007061796c6f61640024000280080001000000000108000200000000000800030000000001
        08000400c80b98402c00018008000100636d700020000280080001000000000108000200000000010c000380060001001234000014000180
        0e000100696d6d656469617465000000
        """)]
    [InlineData("""
        50000000030a030001000000000000000100000006000100740000000c000300666f7277617264000b00070066696c746572000008000500
        0000000114000480080001000000000208000200fffffffbf4000000060a030001000000000000000100000006000100740000000c000200
        666f727761726400cc00048024000180090001006d65746100000000140002800800020000000007080001000000000130000180
        0b0001006c6f6f6b757000002000028008000200000000010a00010072617465730000000800050000000001440001800a0001006c696d69
        74000000340002800c000100000000000000000a0c00020000000000000000010800030000000014080004000000000008000500
        0000000030000180080001006c6f67002400028011000200736720746f20636c6f73656400000000040002800600010006fd0000
        """)]
    [InlineData("""
        78000000090a030001000000000000000100000006000100740000000d000200646973706174636800000000080003000000000808000400
        00000029080005000000001008000600ffffff00080007000000000008000a00000000010c000980080001000000001010000d0000040100
        00000104000000008c0000000c0a010401000000000000000100000006000100740000000d0002006469737061746368000000006000
        038030000180180001801400010065746830000000000000000000000000140002801000020008000100fffffffc040002002c00018018
        0001801400010065746831000000000000000000000000100002800c0002800800010000000000
        """)]
    public void A_ruleset_as_no_kernel_lists_it_is_read_or_refused(string hex) =>
        new NftablesTarget().Read(Convert.FromHexString(string.Concat(hex.Split())));

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
        foreach (string file in (string[])
            [
                $$"""{ "a": { "{{long_}}": f } }""",
                $$"""{ "vnics": [ { "id": "{{long_}}", "a": 1, "vpc_id": [] } ] }""",
                $$"""{ "groups": [ { "id": "g", "labels": { "{{long_}}": 1, "{{long_}}": 2 } } ] }""",
            ])
        {
            Assert.All(PolicyFile.Read("a.json", Encoding.UTF8.GetBytes(file)).Faults,
                fault => Assert.True(fault.Fault.ToString().Length < 1000));
        }

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
                $$"""
                { "id": "sg-b", "rules": [ { "id": "r", "direction": "ingress", "ethertype": "IPv4",
                  "remote_group_id": "{{long_}}" } ] }
                """,
            ])
        {
            CliRun run = await CliRun.Of(["convert", "-"], document);
            Assert.InRange(run.Error.Length, 1, 2000);
        }
    }

    /// <summary>Conntrack tells no ports of most protocols; if some came, they were lost on the way to another host.
    /// </summary>
    [Theory]
    [InlineData("""
        cc0000000001050601000000000000000a0000004c0001802c0001801400030020010db8000000000000000000000008
        1400040020010db8ffff000000000000000000071c00028005000100ff00000006000200003500000600030014e900004c000280
        2c0001801400030020010db8ffff000000000000000000071400040020010db80000000000000000000000081c000280
        05000100ff0000000600020014e9000006000300003500000600120000000000080007000000001e08000300000000080800080000000000
        """)]
    public void A_session_of_another_protocol_has_no_ports(string hex)
    {
        foreach (NlMessage message in new NlMessages(Convert.FromHexString(string.Concat(hex.Split()))))
        {
            Flow flow = FlowCodec.Read(message);
            Assert.Equal((255, 0, 0), (flow.Original.Protocol, flow.Original.SourcePort, flow.Reply.DestinationPort));
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
