using System.Formats.Tar;
using System.IO.Compression;
using System.Text.Json.Nodes;
using Agent.Cli;
using Agent.Cli.Support;
using Agent.Policy;

namespace Agent.Tests.Cli;

/// <summary>The archive without an agent, and what is taken out of texts.</summary>
public sealed class SupportDumpTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("sgctl-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task Without_an_agent_the_dump_says_so_and_has_the_rest()
    {
        string path = Path.Combine(directory, "dump.tar.gz");
        string config = Path.Combine(directory, "config.json");
        await File.WriteAllTextAsync(
            config, "{ // ours\n \"x\": { \"password\": \"hunter2\" },\n \"url\": \"http://u:hunter2@[::1]/\" }",
            TestContext.Current.CancellationToken);
        CliRun run = await CliRun.Of(
            ["support-dump", path, "--socket", "/nonexistent", "--metrics", "127.0.0.1:9", "--config", config]);
        Assert.Equal((ExitCode.Done, ""), (run.ExitCode, run.Error));
        Assert.Matches(@"\nstatus +failed +cannot reach the agent at /nonexistent: there is no such socket\n", run.Out);
        Assert.Matches(@"\nconfiguration file +included +\d+ B +2 secrets removed\n", run.Out);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));

        Dictionary<string, string> files = await ReadAsync(path);
        JsonNode manifest = JsonNode.Parse(files["MANIFEST.json"])!;
        Assert.False((bool)manifest["agent_answered"]!);
        Assert.Equal(SupportSections.All.Length, manifest["sections"]!.AsArray().Count);
        Assert.Equal(
            files.Keys.Except(["MANIFEST.json"]).Order(StringComparer.Ordinal),
            manifest["sections"]!.AsArray().Where(one => (string?)one!["result"] == "included")
                .Select(one => (string)one!["file"]!).Order(StringComparer.Ordinal));
        Assert.Contains("sg-agentd: cannot reach the agent", files["versions.txt"], StringComparison.Ordinal);
        Assert.Contains("# /proc/version\nLinux version", files["kernel.txt"], StringComparison.Ordinal);
        Assert.Equal(
            "{ // ours\n \"x\": { \"password\": \"[removed]\" },\n \"url\": \"http://[removed]@[::1]/\" }",
            files["config.json.txt"]);
        Assert.DoesNotContain("state.json", files.Keys);
    }

    [Fact]
    public async Task Anonymized_without_an_agent_what_may_have_names_is_left_out()
    {
        string path = Path.Combine(directory, "dump.tar.gz");
        CliRun run = await CliRun.Of(
            ["support-dump", path, "--json", "--anonymize", "--socket", "/nonexistent", "--config", "/proc/version"]);
        JsonNode manifest = JsonNode.Parse(run.Out)!;
        Dictionary<string, string> files = await ReadAsync(path);
        Assert.Equal(run.Out, files["MANIFEST.json"]);
        Assert.Equal(["MANIFEST.json", "versions.txt"], files.Keys.Order(StringComparer.Ordinal));
        Assert.Equal("left out", (string?)manifest["sections"]!.AsArray()
            .Single(one => (string?)one!["name"] == "configuration file")!["result"]);
    }

    [Theory]
    [InlineData("there.tar.gz", ExitCode.Failed, "it is there already")]
    [InlineData("no/such/dump.tar.gz", ExitCode.Failed, "cannot be written")]
    [InlineData(".", ExitCode.Failed, "cannot be written")]
    [InlineData("-", ExitCode.Usage, "an archive is not written to standard output")]
    public async Task An_archive_that_cannot_be_made_is_said_before_anything_else(string name, int code, string says)
    {
        string there = Path.Combine(directory, "there.tar.gz");
        await File.WriteAllTextAsync(there, "mine", TestContext.Current.CancellationToken);
        CliRun run = await CliRun.Of(
            ["support-dump", name == "-" ? name : Path.Combine(directory, name), "--socket", "/nonexistent"]);
        Assert.Equal(code, run.ExitCode);
        Assert.Contains(says, run.Error, StringComparison.Ordinal);
        Assert.Equal("mine", await File.ReadAllTextAsync(there, TestContext.Current.CancellationToken));
        Assert.Equal([there], Directory.GetFileSystemEntries(directory));
    }

    [Theory]
    [InlineData("--metrics nowhere", "--metrics is address:port")]
    [InlineData("--timeout 0", "--timeout is a number of seconds")]
    public async Task Options_that_cannot_be_meant_are_usage(string options, string says)
    {
        CliRun run = await CliRun.Of(["support-dump", Path.Combine(directory, "x"), .. options.Split(' ')]);
        Assert.Equal(ExitCode.Usage, run.ExitCode);
        Assert.Contains(says, run.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(directory));
    }

    [Theory]
    [InlineData(
        "a -----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY----- b", "a [private key removed] b", 1)]
    [InlineData("-----BEGIN PRIVATE KEY-----\\nMHcx", "[private key removed]", 1)]
    [InlineData("-----BEGIN CERTIFICATE-----\nMHc", "-----BEGIN CERTIFICATE-----\nMHc", 0)]
    [InlineData("http://me:pw@10.0.0.1:4318/v1", "http://[removed]@10.0.0.1:4318/v1", 1)]
    [InlineData("Authorization: Bearer abcdef0123456789", "Authorization: Bearer [removed]", 1)]
    [InlineData("api_key=xyz, next", "api_key=[removed], next", 1)]
    [InlineData("\"db.password\": \"a\\\"b\", \"x\": 1", "\"db.password\": \"[removed]\", \"x\": 1", 1)]
    [InlineData("id AKIAIOSFODNN7EXAMPLE.", "id [removed].", 1)]
    [InlineData("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "[removed]", 1)]
    [InlineData("grpc.tls.key: \"/etc/agent/key.pem\"", "grpc.tls.key: \"/etc/agent/key.pem\"", 0)]
    [InlineData("sg_agent_vnic_packets_total{vnic=\"eni-1\"} 5", "sg_agent_vnic_packets_total{vnic=\"eni-1\"} 5", 0)]
    public void Secrets_go_and_the_rest_stays(string text, string expected, int removed)
    {
        var filter = new SecretFilter();
        Assert.Equal((expected, removed), (filter.Text(text), filter.Removed));
    }

    [Fact]
    public void In_JSON_names_of_fields_tell_secrets_and_numbers_stay()
    {
        var filter = new SecretFilter();
        string text = JsonTexts.Rewrite(
            """{"labels":{"db_password":"x","team":"shop"},"n":18446744073709551615,"tokens":3,"t":[true,1.5e3]}""",
            filter.Value);
        JsonNode json = JsonNode.Parse(text)!;
        Assert.Equal("[removed]", (string?)json["labels"]!["db_password"]);
        Assert.Equal("shop", (string?)json["labels"]!["team"]);
        Assert.Contains("18446744073709551615", text, StringComparison.Ordinal);
        Assert.Equal(1, filter.Removed);
    }

    [Fact]
    public void The_same_name_is_the_same_everywhere_and_no_part_of_a_word_is_a_name()
    {
        var anonymizer = new Anonymizer();
        anonymizer.Name("group", "sg-web");
        anonymizer.Name("group", "sg-web-2");
        anonymizer.Name("if", "tap1");
        anonymizer.Name("vnic", "eni");
        Assert.Equal(
            "group-1 group-2, chain vnic_if-1_out, tap12, denied, group-1/vnic-1",
            anonymizer.Text("sg-web sg-web-2, chain vnic_tap1_out, tap12, denied, sg-web/eni"));
    }

    [Fact]
    public void Addresses_keep_their_prefixes_and_nothing_else()
    {
        var anonymizer = new Anonymizer();
        const string text = "10.1.2.3 10.1.2.4:80 [2001:db8::5]:443 10.1.2.0/24 2001:db8::/32 02:00:00:00:00:aa "
            + "tcp 10.1.2.3:5 -> 10.1.2.4. fe80::1%x 12:30:59 6.12.5 169.254.169.254 0.0.0.0/0 ::/0 ff02::1 127.0.0.1";
        string other = anonymizer.Text(text);
        string[] words = other.Split(' ');
        Assert.DoesNotContain("10.1.2.", other, StringComparison.Ordinal);
        Assert.DoesNotContain("2001:db8", other, StringComparison.Ordinal);
        Assert.DoesNotContain("00:aa", other, StringComparison.Ordinal);
        Assert.EndsWith(
            "12:30:59 6.12.5 169.254.169.254 0.0.0.0/0 ::/0 ff02::1 127.0.0.1", other, StringComparison.Ordinal);
        IpPrefix net = IpPrefix.Parse(words[3]);
        Assert.Equal(24, net.Length);
        Assert.StartsWith("10.", words[0], StringComparison.Ordinal);
        Assert.True(net.Contains(IpPrefix.Parse(words[0])));
        Assert.True(net.Contains(IpPrefix.Parse(words[1].Split(':')[0])));
        Assert.NotEqual(words[0], words[1].Split(':')[0]);
        Assert.Equal(words[0] + ":5", words[7]);
        Assert.Equal(words[1].Split(':')[0] + ".", words[9]);
        Assert.True(IpPrefix.Parse(words[4]).Contains(IpPrefix.Parse(words[2].Split(']')[0][1..])));
        Assert.Equal(other, anonymizer.Text(text));
        Assert.NotEqual(other, new Anonymizer().Text(text));
    }

    /// <summary>File names without the archive's directory, and texts.</summary>
    internal static async Task<Dictionary<string, string>> ReadAsync(string path)
    {
        var files = new Dictionary<string, string>(StringComparer.Ordinal);
        await using var packed = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        await using var tar = new TarReader(packed);
        while (await tar.GetNextEntryAsync() is TarEntry entry)
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, entry.Mode);
            Assert.StartsWith("sg-agent-support-", entry.Name, StringComparison.Ordinal);
            using var reader = new StreamReader(entry.DataStream ?? Stream.Null);
            files.Add(entry.Name.Split('/')[1], await reader.ReadToEndAsync());
        }

        return files;
    }
}
