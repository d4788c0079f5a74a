using System.Text.Json.Nodes;
using Agent.Cli;

namespace Agent.Tests.Cli.Conversion;

/// <summary>Documents as sgctl converts them, and packets as the policy that comes out judges them.</summary>
internal sealed record Converted(CliRun Run, JsonNode Answer)
{
    public JsonObject Policy => Answer["policy"]!.AsObject();

    public static async Task<Converted> Of(string[] documents, params string[] options)
    {
        CliRun run = await RunAsync(documents, ["--json", .. options]);
        return new Converted(run, JsonNode.Parse(run.Out)!);
    }

    /// <summary>The same, and it must work, and what comes out must be what check calls good.</summary>
    public static async Task<Converted> Good(string[] documents, params string[] options)
    {
        Converted converted = await Of(documents, options);
        Assert.True(converted.Run.ExitCode == ExitCode.Done, converted.Run.Out);
        CliRun check = await CliRun.Of(["check", "-"], converted.Policy.ToJsonString());
        Assert.True(check.ExitCode == ExitCode.Done, check.Error);
        return converted;
    }

    /// <summary>Runs it on files, whose directory is kept out of what was printed.</summary>
    public static async Task<CliRun> RunAsync(string[] documents, params string[] options)
    {
        string directory = Directory.CreateTempSubdirectory("sgctl-").FullName;
        try
        {
            var paths = new List<string>();
            foreach (string document in documents)
            {
                paths.Add(Path.Combine(directory, $"{paths.Count + 1}.json"));
                await File.WriteAllTextAsync(paths[^1], document);
            }

            CliRun run = await CliRun.Of(["convert", .. paths, .. options]);
            return run with
            {
                Out = run.Out.Replace(directory + "/", "", StringComparison.Ordinal),
                Error = run.Error.Replace(directory + "/", "", StringComparison.Ordinal),
            };
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>"path: message" of each, in order.</summary>
    public string[] List(string name) => [.. ((name == "faults" ? Answer["error"]! : Answer)[name]!.AsArray())
        .Select(one => $"{one!["path"]}: {one["message"]}")];

    public JsonObject Group(string id) => Policy["groups"]!.AsArray().Single(group => (string?)group!["id"] == id)!
        .AsObject();

    /// <summary>"ACCEPT sg/rule" or "DROP default", of a packet at a vNIC with 10.0.0.5 and 2001:db8::5.</summary>
    /// <param name="groups">Of the vNIC.</param>
    /// <param name="question">As explain takes it, without the vNIC: "ingress tcp 192.0.2.1 10.0.0.5:80".</param>
    /// <param name="members">Members of groups: "sg-b=10.0.0.9".</param>
    public async Task<string> Judge(string groups, string question, params string[] members)
    {
        var policy = (JsonObject)Policy.DeepClone();
        string[] ids = groups.Split(',');
        policy["vnics"] = new JsonArray(new JsonObject
        {
            ["id"] = "eni-1",
            ["interface_name"] = "tap1",
            ["mac"] = "02:00:00:00:00:01",
            ["vpc_id"] = (string)Group(ids[0])["vpc_id"]!,
            ["addresses"] = new JsonArray("10.0.0.5", "2001:db8::5"),
            ["group_ids"] = new JsonArray([.. ids.Select(id => JsonValue.Create(id))]),
        });
        foreach (string[] member in members.Select(one => one.Split('=')))
        {
            JsonObject group = policy["groups"]!.AsArray()
                .Single(one => (string?)one!["id"] == member[0])!.AsObject();
            group["members"] = new JsonArray([.. member[1].Split(',').Select(one => JsonValue.Create(one))]);
        }

        CliRun run = await CliRun.Of(
            ["explain", "--json", "--file", "-", "eni-1", .. question.Split(' ')], policy.ToJsonString());
        JsonNode answer = JsonNode.Parse(run.Out)!;
        Assert.True(answer["verdict"] is not null, run.Out);
        Assert.Equal((string?)answer["verdict"], (string?)answer["kernel"]!["verdict"]);
        string verdict = (string)answer["verdict"]! == "POLICY_ACCEPT" ? "ACCEPT" : "DROP";
        string rule = (string)answer["rule"]!;
        return $"{verdict} {(rule.Length > 0 ? rule : (string)answer["reason"]!)}";
    }

    public async Task Judges(string groups, string members, params string[] expected)
    {
        string[] named = members.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var wrong = new List<string>();
        foreach (string[] line in expected.Select(one => one.Split(" : ")))
        {
            string verdict = await Judge(groups, line[0], named);
            if (!verdict.StartsWith(line[1], StringComparison.Ordinal))
            {
                wrong.Add($"{line[0]} : {verdict}, not {line[1]}");
            }
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }
}
