using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>What a compilation needs. Equal requests give equal rulesets, byte for byte.</summary>
/// <param name="Policy">The desired state; validated.</param>
/// <param name="PolicySettings">Switches of the semantics.</param>
/// <param name="Settings">Switches of the layout.</param>
/// <param name="Host">What the host has.</param>
/// <param name="Epoch">The policy epoch, within <see cref="CompilerSettings.EpochMask"/>, not 0.</param>
public sealed record CompileRequest(
    PolicySnapshot Policy, PolicySettings PolicySettings, CompilerSettings Settings, HostFacts Host, uint Epoch)
{
    /// <summary>
    /// Profiles (by <see cref="CompiledRuleset.ProfileOf"/>) that must not follow <see cref="Policy"/>: the policy
    /// whose rules they keep, or null to close them. How a refused object of one vNIC stays that vNIC's own problem.
    /// </summary>
    public ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)> HeldBack { get; init; } =
        ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)>.Empty;

    /// <summary>
    /// An earlier result to take unchanged parts from. It makes a compilation cheaper, never different.
    /// </summary>
    public CompiledRuleset? Previous { get; init; }

    /// <summary>vNICs (by id) that must be closed, and why.</summary>
    public ImmutableDictionary<string, string> ClosedVnics { get; init; } = ImmutableDictionary<string, string>.Empty;
}

/// <summary>A ruleset, and how to read it in the policy's terms.</summary>
public sealed class CompiledRuleset
{
    internal CompiledRuleset(
        CompileRequest request,
        Ruleset ruleset,
        IReadOnlyDictionary<string, CompiledProfile> profiles,
        IReadOnlyDictionary<string, AddressClasses> classes)
    {
        Request = request with { Previous = null }; // or every result would keep all before it alive
        Ruleset = ruleset;
        Profiles = profiles;
        Classes = classes;
    }

    public CompileRequest Request { get; }

    public Ruleset Ruleset { get; }

    /// <summary>vNICs (by id) that do not enforce the request's policy, and why.</summary>
    public required ImmutableSortedDictionary<string, string> Failed { get; init; }

    /// <summary>Per profile name; closed profiles are not in it.</summary>
    internal IReadOnlyDictionary<string, CompiledProfile> Profiles { get; }

    /// <summary>Per VPC id.</summary>
    internal IReadOnlyDictionary<string, AddressClasses> Classes { get; }

    /// <summary>The profile that a vNIC's objects belong to: their names begin with it.</summary>
    public static string ProfileOf(Vnic vnic) => Profile.Of(vnic).Name;

    /// <summary>The same policy under another epoch: only the fixed chains name it.</summary>
    public CompiledRuleset WithEpoch(uint epoch)
    {
        CompileRequest request = Request with { Epoch = epoch };
        Dictionary<string, NftChain> renewed = new Datapath(request.Settings, request.PolicySettings, epoch)
            .Chains().ToDictionary(chain => chain.Name, StringComparer.Ordinal);
        var tables = Ruleset.Tables.Select(table => table.Family != NftFamily.Inet ? table : table with
        {
            Chains = table.Chains.Select(chain => renewed.GetValueOrDefault(chain.Name, chain)).ToValueArray(),
        });
        return new CompiledRuleset(request, new Ruleset(tables.ToValueArray()), Profiles, Classes) { Failed = Failed };
    }

    /// <summary>Whose object this is, by the names that the compiler gives: a profile, a vNIC, or neither.</summary>
    /// <returns>Profile name, or vNIC id; both null for what all share.</returns>
    public (string? Profile, string? VnicId) OwnerOf(string objectName)
    {
        ArgumentNullException.ThrowIfNull(objectName);
        if (objectName.StartsWith("p_", StringComparison.Ordinal) && objectName.Length >= Profile.NameLength)
        {
            return (objectName[..Profile.NameLength], null);
        }

        foreach (Vnic vnic in Request.Policy.Vnics.Values)
        {
            string name = Names.OfInterface(vnic.InterfaceName);
            if (objectName == $"vnic_{name}_out" || objectName == $"vnic_{name}_in"
                || objectName == VnicGuard.ChainName(vnic) || objectName.EndsWith($"_{name}", StringComparison.Ordinal))
            {
                return (null, vnic.Id);
            }
        }

        return (null, null);
    }

