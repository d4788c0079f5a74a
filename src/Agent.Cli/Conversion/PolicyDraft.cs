using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Agent.Cli.Input;
using Agent.Contract;
using Agent.Policy;
using Agent.V1;
using Direction = Agent.V1.Direction;
using IpFamily = Agent.V1.IpFamily;

namespace Agent.Cli.Conversion;

/// <summary>The policy that a conversion builds, and where each part of it comes from.</summary>
internal sealed class PolicyDraft(Findings findings)
{
    private const int IdMax = 64;

    /// <summary>Weaker than any accept rule of ours, and than most of anybody's.</summary>
    private const uint Weakest = 100;

    private readonly Dictionary<string, V1.SecurityGroup> groups = new(StringComparer.Ordinal);
    private readonly Dictionary<string, HashSet<string>> ruleIds = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Origin> origins = new(StringComparer.Ordinal);

    /// <summary>Group, and the first rule that names it.</summary>
    private readonly Dictionary<string, (Origin At, string Vpc)> named = new(StringComparer.Ordinal);

    public Snapshot Snapshot { get; } = new();

    public bool HasPrefixList(string id) => origins.ContainsKey(PrefixListPath(id));

    public bool HasPortList(string id) => origins.ContainsKey(PortListPath(id));

    /// <returns>Null if there is one already; that is a fault.</returns>
    public V1.SecurityGroup? Group(string id, Origin from)
    {
        var group = new V1.SecurityGroup { Id = id };
        if (!groups.TryAdd(id, group))
        {
            findings.Fault(
                from, FileCodes.Duplicate, $"group {SchemaReader.Shorten(id)} stands twice",
                "Leave one of the documents out.");
            return null;
        }

        origins[$"groups[{id}]"] = from;
        ruleIds[id] = new HashSet<string>(StringComparer.Ordinal);
        Snapshot.Groups.Add(group);
        return group;
    }

    /// <param name="group">Its group.</param>
    /// <param name="rule">Without an id it gets one that says what it does.</param>
    /// <param name="from">Where it comes from.</param>
    public void Rule(V1.SecurityGroup group, V1.Rule rule, Origin from)
    {
        rule.Id = UniqueId(group.Id, rule.Id.Length > 0 ? rule.Id : IdOf(rule));
        group.Rules.Add(rule);
        origins[$"groups[{group.Id}].rules[{rule.Id}]"] = from;
        if (rule.RemoteCase == V1.Rule.RemoteOneofCase.GroupId)
        {
            named.TryAdd(rule.GroupId, (from, group.VpcId));
        }
    }

    public void PrefixList(V1.PrefixList list, Origin from)
    {
        if (IsFirst(PrefixListPath(list.Id), from))
        {
            Snapshot.PrefixLists.Add(list);
        }
    }

    public void PortList(V1.PortList list, Origin from)
    {
        if (IsFirst(PortListPath(list.Id), from))
        {
            Snapshot.PortLists.Add(list);
        }
    }

    private static string PrefixListPath(string id) => $"prefix_lists[{id}]";

    private static string PortListPath(string id) => $"port_lists[{id}]";

    private bool IsFirst(string list, Origin from)
    {
        bool isFirst = origins.TryAdd(list, from);
        if (!isFirst)
        {
            findings.Fault(from, FileCodes.Duplicate, "the list stands twice", "Leave one of the documents out.");
        }

        return isFirst;
    }

    /// <summary>
    /// What clouds without drop rules mean by no egress rule: a vNIC sends only what an accept rule admits. Written as
    /// the weakest drop, so that accept rules of its other groups still hold.
    /// </summary>
    public void CloseEgress(V1.SecurityGroup group, IpFamily family, Origin from) => Rule(
        group,
        new V1.Rule
        {
            Id = family == IpFamily.Ipv4 ? "egress-closed-ipv4" : "egress-closed-ipv6",
            Direction = Direction.Egress,
            Protocol = "all",
            Policy = V1.Policy.Drop,
            Priority = Weakest,
            Cidr = Everything(family),
        },
        from);

    public static string Everything(IpFamily family) => family == IpFamily.Ipv4 ? "0.0.0.0/0" : "::/0";

