using System.Text.Json;
using Agent.TestNet;

namespace Agent.Tests.Documents;

/// <summary>packaging/sbom names what the programs are built of, and nothing else.</summary>
public sealed class SbomTests
{
    private static readonly string[] Licences = ["Apache-2.0", "BSD-3-Clause", "MIT"];

    [Theory]
    [InlineData("sg-agentd", "Agent.Daemon")]
    [InlineData("sgctl", "Agent.Cli")]
    public void The_bill_of_materials_is_up_to_date(string program, string project)
    {
        string root = BuiltProgram.RepositoryRoot();
        using JsonDocument bill = Read(Path.Combine(root, "packaging", "sbom", program + ".cdx.json"));
        JsonElement[] components = [.. bill.RootElement.GetProperty("components").EnumerateArray()];
        using JsonDocument built = Read(BuiltProgram.Find("SG_DEPENDENCIES", project, program + ".deps.json"));
        string[] linked =
        [
            .. built.RootElement.GetProperty("libraries").EnumerateObject()
                .Where(library => library.Value.GetProperty("type").GetString() == "package")
                .Select(library => library.Name),
        ];
        // What writes code at build time, and the runtime, which a build for the JIT finds on its machine.
        string[] listed =
        [
            .. components.Select(one => $"{one.GetProperty("name")}/{one.GetProperty("version")}").Where(name =>
                !name.StartsWith("Grpc.Tools/", StringComparison.Ordinal)
                && !name.Contains(".Runtime.", StringComparison.Ordinal)),
        ];
        Assert.True(linked.Order(StringComparer.Ordinal).SequenceEqual(listed.Order(StringComparer.Ordinal)),
            $"packaging/sbom differs from what is built; make sbom writes it anew: {string.Join(
                ", ", linked.Except(listed).Concat(listed.Except(linked)))}");
        Assert.Contains(components, one => one.GetProperty("name").GetString()!.Contains(".NativeAOT."));
        Assert.All(components, one => Assert.All(one.GetProperty("licenses").EnumerateArray(), licence =>
            Assert.Contains(licence.GetProperty("license").GetProperty("id").GetString(), Licences)));
    }

    private static JsonDocument Read(string path) => JsonDocument.Parse(File.ReadAllText(path));
}
