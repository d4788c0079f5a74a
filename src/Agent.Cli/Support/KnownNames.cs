using System.Collections.Immutable;
using System.Text.RegularExpressions;
using Agent.V1;

namespace Agent.Cli.Support;

/// <summary>The names that an anonymized dump must not have.</summary>
internal static partial class KnownNames
{
    /// <summary>Text that people write about things: no dump that is anonymized needs it.</summary>
    public static bool IsFreeText(string field) => field is "name" or "description";

    public static void Tell(Anonymizer anonymizer, Snapshot? state, ImmutableArray<SupportPart> parts)
    {
        anonymizer.Name("host", Environment.MachineName);
        foreach (SecurityGroup group in state?.Groups ?? [])
        {
            anonymizer.Name("group", group.Id);
            anonymizer.Name("vpc", group.VpcId);
            foreach (Rule rule in group.Rules)
            {
                anonymizer.Name("rule", rule.Id);
            }
        }

        foreach (Vnic vnic in state?.Vnics ?? [])
        {
            anonymizer.Name("vnic", vnic.Id);
            anonymizer.Name("if", vnic.InterfaceName);
            anonymizer.Name("vpc", vnic.VpcId);
        }

        foreach (Vpc vpc in state?.Vpcs ?? [])
        {
            anonymizer.Name("vpc", vpc.Id);
            foreach (string uplink in vpc.UplinkInterfaces)
            {
                anonymizer.Name("if", uplink);
            }
        }

        foreach (string list in (state?.PrefixLists ?? []).Select(list => list.Id)
            .Concat((state?.PortLists ?? []).Select(list => list.Id)))
        {
            anonymizer.Name("list", list);
        }

        foreach (SupportPart part in parts)
        {
            FromText(anonymizer, part);
        }
    }

    /// <summary>Of vNICs, groups and devices that the state does not have any more, but answers have.</summary>
    private static void FromText(Anonymizer anonymizer, SupportPart part)
    {
        if (part.Text is null)
        {
            return;
        }

        if (part.Section.Kind == SectionKind.Json)
        {
            JsonTexts.Rewrite(part.Text, (field, text) =>
            {
                Tell(anonymizer, field, text);
                return text;
            });
            return;
        }

        foreach (Match label in Label().Matches(part.Text))
        {
            Tell(anonymizer, label.Groups[1].Value, label.Groups[2].Value);
        }
    }

    private static void Tell(Anonymizer anonymizer, string field, string text)
    {
        switch (field)
        {
            case "vnic_id" or "vnic": anonymizer.Name("vnic", text); break;
            case "interface_name" or "interface" or "device": anonymizer.Name("if", text); break;
            case "group_id" or "group_ids" or "group": anonymizer.Name("group", text); break;
            case "vpc_id" or "vpc": anonymizer.Name("vpc", text); break;
            case "host": anonymizer.Name("host", text); break;
            case "controller" or "holder": anonymizer.Name("controller", text); break;
            case "rule" when text.Contains('/', StringComparison.Ordinal):
                anonymizer.Name("group", text[..text.IndexOf('/', StringComparison.Ordinal)]);
                anonymizer.Name("rule", text[(text.IndexOf('/', StringComparison.Ordinal) + 1)..]);
                break;
        }
    }

    [GeneratedRegex(@"\b(\w+)=""([^""\n]*)""")]
    private static partial Regex Label();
}