    /// <summary>
    /// The rule behind a decision that a drop record or an element carries: "sg-web/sgr-1", or "default".
    /// </summary>
    public string? RuleOf(string profile, Direction direction, uint mark)
    {
        if (!Decision.IsDecided(mark) || !Profiles.TryGetValue(profile, out CompiledProfile? pair))
        {
            return null;
        }

        uint number = mark & (Decision.NumberLimit - 1);
        PolicyProgram program = direction == Direction.Ingress ? pair.Ingress : pair.Egress;
        return number == 0 ? "default" : program.RuleKeys.GetValueOrDefault(number);
    }
}

/// <summary>Lowers a policy for one host.</summary>
public static class RulesetCompiler
{
    /// <summary>Compiles. Pure: no clock, no file, no kernel.</summary>
    /// <returns>One inet and one netdev table, always complete; vNICs that could not be compiled are closed or held
    /// back.</returns>
    public static CompiledRuleset Compile(CompileRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return new Compilation(request).Run();
    }

    /// <summary>One compilation's working state.</summary>
    private sealed class Compilation(CompileRequest request)
    {
        private readonly PolicySnapshot policy = request.Policy;
        private readonly ILookup<string, Vnic> vnicsOf = request.Policy.Vnics.Values
            .SelectMany(vnic => vnic.GroupIds.Select(id => (id, vnic)))
            .ToLookup(pair => pair.id, pair => pair.vnic, StringComparer.Ordinal);
        private readonly SortedDictionary<string, string> failed = new(StringComparer.Ordinal);
        private readonly Dictionary<string, CompiledProfile> compiled = new(StringComparer.Ordinal);
        private readonly Dictionary<string, string> closedProfiles = new(StringComparer.Ordinal);
        private readonly List<NftChain> chains = [];
        private readonly List<NftSet> sets = [];
        private readonly List<NftObject> objects = [];

        public CompiledRuleset Run()
        {
            var datapath = new Datapath(request.Settings, request.PolicySettings, request.Epoch);
            chains.AddRange(datapath.Chains());
            objects.AddRange(Datapath.Objects());
            var classes = new Dictionary<string, AddressClasses>(StringComparer.Ordinal);
            foreach (IGrouping<string, Profile> vpc in policy.Vnics.Values
                .Select(Profile.Of).Distinct().GroupBy(profile => profile.VpcId, StringComparer.Ordinal))
            {
                classes.Add(vpc.Key, AddVpc(vpc.Key, [.. vpc]));
            }

            AddVnics(datapath);
            sets.AddRange(Datapath.DropSets([.. policy.Vnics.Values.Select(vnic => vnic.InterfaceName)]));
            NftTable inet = Table(NftFamily.Inet, chains, sets, objects);
            return new CompiledRuleset(request, new Ruleset([inet, GuardTable()]), compiled, classes)
            {
                Failed = failed.ToImmutableSortedDictionary(StringComparer.Ordinal),
            };
        }

        private AddressClasses AddVpc(string vpcId, Profile[] profiles)
        {
            var sources = new Dictionary<Profile, ProfileSource>();
            foreach (Profile profile in profiles)
            {
                PolicySnapshot? rules = policy;
                if (request.HeldBack.TryGetValue(profile.Name, out (PolicySnapshot? Policy, string Reason) held))
                {
                    rules = held.Policy;
                    closedProfiles.Add(profile.Name, held.Reason);
                }

                if (rules is not null)
                {
                    sources.Add(profile, ProfileSource.Of(profile, rules, request.PolicySettings, Earlier(profile)));
                }
            }

            AddressClasses? before = request.Previous?.Classes.GetValueOrDefault(vpcId);
            AddressClasses classes = AddressClasses.Of(vpcId, Tags(sources.Values), before);
            sets.AddRange(classes.Maps());
            chains.AddRange(classes.Chains());
            HashSet<string> moved = classes.TagsThatMoved(before);
            foreach ((Profile profile, ProfileSource source) in sources)
            {
                CompiledProfile? earlier = Earlier(profile);
                bool same = earlier is not null && ReferenceEquals(earlier.Source, source)
                    && !source.Tags.Overlaps(moved);
                Add(profile, same ? earlier! : CompiledProfile.Of(profile, source, classes, request.Settings));
            }

            return classes;
        }

        private CompiledProfile? Earlier(Profile profile) =>
            request.Previous is { } previous && previous.Request.Settings == request.Settings
            && previous.Request.PolicySettings == request.PolicySettings
                ? previous.Profiles.GetValueOrDefault(profile.Name) : null;

        private void Add(Profile profile, CompiledProfile part)
        {
            if (part.TooLarge is string reason)
            {
                closedProfiles[profile.Name] = reason;
                return;
            }

            compiled.Add(profile.Name, part);
            sets.AddRange(part.Sets);
            chains.AddRange(part.Chains);
        }

