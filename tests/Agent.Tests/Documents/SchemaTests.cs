using Agent.TestNet;
using Agent.Tests.Cli;

namespace Agent.Tests.Documents;

/// <summary>packaging/schema is what verbs print with --json.</summary>
public sealed class SchemaTests
{
    private const string Policy = """
        groups:
          - id: sg-web
            vpc_id: vpc-1
            rules:
              - { id: http, direction: ingress, protocol: tcp, port_range: 80/80, cidr: 10.1.2.3/8 }
              - { id: ssh, direction: ingress, protocol: tcp, port_range: 22/22, cidr: 0.0.0.0/0 }
        vnics: [{ id: eni-1, interface_name: tap1, mac: 02:00:00:00:00:01,
            vpc_id: vpc-1, addresses: [10.0.0.5], group_ids: [sg-web] }]
        """;

    [Fact]
    public void The_schemas_are_up_to_date() => WrittenFiles.Check("packaging/schema", JsonSchemas.All);

    [Fact]
    public void Every_verb_has_one()
    {
        var around = new Agent.Cli.Surroundings
        {
            Out = TextWriter.Null,
            Error = TextWriter.Null,
            OpenInput = () => Stream.Null,
        };
        Assert.Equal(
            Agent.Cli.Sgctl.Build(around).Subcommands.Where(verb => !verb.Hidden).Select(verb => verb.Name).Order(),
            VerbAnswers.All.Keys.Order());
    }

    [Theory]
    [InlineData("check -")]
    [InlineData("compile -")]
    [InlineData("analyze -")]
    [InlineData("diff - FILE2")]
    [InlineData("completion fish")]
    [InlineData("explain --file - eni-1 ingress tcp 10.7.7.7 10.0.0.5:80")]
    [InlineData("explain --file - eni-7 ingress tcp 10.7.7.7 10.0.0.5:80")]
    [InlineData("explain --file - eni-1 up")]
    [InlineData("check /nonexistent")]
    [InlineData("apply /nonexistent")]
    [InlineData("status --socket /nonexistent")]
    [InlineData("get --yaml")]
    public async Task What_needs_no_agent_answers_as_its_schema_says(string line)
    {
        DirectoryInfo scratch = ScratchDirectory.Create("schema");
        string other = Path.Combine(scratch.FullName, "other.yaml");
        await File.WriteAllTextAsync(other, "groups: []", TestContext.Current.CancellationToken);
        string[] words = line.Replace("FILE2", other, StringComparison.Ordinal).Split(' ');
        CliRun run = await CliRun.Of([.. words, "--json"], Policy);
        scratch.Delete(recursive: true);
        Assert.Empty(run.Error);
        Assert.Empty(AnswerSchema.Faults(words[0], run.Out));
    }

    [Theory]
    [InlineData("check", """{"file":"a","valid":true,"faults":[]}""", "warnings")]
    [InlineData("check", """{"file":"a","valid":1,"faults":[],"warnings":[]}""", "valid")]
    [InlineData("vnics", """{"vnics":[{"vnic_id":"a"}]}""", "interface_name")]
    [InlineData("status", """{"revision":7}""", "revision")]
    [InlineData("get", """{"groups":[{"id":"a","colour":"red"}]}""", "colour")]
    [InlineData("get", """{"revision":7}""", "revision")]
    [InlineData("top", """{"error":{"code":"x"}}""", "message")]
    public void What_is_otherwise_does_not_fit(string verb, string answer, string place) =>
        Assert.Contains(AnswerSchema.Faults(verb, answer), fault => fault.Contains(place, StringComparison.Ordinal));
}
