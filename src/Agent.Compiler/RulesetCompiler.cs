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
    /// Profiles (by <see cref="CompiledRuleset.ProfileOf"/>) that must not follow <see cref="Policy"/>: the policy whose
    /// rules they keep, or null to close them. How a refused object of one vNIC stays that vNIC's own problem.
    /// </summary>
    public ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)> HeldBack { get; init; } =
        ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)>.Empty;

    /// <summary>vNICs (by id) that must be closed, and why.</summary>
    public ImmutableDictionary<string, string> ClosedVnics { get; init; } = ImmutableDictionary<string, string>.Empty;
}

/// <summary>A ruleset, and how to read it in the policy's terms.</summary>
public sealed class CompiledRuleset
{
    internal CompiledRuleset(
        CompileRequest request,
        Ruleset ruleset,
        IReadOnlyDictionary<string, (PolicyProgram Ingress, PolicyProgram Egress)> programs,
        IReadOnlyDictionary<string, AddressClasses> classes)
    {
        Request = request;
        Ruleset = ruleset;
        Programs = programs;
        Classes = classes;
    }

    public CompileRequest Request { get; }

    public Ruleset Ruleset { get; }

    /// <summary>vNICs (by id) that do not enforce the request's policy, and why.</summary>
    public required ImmutableSortedDictionary<string, string> Failed { get; init; }

    /// <summary>Per profile name: both directions, as decision tables.</summary>
    internal IReadOnlyDictionary<string, (PolicyProgram Ingress, PolicyProgram Egress)> Programs { get; }

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
        return new CompiledRuleset(request, new Ruleset(tables.ToValueArray()), Programs, Classes) { Failed = Failed };
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

