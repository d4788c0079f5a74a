using System.Collections.Immutable;
using System.Globalization;
using Agent.Policy;

namespace Agent.Tests.Evaluator;

/// <summary>Writes snapshots in the notation of semantics.md section 8.</summary>
public sealed class PolicyBuilder
{
    public const string Vpc = "vpc-1";

    private readonly List<SecurityGroup> groups = [];
    private readonly List<Vnic> vnics = [];
    private readonly List<PrefixList> prefixLists = [];
    private readonly List<PortList> portLists = [];

    /// <summary>A basic group, "A(Accept)" by default.</summary>
    /// <param name="id">Group id.</param>
    /// <param name="inner">Inner access.</param>
    /// <param name="rules">As <see cref="Rule"/> reads them; ids are r1, r2 ... in this order.</param>
    public PolicyBuilder Basic(string id, Verdict inner, params string[] rules) =>
        Group(id, GroupType.Basic, inner, [], rules);

    public PolicyBuilder Basic(string id, params string[] rules) => Basic(id, Verdict.Accept, rules);

    public PolicyBuilder Advanced(string id, params string[] rules) =>
        Group(id, GroupType.Advanced, Verdict.Drop, [], rules);

    public PolicyBuilder Group(string id, GroupType type, Verdict inner, string[] members, params string[] rules)
    {
        groups.Add(new SecurityGroup
        {
            Id = id,
            VpcId = Vpc,
            Type = type,
            InnerAccess = inner,
            Members = [.. members.Select(IpPrefix.Parse)],
            Rules = [
                .. rules.Select((text, i) => Rule(string.Create(CultureInfo.InvariantCulture, $"r{i + 1}"), text))],
        });
        return this;
    }

    /// <summary>A vNIC; its interface is "tap-" and the id, its MAC is made from its place in the snapshot.</summary>
    /// <param name="id">At most 11 bytes.</param>
    /// <param name="addresses">Separated by spaces; a prefix shorter than a host is a delegated prefix.</param>
    /// <param name="groupIds">Separated by spaces.</param>
    /// <param name="change">Further settings.</param>
    public PolicyBuilder Nic(string id, string addresses, string groupIds, Func<Vnic, Vnic>? change = null)
    {
        IpPrefix[] prefixes = [.. addresses.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(IpPrefix.Parse)];
        var vnic = new Vnic
        {
            Id = id,
            InterfaceName = "tap-" + id,
            Mac = new MacAddress(0x02_00_00_00_00_01UL + (ulong)vnics.Count),
            VpcId = Vpc,
            Addresses = [.. prefixes.Where(p => p.IsHost)],
            DelegatedPrefixes = [.. prefixes.Where(p => !p.IsHost)],
            GroupIds = [.. groupIds.Split(' ', StringSplitOptions.RemoveEmptyEntries)],
        };
        vnics.Add(change is null ? vnic : change(vnic));
        return this;
    }

    public PolicyBuilder Prefixes(string id, IpFamily family, params string[] entries)
    {
        prefixLists.Add(new PrefixList
        {
            Id = id,
            Family = family,
            MaxEntries = 10,
            Entries = [.. entries.Select(IpPrefix.Parse)],
        });
        return this;
    }

    public PolicyBuilder Ports(string id, params string[] entries)
    {
        portLists.Add(new PortList { Id = id, MaxEntries = 10, Entries = [.. entries.Select(e => Range(e)!.Value)] });
        return this;
    }

    public PolicySnapshot Build(ulong revision = 1) => new()
    {
        Revision = revision,
        Groups = ById(groups, g => g.Id),
        Vnics = ById(vnics, v => v.Id),
        PrefixLists = ById(prefixLists, l => l.Id),
        PortLists = ById(portLists, l => l.Id),
    };

    /// <summary>
    /// "in 1 drop tcp 22/22 10.0.0.0/8", then optionally "sport=1024/65535" and "own=10.0.0.8". The object is a
    /// CIDR, "group:id" or "list:id"; the ports are "first/last", "-1/-1" or "ports:id".
    /// </summary>
    public static GroupRule Rule(string id, string text)
    {
        string[] words = text.Split(' ');
        return new GroupRule
        {
            Id = id,
            Direction = words[0] == "in" ? Direction.Ingress : Direction.Egress,
            Priority = byte.Parse(words[1], CultureInfo.InvariantCulture),
            Verdict = words[2] == "drop" ? Verdict.Drop : Verdict.Accept,
            Protocol = words[3] switch
            {
                "all" => null,
                "tcp" => IpProtocol.Tcp,
                "udp" => IpProtocol.Udp,
                "icmp" => IpProtocol.Icmp,
                "icmpv6" => IpProtocol.Icmpv6,
                "gre" => IpProtocol.Gre,
                string number => byte.Parse(number, CultureInfo.InvariantCulture),
            },
            DestinationPorts = words[4].StartsWith("ports:", StringComparison.Ordinal) ? null : Range(words[4]),
            PortListId = words[4].StartsWith("ports:", StringComparison.Ordinal) ? words[4][6..] : null,
            Remote = words[5] switch
            {
                var w when w.StartsWith("group:", StringComparison.Ordinal) => new Remote.Group(w[6..]),
                var w when w.StartsWith("list:", StringComparison.Ordinal) => new Remote.PrefixList(w[5..]),
                var w => new Remote.Cidr(IpPrefix.Parse(w)),
            },
            SourcePorts = Option(words, "sport=") is { } ports ? Range(ports) : null,
            OwnSide = Option(words, "own=") is { } own ? IpPrefix.Parse(own) : null,
        };
    }

    private static string? Option(string[] words, string name) =>
        words.Skip(6).FirstOrDefault(w => w.StartsWith(name, StringComparison.Ordinal))?[name.Length..];

    private static PortRange? Range(string text)
    {
        string[] ends = text.Split('/');
        return text == "-1/-1" ? null : new PortRange(
            ushort.Parse(ends[0], CultureInfo.InvariantCulture), ushort.Parse(ends[1], CultureInfo.InvariantCulture));
    }

    private static ImmutableSortedDictionary<string, T> ById<T>(IEnumerable<T> items, Func<T, string> id) =>
        items.ToImmutableSortedDictionary(id, x => x, StringComparer.Ordinal);
}