        private Dictionary<string, IReadOnlyCollection<IpPrefix>> Tags(IEnumerable<ProfileSource> sources)
        {
            var tags = new Dictionary<string, IReadOnlyCollection<IpPrefix>>(StringComparer.Ordinal);
            foreach (ProfileSource source in sources)
            {
                foreach (string tag in source.Tags)
                {
                    if (!tags.ContainsKey(tag))
                    {
                        tags.Add(tag, PrefixesOf(tag, source.Policy));
                    }
                }
            }

            return tags;
        }

        // Members and lists are facts of today, also for a profile that keeps yesterday's rules.
        private IReadOnlyCollection<IpPrefix> PrefixesOf(string tag, PolicySnapshot source)
        {
            string id = tag[2..];
            return tag[0] switch
            {
                'c' => [IpPrefix.Parse(id)],
                'l' => (policy.PrefixLists.GetValueOrDefault(id) ?? source.PrefixLists[id]).Entries,
                'g' => Members(policy.Groups.GetValueOrDefault(id) ?? source.Groups[id]),
                _ => throw new ArgumentOutOfRangeException(nameof(tag), tag, "unknown tag"),
            };
        }

        private List<IpPrefix> Members(SecurityGroup group)
        {
            var members = new List<IpPrefix>(group.Members);
            foreach (Vnic vnic in vnicsOf[group.Id])
            {
                members.AddRange(vnic.Addresses);
                members.AddRange(vnic.DelegatedPrefixes);
            }

            return members;
        }

        private void AddVnics(Datapath datapath)
        {
            int row = NftElements.RowLength([NftType.IfName], interval: false, NftSetKind.VerdictMap);
            var from = new NftElements.Builder(row);
            var to = new NftElements.Builder(row);
            foreach (Vnic vnic in policy.Vnics.Values)
            {
                string profile = CompiledRuleset.ProfileOf(vnic);
                string name = Names.OfInterface(vnic.InterfaceName);
                if (request.ClosedVnics.TryGetValue(vnic.Id, out string? reason)
                    || closedProfiles.TryGetValue(profile, out reason))
                {
                    failed.Add(vnic.Id, reason);
                }

                bool open = compiled.ContainsKey(profile) && !request.ClosedVnics.ContainsKey(vnic.Id);
                if (open)
                {
                    chains.Add(Datapath.VnicOut($"vnic_{name}_out", $"{profile}_out", $"{profile}_in_reply"));
                    chains.Add(datapath.VnicIn($"vnic_{name}_in", $"{profile}_in", $"{profile}_out_reply"));
                }

                Dispatch(from, vnic, open ? $"vnic_{name}_out" : Datapath.DropFrom(DropReason.Closed));
                Dispatch(to, vnic, open ? $"vnic_{name}_in" : Datapath.DropTo(DropReason.Closed));
            }

            sets.Add(DispatchMap(Datapath.FromMap, from.Build()));
            sets.Add(DispatchMap(Datapath.ToMap, to.Build()));
        }

        private static void Dispatch(NftElements.Builder rows, Vnic vnic, string chain)
        {
            Span<byte> row = rows.Add();
            NftElements.PutName(row[..16], vnic.InterfaceName);
            NftElements.PutVerdict(row[16..], NftVerdict.Goto(chain));
        }

        private static NftSet DispatchMap(string name, NftElements elements) => new(
            name, [NftType.IfName], Interval: false, NftSetKind.VerdictMap, Size: null, Counters: false, elements);

        private NftTable GuardTable()
        {
            IEnumerable<Vnic> guarded = policy.Vnics.Values.Where(vnic => !request.ClosedVnics.ContainsKey(vnic.Id))
                .Where(vnic =>
                request.Host.NetdevHooksByName || request.Host.PresentInterfaces.Contains(vnic.InterfaceName));
            return Table(
                NftFamily.Netdev, guarded.Select(VnicGuard.Chain), [], guarded.SelectMany(VnicGuard.Objects));
        }

        private NftTable Table(
            NftFamily family, IEnumerable<NftChain> chains, IEnumerable<NftSet> sets,
            IEnumerable<NftObject> objects) => new(
                family, request.Settings.Table,
                chains.OrderBy(chain => chain.Name, StringComparer.Ordinal).ToValueArray(),
                sets.OrderBy(set => set.Name, StringComparer.Ordinal).ToValueArray(),
                objects.OrderBy(item => item.Name, StringComparer.Ordinal).ToValueArray());
    }
}
