using System.Collections.Immutable;
using System.CommandLine;
using Agent.Cli.Conversion;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Another cloud's security groups as a policy file.</summary>
internal sealed class ConvertVerb : Verb
{
    private readonly Argument<string[]> files = new("FILE")
    {
        Description = $"{ProviderDocument.Shapes}; several are one policy; - is standard input",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<string?> from = new("--from")
    {
        Description = "Whose documents they are, if not what their shape says: alibaba, aws, openstack",
        HelpName = "PROVIDER",
    };

    private readonly Option<bool> yaml = new("--yaml") { Description = "YAML instead of JSON" };

    private readonly Option<string?> vpc = new("--vpc")
    {
        Description = "The VPC of groups whose document names none, as OpenStack's",
        HelpName = "ID",
    };

    private readonly Option<string?> type = new("--group-type")
    {
        Description = "Of Alibaba Cloud's groups where no document says it: basic, advanced",
        HelpName = "TYPE",
    };

    private readonly Option<bool> skip = new("--skip-unsupported")
    {
        Description = "Leave out accept rules that no policy expresses exactly, and list them; never drop rules",
    };

    public ConvertVerb(GlobalOptions options) : base(options, "convert",
        "Turn security groups of Alibaba Cloud, AWS or OpenStack into a policy file. Needs no agent. No rule lets more "
        + "pass than the original: what cannot be said exactly is a fault.")
    {
        from.AcceptOnlyFromAmong("alibaba", "aws", "openstack");
        type.AcceptOnlyFromAmong("basic", "advanced");
        Arguments.Add(files);
        foreach (Option option in (Option[])[from, yaml, vpc, type, skip])
        {
            Options.Add(option);
        }
    }

    public override IReadOnlyList<string> Examples =>
    [
        "aws ec2 describe-security-groups | sgctl convert --yaml - > policy.yaml",
        "aliyun ecs DescribeSecurityGroupAttribute --SecurityGroupId sg-1 --MaxResults 1000 | sgctl convert -",
        "sgctl convert groups.json lists.json > policy.json     groups, and the prefix lists that they name",
        "openstack security group show -f json web | sgctl convert --vpc vpc-1 -",
    ];

    protected override Task<int> RunAsync(Call call)
    {
        string[] paths = call.Parsed.GetRequiredValue(files);
        bool asYaml = call.Parsed.GetValue(yaml);
        if (asYaml && call.Json)
        {
            throw new CliException(
                ExitCode.Usage, "usage", "--yaml and --json exclude each other", "Leave one of them out.");
        }

        if (paths.Count(path => path == "-") > 1)
        {
            throw new CliException(ExitCode.Usage, "usage", "standard input is read once", "Name - once.");
        }

        ConversionResult result = Converter.Convert(Read(call, paths), new ConversionOptions(
            call.Parsed.GetValue(from) switch
            {
                "alibaba" => Provider.Alibaba,
                "aws" => Provider.Aws,
                "openstack" => Provider.OpenStack,
                _ => null,
            },
            call.Parsed.GetValue(vpc),
            call.Parsed.GetValue(type) switch
            {
                "basic" => GroupType.Basic,
                "advanced" => GroupType.Advanced,
                _ => GroupType.Unspecified,
            },
            call.Parsed.GetValue(skip)));
        if (result.Policy is not Snapshot policy)
        {
            throw new InvalidInputException(string.Join(", ", paths), result.Faults);
        }

        if (call.Json)
        {
            call.Out.Raw(Json.Document(json =>
            {
                json.WritePropertyName("policy");
                json.WriteRawValue(Json.State(policy));
                Json.Write(json, "warnings", result.Warnings);
                Json.Write(json, "skipped", result.Skipped);
                Json.Write(json, "notes", result.Notes);
            }));
            return Task.FromResult(ExitCode.Done);
        }

        string text = Json.State(policy);
        call.Out.Raw(asYaml ? Yaml.FromJson(text) : text);
        Tell(call.Error, "warning", result.Warnings);
        OfflinePolicy.Warn(call.Error, result.Notes);
        Tell(call.Error, "left out", result.Skipped);
        return Task.FromResult(ExitCode.Done);
    }

    /// <exception cref="InvalidInputException">With every file that cannot be read.</exception>
    private static List<NamedContent> Read(Call call, string[] paths)
    {
        var contents = new List<NamedContent>();
        var faults = ImmutableArray.CreateBuilder<FileFault>();
        foreach (string path in paths)
        {
            string name = path == "-" ? InvalidInputException.StandardInput : path;
            (byte[]? content, FileFault? fault) = call.ReadFile(path);
            if (content is null)
            {
                faults.Add(fault! with { File = name });
            }
            else
            {
                contents.Add(new NamedContent(name, content));
            }
        }

        return faults.Count == 0 ? contents
            : throw new InvalidInputException(string.Join(", ", paths), faults.ToImmutable());
    }

    private static void Tell(Screen screen, string what, ImmutableArray<FileFault> ones)
    {
        foreach (FileFault one in ones)
        {
            screen.Line(
                ($"{what}: ", Screen.Warning),
                ($"{one.File}:{one.At} {one.Fault.Path}: {one.Fault.Message}. {one.Fault.Remedy}", Screen.Plain));
        }
    }
}
