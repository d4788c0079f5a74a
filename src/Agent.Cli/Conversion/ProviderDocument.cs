using System.Globalization;
using Agent.Cli.Input;

namespace Agent.Cli.Conversion;

/// <summary>Whose documents are read.</summary>
internal enum Provider
{
    Alibaba,
    Aws,
    OpenStack,
}

/// <summary>One answer of a provider's API.</summary>
/// <param name="Of">Whose it is.</param>
/// <param name="Root">Its outermost object.</param>
internal sealed record ProviderDocument(Provider Of, ForeignObject Root)
{
    public const string Shapes =
        "DescribeSecurityGroupAttribute (Alibaba Cloud), describe-security-groups (AWS), or security groups of "
        + "OpenStack, as JSON";

    /// <summary>Every document of a file: one, or a list of them.</summary>
    /// <param name="file">As the person named it.</param>
    /// <param name="root">What was read.</param>
    /// <param name="named">Whose they are; null: their shape says it.</param>
    /// <param name="findings">What is no such document.</param>
    public static IReadOnlyList<ProviderDocument> Read(string file, Node root, Provider? named, Findings findings)
    {
        IEnumerable<(Trail At, Node Node)> nodes = root is Sequence list
            ? list.Items.Select((item, i) => (Trail.Root.Key(i.ToString(CultureInfo.InvariantCulture)), item))
            : [(Trail.Root, root)];
        var documents = new List<ProviderDocument>();
        foreach ((Trail at, Node node) in nodes)
        {
            ForeignObject? whole = node is Mapping mapping ? new ForeignObject(file, at, mapping, findings) : null;
            Provider? shape = whole is null ? null : ShapeOf(whole);
            if (shape is null || (named is not null && shape != named))
            {
                findings.Fault(
                    new Origin(file, node.At, at.ToString()), ConversionCodes.Shape,
                    shape is null ? "this is no answer that is known" : $"this is an answer of {shape}, not {named}",
                    $"Give {Shapes}.");
                continue;
            }

            documents.Add(new ProviderDocument(shape.Value, whole!));
        }

        return documents;
    }

    private static Provider? ShapeOf(ForeignObject root) =>
        root.HasObject("Permissions") || root.Has("SecurityGroupId") || root.HasObject("SecurityGroups")
            || root.Has("PrefixListId") || root.Has("PortRangeListId") ? Provider.Alibaba
        : root.HasList("SecurityGroups") || root.HasList("PrefixLists")
            || root.HasList("IpPermissions") || root.HasList("IpPermissionsEgress") ? Provider.Aws
        : root.HasList("security_groups") || root.HasObject("security_group")
            || root.HasList("address_groups") || root.HasObject("address_group")
            || (root.Has("id") && (root.Has("rules") || root.HasList("rules") || root.HasList("security_group_rules")
                || root.HasList("addresses"))) ? Provider.OpenStack
        : null;
}