    /// <summary>The rule behind a decision that a drop record or an element carries: "sg-web/sgr-1", or "default".</summary>
    public string? RuleOf(string profile, Direction direction, uint mark)
    {
        if (!Decision.IsDecided(mark) || !Programs.TryGetValue(profile, out (PolicyProgram Ingress, PolicyProgram Egress) pair))
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
    /// <returns>One inet and one netdev table, always complete; vNICs that could not be compiled are closed or held back.</returns>
    public static CompiledRuleset Compile(CompileRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return new Compilation(request).Run();
    }

    /// <summary>One compilation's working state.</summary>
    private sealed class Compilation(CompileRequest request)
    {
        private readonly PolicySnapshot policy = request.Policy;
        private readonly SortedDictionary<string, string> failed = new(StringComparer.Ordinal);
        private readonly Dictionary<string, (PolicyProgram Ingress, PolicyProgram Egress)> programs = new(StringComparer.Ordinal);
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
            return new CompiledRuleset(request, new Ruleset([inet, GuardTable()]), programs, classes)
            {
                Failed = failed.ToImmutableSortedDictionary(StringComparer.Ordinal),
            };
        }

        private AddressClasses AddVpc(string vpcId, Profile[] profiles)
        {
            var ranked = new Dictionary<Profile, (PolicySnapshot Policy, RankedRulePair Rules)>();
            foreach (Profile profile in profiles)
            {
                PolicySnapshot? source = policy;
                if (request.HeldBack.TryGetValue(profile.Name, out (PolicySnapshot? Policy, string Reason) held))
                {
                    source = held.Policy;
                    closedProfiles.Add(profile.Name, held.Reason);
                }

                if (source is not null)
                {
                    ranked.Add(profile, (source, RankedRulePair.Of(profile, source, request.PolicySettings)));
                }
            }

            AddressClasses classes = AddressClasses.Of(vpcId, Tags(ranked));
            sets.AddRange(classes.Maps());
            chains.AddRange(classes.Chains());
            foreach ((Profile profile, (PolicySnapshot source, RankedRulePair rules)) in ranked)
            {
                AddProfile(profile, source, rules, classes);
            }

            return classes;
        }

        private Dictionary<string, IReadOnlyCollection<IpPrefix>> Tags(
            Dictionary<Profile, (PolicySnapshot Policy, RankedRulePair Rules)> ranked)
        {
            var tags = new Dictionary<string, IReadOnlyCollection<IpPrefix>>(StringComparer.Ordinal);
            foreach ((PolicySnapshot source, RankedRulePair rules) in ranked.Values)
            {
                foreach (string tag in rules.Ingress.Concat(rules.Egress).Select(r => r.Remote.Tag).OfType<string>())
                {
                    if (!tags.ContainsKey(tag))
                    {
                        tags.Add(tag, PrefixesOf(tag, source));
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
            foreach (Vnic vnic in policy.Vnics.Values)
            {
                if (vnic.GroupIds.Contains(group.Id))
                {
                    members.AddRange(vnic.Addresses);
                    members.AddRange(vnic.DelegatedPrefixes);
                }
            }

            return members;
        }

        private void AddProfile(Profile profile, PolicySnapshot source, RankedRulePair rules, AddressClasses classes)
        {
            PolicyProgram ingress = PolicyProgram.Of(
                rules.Ingress, profile.Default(source, Direction.Ingress), classes.Classes);
            PolicyProgram egress = PolicyProgram.Of(rules.Egress, profile.Default(source, Direction.Egress), classes.Classes);
            var into = new PolicyEmitter(ingress, profile.Name + "_in", classes, request.Settings);
            var outOf = new PolicyEmitter(egress, profile.Name + "_out", classes, request.Settings);
            if (TooLarge(into) is string reason || (reason = TooLarge(outOf)!) is not null)
            {
                closedProfiles[profile.Name] = reason;
                return;
            }

            programs.Add(profile.Name, (ingress, egress));
            sets.AddRange(into.Maps());
            sets.AddRange(outOf.Maps());
            chains.Add(into.Chain($"{profile.Name}_in", remoteIsSource: true, mirrored: false,
                Datapath.DropTo(DropReason.Default), Datapath.DropTo(DropReason.Rule)));
            chains.Add(into.Chain($"{profile.Name}_in_reply", remoteIsSource: false, mirrored: true,
                Datapath.DropFrom(DropReason.Stale), Datapath.DropFrom(DropReason.Stale)));
            chains.Add(outOf.Chain($"{profile.Name}_out", remoteIsSource: false, mirrored: false,
                Datapath.DropFrom(DropReason.Default), Datapath.DropFrom(DropReason.Rule)));
            chains.Add(outOf.Chain($"{profile.Name}_out_reply", remoteIsSource: true, mirrored: true,
                Datapath.DropTo(DropReason.Stale), Datapath.DropTo(DropReason.Stale)));
        }

        private string? TooLarge(PolicyEmitter emitter)
        {
            (int cells, int ranges) = emitter.Size;
            return cells > request.Settings.MaxCells ? $"policy needs {cells} map elements, limit {request.Settings.MaxCells}"
                : ranges > request.Settings.MaxRangeCells
                    ? $"policy needs {ranges} port range elements, limit {request.Settings.MaxRangeCells}"
                : null;
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

                bool open = programs.ContainsKey(profile) && !request.ClosedVnics.ContainsKey(vnic.Id);
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
            IEnumerable<Vnic> guarded = policy.Vnics.Values.Where(vnic => !request.ClosedVnics.ContainsKey(vnic.Id)).Where(vnic =>
                request.Host.NetdevHooksByName || request.Host.PresentInterfaces.Contains(vnic.InterfaceName));
            return Table(
                NftFamily.Netdev, guarded.Select(VnicGuard.Chain), [], guarded.SelectMany(VnicGuard.Objects));
        }

        private NftTable Table(
            NftFamily family, IEnumerable<NftChain> chains, IEnumerable<NftSet> sets, IEnumerable<NftObject> objects) => new(
                family, request.Settings.Table,
                chains.OrderBy(chain => chain.Name, StringComparer.Ordinal).ToValueArray(),
                sets.OrderBy(set => set.Name, StringComparer.Ordinal).ToValueArray(),
                objects.OrderBy(item => item.Name, StringComparer.Ordinal).ToValueArray());
    }

    private sealed record RankedRulePair(ImmutableArray<RankedRule> Ingress, ImmutableArray<RankedRule> Egress)
    {
        public static RankedRulePair Of(Profile profile, PolicySnapshot policy, PolicySettings settings) => new(
            profile.Rank(policy, settings, Direction.Ingress), profile.Rank(policy, settings, Direction.Egress));
    }
}
