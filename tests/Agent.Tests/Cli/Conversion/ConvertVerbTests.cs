using System.Text.Json.Nodes;
using Agent.Cli;

namespace Agent.Tests.Cli.Conversion;

/// <summary>The verb, apart from whose documents it reads: options, several files, output, broken input.</summary>
public sealed class ConvertVerbTests
{
    private const string Aws = """
        { "SecurityGroups": [ { "GroupId": "sg-a", "VpcId": "vpc-1", "GroupName": "a", "IpPermissionsEgress": [],
          "IpPermissions": [ { "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80,
            "IpRanges": [ { "CidrIp": "0.0.0.0/0" } ], "UserIdGroupPairs": [ { "GroupId": "sg-b" } ] } ] } ] }
        """;

    private const string Alibaba = """
        { "SecurityGroupId": "sg-b", "VpcId": "vpc-1", "InnerAccessPolicy": "Accept",
          "Permissions": { "Permission": [] } }
        """;

    private const string OpenStack = """
        { "security_group": { "id": "sg-c", "project_id": "p", "security_group_rules": [
          { "id": "r", "direction": "egress", "ethertype": "IPv4" } ] } }
        """;

    [Fact]
    public async Task What_is_printed_is_a_policy_file_as_JSON_or_YAML()
    {
        CliRun json = await Converted.RunAsync([Aws]);
        CliRun yaml = await Converted.RunAsync([Aws], "--yaml");
        CliRun whole = await Converted.RunAsync([Aws], "--json");
        Assert.Equal((0, 0, 0), (json.ExitCode, yaml.ExitCode, whole.ExitCode));
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(json.Out), JsonNode.Parse(whole.Out)!["policy"]));
        foreach (string policy in (string[])[json.Out, yaml.Out])
        {
            CliRun check = await CliRun.Of(["check", "-"], policy);
            Assert.StartsWith("<stdin>: no fault: 2 groups, 6 rules", check.Out, StringComparison.Ordinal);
        }

        CliRun same = await CliRun.Of(["convert", "-"], Aws);
        Assert.Equal(json.Out, same.Out);
        Assert.Equal(
            "warning: 1.json:3:70 SecurityGroups[0].IpPermissions[0].UserIdGroupPairs[0]: sg-b is in no document: an "
            + "empty, closed group stands for it. Put vNICs in it, or list its members.\n", json.Error);
        Assert.Empty(whole.Error);
    }

    [Fact]
    public async Task Several_files_are_one_policy()
    {
        Converted converted = await Converted.Good([Aws, Alibaba, OpenStack], "--vpc", "vpc-1");
        Assert.Equal(
            ["sg-a", "sg-b", "sg-c"], converted.Policy["groups"]!.AsArray().Select(group => (string?)group!["id"]));
        Assert.Contains(converted.List("warnings"), one => one.Contains("members of sg-b are in no document",
            StringComparison.Ordinal));
        await converted.Judges("sg-a", "sg-b=10.0.0.9", "ingress tcp 10.0.0.9 10.0.0.5:80 : ACCEPT");
        Converted list = await Converted.Good([$"[{Aws}, {Alibaba}]"]);
        Assert.Equal(2, list.Policy["groups"]!.AsArray().Count);
        Converted twice = await Converted.Of([Aws, Aws]);
        Assert.Equal(["SecurityGroups[0]: group sg-a stands twice"], twice.List("faults"));
        Assert.Equal("2.json", (string?)twice.Answer["error"]!["faults"]![0]!["file"]);
    }

    [Theory]
    [InlineData("--from aws", ExitCode.Done, "")]
    [InlineData("--from alibaba", ExitCode.InputInvalid, "this is an answer of Aws, not Alibaba")]
    [InlineData("--from azure", ExitCode.Usage, "'azure' not recognized")]
    [InlineData("--yaml --json", ExitCode.Usage, "")]
    [InlineData("/nonexistent", ExitCode.InputInvalid, "there is no such file")]
    public async Task Options(string options, int expected, string says)
    {
        CliRun run = await Converted.RunAsync([Aws], options.Split(' '));
        Assert.Equal(expected, run.ExitCode);
        Assert.Contains(says, run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "this is no answer that is known")]
    [InlineData("{}", "this is no answer that is known")]
    [InlineData("[]", null)]
    [InlineData("7", "this is no answer that is known")]
    [InlineData("[7]", "this is no answer that is known")]
    [InlineData("{ \"groups\": [] }", "this is no answer that is known")]
    [InlineData("{ \"SecurityGroups\": ", "1.json:1:21")]
    [InlineData("{ \"SecurityGroups\": [], \"SecurityGroups\": [] }", "stands twice")]
    [InlineData("{ \"SecurityGroups\": [], \"NextToken\": \"\\ud800\" }", "surrogate")]
    public async Task No_document(string text, string? says)
    {
        CliRun run = await Converted.RunAsync([text]);
        Assert.Equal(says is null ? ExitCode.Done : ExitCode.InputInvalid, run.ExitCode);
        Assert.Contains(says ?? "", run.Error, StringComparison.Ordinal);
        Assert.Equal(says is not null, run.Out.Length == 0);
    }

    /// <summary>
    /// Documents with bytes and whole values exchanged: a policy that check takes, or faults, never anything else.
    /// </summary>
    [Fact]
    public async Task Broken_documents_end_in_faults()
    {
        const int seed = 20261130;
        var random = new Random(seed);
        string[] pieces =
        [
            "null", "[]", "{}", "7", "-1", "\"\"", "true", "\"sg-a\"", "[{}]", "1e99", "\"::/0\"", "\"\\ud800\"",
        ];
        string[] documents = [Aws, Alibaba, OpenStack];
        int good = 0;
        for (int i = 0; i < 400; i++)
        {
            string text = documents[i % documents.Length];
            for (int changes = random.Next(1, 4); changes > 0; changes--)
            {
                int at = random.Next(text.Length);
                int next = text.IndexOf(':', at);
                text = random.Next(3) switch
                {
                    0 => text[..at] + (char)random.Next(32, 127) + text[(at + 1)..],
                    1 => text.Remove(at, Math.Min(random.Next(1, 9), text.Length - at)),
                    _ when next > 0 => Exchange(text, next + 1, pieces[random.Next(pieces.Length)]),
                    _ => text,
                };
            }

            CliRun run = await CliRun.Of(["convert", "--json", "-"], text);
            JsonNode answer = JsonNode.Parse(run.Out)!;
            if (run.ExitCode == ExitCode.Done)
            {
                good++;
                CliRun check = await CliRun.Of(["check", "-"], answer["policy"]!.ToJsonString());
                Assert.True(check.ExitCode == ExitCode.Done, $"seed {seed}, {i}: {text}\n{check.Error}");
            }
            else
            {
                Assert.True(run.ExitCode == ExitCode.InputInvalid, $"seed {seed}, {i}: {text}");
                Assert.NotEmpty(answer["error"]!["faults"]!.AsArray());
            }
        }

        Assert.InRange(good, 20, 380);
    }

    /// <summary>The value that begins here, up to the next comma or end, becomes another.</summary>
    private static string Exchange(string text, int from, string value)
    {
        int to = text.IndexOfAny([',', '}', ']'], from);
        return to < 0 ? text : text[..from] + " " + value + text[to..];
    }
}
