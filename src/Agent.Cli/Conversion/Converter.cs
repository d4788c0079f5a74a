using System.Collections.Immutable;
using Agent.Cli.Input;
using Agent.V1;

namespace Agent.Cli.Conversion;

/// <summary>What a conversion is asked to assume.</summary>
/// <param name="From">Whose documents they are; null: their shape says it.</param>
/// <param name="Vpc">The VPC of groups whose document names none.</param>
/// <param name="Type">Of Alibaba Cloud's groups where no document says it; unspecified: that is a fault.</param>
/// <param name="SkipUnsupported">Leave out accept rules that cannot be expressed.</param>
internal sealed record ConversionOptions(Provider? From, string? Vpc, V1.GroupType Type, bool SkipUnsupported);

/// <summary>A file's content.</summary>
internal sealed record NamedContent(string Name, byte[] Bytes);

/// <summary>A policy that the agent's own checks pass, or why there is none.</summary>
/// <param name="Policy">Null if there is any fault.</param>
/// <param name="Faults">All of them, each with its place in the documents.</param>
/// <param name="Skipped">Accept rules that were left out.</param>
/// <param name="Warnings">What became narrower, or needs a person.</param>
/// <param name="Notes">Warnings of the agent's checks, about the policy.</param>
internal sealed record ConversionResult(
    Snapshot? Policy, ImmutableArray<FileFault> Faults, ImmutableArray<FileFault> Skipped,
    ImmutableArray<FileFault> Warnings, ImmutableArray<string> Notes);

/// <summary>
/// Other clouds' security groups as a policy. An accept rule never becomes wider and a drop rule never narrower; what
/// cannot be said exactly is a fault.
/// </summary>
internal static class Converter
{
    public static ConversionResult Convert(IReadOnlyList<NamedContent> files, ConversionOptions options)
    {
        var findings = new Findings(options.SkipUnsupported);
        var documents = new List<ProviderDocument>();
        foreach (NamedContent file in files)
        {
            documents.AddRange(Read(file, options.From, findings));
        }

        var draft = new PolicyDraft(findings);
        var alibaba = new AlibabaReader(draft, findings, options.Type);
        var aws = new AwsReader(draft, findings, options.Vpc);
        var openStack = new OpenStackReader(draft, findings, options.Vpc);
        foreach ((Provider provider, ForeignObject root) in documents)
        {
            switch (provider)
            {
                case Provider.Alibaba:
                    alibaba.Documents.Add(root.Text("SecurityGroupId"));
                    alibaba.Lists(root);
                    break;
                case Provider.Aws: aws.Lists(root); break;
                default: openStack.Lists(root); break;
            }
        }

        foreach ((Provider provider, ForeignObject root) in documents)
        {
            switch (provider)
            {
                case Provider.Alibaba: alibaba.Groups(root); break;
                case Provider.Aws: aws.Groups(root); break;
                default: openStack.Groups(root); break;
            }
        }

        ImmutableArray<string> notes = draft.Complete();
        return new ConversionResult(
            findings.Faults.IsEmpty ? draft.Snapshot : null,
            findings.Faults, findings.Skipped, findings.Warnings, notes);
    }

    private static IReadOnlyList<ProviderDocument> Read(NamedContent file, Provider? from, Findings findings)
    {
        try
        {
            return ProviderDocument.Read(file.Name, PolicyFile.Parse(file.Name, file.Bytes), from, findings);
        }
        catch (MalformedTextException e)
        {
            findings.Fault(MessageDocument.Fault(e.At, e.Message, e.Remedy) with { File = file.Name });
            return [];
        }
    }
}