    /// <summary>Text that people wrote, as far as a policy takes it; it decides nothing.</summary>
    public string Words(ForeignObject from, string name, int max)
    {
        string text = from.Text(name);
        var plain = new StringBuilder();
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (plain.Length + rune.Utf16SequenceLength > max)
            {
                break;
            }

            plain.Append(IsVisible(rune) ? rune.ToString() : " ");
        }

        if (plain.ToString() != text)
        {
            findings.Warn(
                from.At(name), ConversionCodes.LeftOut, $"shortened to {max} characters without hidden ones",
                "Nothing: it decides no packet.");
        }

        return plain.ToString();
    }

    /// <summary>Completes what rules name and documents lack, then holds it against the agent's own checks.</summary>
    /// <returns>Warnings of the agent's checks.</returns>
    public ImmutableArray<string> Complete()
    {
        foreach ((string id, (Origin at, string vpc)) in named.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            Members(id, at, vpc);
        }

        var numbered = Snapshot.Clone();
        numbered.Revision = 1; // the agent would number it
        SnapshotResult result = SnapshotReader.Read(numbered, PolicyLimits.Default);
        foreach (PolicyFault fault in result.Faults)
        {
            findings.Fault(Place(fault));
        }

        return result.Warnings;
    }

    /// <summary>No provider's group document has members: they come with vNICs, or are listed.</summary>
    private void Members(string id, Origin at, string vpc)
    {
        const string remedy = "Put vNICs in it, or list its members.";
        string shown = SchemaReader.Shorten(id);
        if (groups.ContainsKey(id))
        {
            findings.Warn(
                at, ConversionCodes.Absent,
                $"members of {shown} are in no document: the rules that name it match nobody yet",
                remedy);
            return;
        }

        findings.Warn(
            at, ConversionCodes.Absent, $"{shown} is in no document: an empty, closed group stands for it", remedy);
        if (Group(id, at) is { } stand)
        {
            stand.VpcId = vpc;
            stand.Type = V1.GroupType.Basic;
            stand.InnerAccessPolicy = V1.Policy.Drop;
            stand.Description = "stands for a group that was not converted";
            CloseEgress(stand, IpFamily.Ipv4, at);
            CloseEgress(stand, IpFamily.Ipv6, at);
        }
    }

    private FileFault Place(PolicyFault fault)
    {
        for (string? path = fault.Path; path is not null; path = Trail.Above(path))
        {
            if (origins.TryGetValue(path, out Origin origin))
            {
                return new FileFault(origin.Place, fault with
                {
                    Path = origin.Path,
                    Message = $"{fault.Message} (as {fault.Path})",
                })
                {
                    File = origin.File,
                };
            }
        }

        return new FileFault(null, fault);
    }

    private string UniqueId(string group, string id)
    {
        HashSet<string> taken = ruleIds[group];
        string unique = id;
        for (int i = 2; !taken.Add(unique); i++)
        {
            string suffix = $"-{i}";
            unique = id[..Math.Min(id.Length, IdMax - suffix.Length)] + suffix;
        }

        return unique;
    }

    /// <summary>By what it says, so that it stays the same when the provider lists rules in another order.</summary>
    private static string IdOf(V1.Rule rule)
    {
        string remote = rule.RemoteCase switch
        {
            V1.Rule.RemoteOneofCase.GroupId => rule.GroupId,
            V1.Rule.RemoteOneofCase.PrefixListId => rule.PrefixListId,
            _ => rule.Cidr,
        };
        string[] parts =
        [
            rule.Direction == Direction.Egress ? "egress" : "ingress", rule.Protocol, rule.PortRange,
            Short(remote), Short(rule.OwnCidr),
        ];
        string text = string.Join('-', parts.Where(part => part.Length > 0));
        string id = string.Concat(text.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' ? c : '_'));
        return id[..Math.Min(id.Length, IdMax)];

        static string Short(string cidr) => cidr == Everything(IpFamily.Ipv4) ? "ipv4"
            : cidr == Everything(IpFamily.Ipv6) ? "ipv6" : cidr;
    }

    private static bool IsVisible(Rune rune) => Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control
        or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);
}
