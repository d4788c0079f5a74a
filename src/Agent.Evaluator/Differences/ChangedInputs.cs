using Agent.Policy;

namespace Agent.Evaluator.Differences;

/// <summary>Which groups mean something else in another policy; a vNIC of none of them is judged as before.</summary>
internal sealed class ChangedInputs(PolicyOracle before, PolicyOracle after)
{
    private readonly Dictionary<string, bool> groups = new(StringComparer.Ordinal);
    private readonly Dictionary<string, bool> members = new(StringComparer.Ordinal);

    /// <summary>The group, or what its rules name, is not what it was.</summary>
    public bool Group(string id)
    {
        if (!groups.TryGetValue(id, out bool changed))
        {
            groups.Add(id, changed = GroupDiffers(id));
        }

        return changed;
    }

    /// <summary>Its effective members are not what they were.</summary>
    public bool Members(string id)
    {
        if (!members.TryGetValue(id, out bool changed))
        {
            Addresses one = before.MembersOf(id);
            Addresses other = after.MembersOf(id);
            members.Add(id, changed = !one.V4.SameAs(other.V4) || !one.V6.SameAs(other.V6));
        }

        return changed;
    }

    public bool List(string id)
    {
        Addresses one = before.EntriesOf(id);
        Addresses other = after.EntriesOf(id);
        return !one.V4.SameAs(other.V4) || !one.V6.SameAs(other.V6);
    }

    private bool GroupDiffers(string id)
    {
        if (!before.Snapshot.Groups.TryGetValue(id, out SecurityGroup? one)
            || !after.Snapshot.Groups.TryGetValue(id, out SecurityGroup? other))
        {
            return before.Snapshot.Groups.ContainsKey(id) || after.Snapshot.Groups.ContainsKey(id);
        }

        return one.Type != other.Type || one.InnerAccess != other.InnerAccess
            || !one.Rules.OrderBy(rule => rule.Id, StringComparer.Ordinal)
                .SequenceEqual(other.Rules.OrderBy(rule => rule.Id, StringComparer.Ordinal))
            || (one.InnerAccess == Verdict.Accept && Members(id))
            || one.Rules.Any(NamesSomethingElse);
    }

    private bool NamesSomethingElse(GroupRule rule) => rule.Remote switch
    {
        Remote.Group group => Members(group.Id),
        Remote.PrefixList list => List(list.Id),
        _ => false,
    } || (rule.PortListId is string id && !Ports(before, id).SequenceEqual(Ports(after, id)));

    private static IEnumerable<PortRange> Ports(PolicyOracle oracle, string id) =>
        !oracle.Snapshot.PortLists.TryGetValue(id, out PortList? list) ? []
        : list.Entries.OrderBy(range => (range.First, range.Last));
}
