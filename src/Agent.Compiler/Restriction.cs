using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// Decides whether a change takes anything away. Only then must live sessions be judged again: a commit that merely
/// allows more, or changes nothing, keeps the epoch (datapath.md 3).
/// </summary>
/// <remarks>
/// Exact for rules, lists and members, save where <see cref="RunRestriction"/> is in doubt; whatever concerns the vNIC
/// itself counts as taking away.
/// </remarks>
public static class Restriction
{
    /// <summary>
    /// True if some packet that <paramref name="before"/> accepts is dropped by <paramref name="after"/>.
    /// </summary>
    public static bool Between(CompiledRuleset before, CompiledRuleset after)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        if (before.Request.Settings != after.Request.Settings
            || !SameSettings(before.Request.PolicySettings, after.Request.PolicySettings))
        {
            return true;
        }

        // What is judged where moves with the bridges.
        if (before.Request.Host.Bridge != after.Request.Host.Bridge
            || !before.Request.Host.Bridges.SetEquals(after.Request.Host.Bridges))
        {
            return true;
        }

        // In another zone the packets of an interface may meet a session that somebody else was granted. An interface
        // that is new to the policy brings a new route: a session that was admitted outwards may now lead to it.
        if (LeavesZone(before, after) || MeetsStranger(before.Request.Policy, after.Request.Policy))
        {
            return true;
        }

        var comparison = new Comparison(before, after);
        return SameVnics(before, after)
            ? before.Request.Policy.Vnics.Values.Select(Profile.Of).Distinct().Any(comparison.LosesAnything)
            : before.Request.Policy.Vnics.Values.Any(comparison.LosesAnything);
    }

    private static bool SameVnics(CompiledRuleset before, CompiledRuleset after) =>
        ReferenceEquals(before.Request.Policy.Vnics, after.Request.Policy.Vnics)
        && before.Request.ClosedVnics.IsEmpty && after.Request.ClosedVnics.IsEmpty;

    /// <summary>
    /// True if a vNIC is gone, closed, or another one than before: what counts even where rules do not touch sessions.
    /// </summary>
    public static bool OfVnics(CompiledRuleset before, CompiledRuleset after)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        return before.Request.Policy.Vnics.Values.Any(vnic => IsAnother(vnic, after)
            || (!before.Failed.ContainsKey(vnic.Id) && after.Failed.ContainsKey(vnic.Id)));
    }

    private static bool IsAnother(Vnic old, CompiledRuleset after) =>
        !after.Request.Policy.Vnics.TryGetValue(old.Id, out Vnic? now)
        || now.InterfaceName != old.InterfaceName || now.VpcId != old.VpcId || now.Mac != old.Mac
        || now.SourceDestinationCheck != old.SourceDestinationCheck
        || !now.Addresses.SequenceEqual(old.Addresses)
        || !now.DelegatedPrefixes.SequenceEqual(old.DelegatedPrefixes)
        || after.Request.ClosedVnics.ContainsKey(old.Id);

    private static bool LeavesZone(CompiledRuleset before, CompiledRuleset after)
    {
        if (ReferenceEquals(before.Request.Policy.Vnics, after.Request.Policy.Vnics)
            && ReferenceEquals(before.Request.Policy.Vpcs, after.Request.Policy.Vpcs)
            && before.Zones.SequenceEqual(after.Zones))
        {
            return false;
        }

        SortedDictionary<string, ushort> old = ZoneNumbers.ByInterface(before.Request.Policy, before.Zones);
        SortedDictionary<string, ushort> now = ZoneNumbers.ByInterface(after.Request.Policy, after.Zones);
        HashSet<string> vnics = [.. after.Request.Policy.Vnics.Values.Select(vnic => vnic.InterfaceName)];
        vnics.ExceptWith(before.Request.Policy.Vnics.Values.Select(vnic => vnic.InterfaceName));
        return old.Any(pair => !now.TryGetValue(pair.Key, out ushort zone) || zone != pair.Value)
            || now.Keys.Any(name => !old.ContainsKey(name) && !vnics.Contains(name));
    }

    // Zones part what they know; two unlisted VPCs have only their addresses between them.
    private static bool MeetsStranger(PolicySnapshot before, PolicySnapshot after)
    {
        if (ReferenceEquals(before.Vnics, after.Vnics))
        {
            return false; // nobody is new
        }

        HashSet<string> old = [.. Unlisted(before).Select(vnic => vnic.VpcId)];
        return Unlisted(after).Any(vnic => !before.Vnics.ContainsKey(vnic.Id) && old.Any(vpc => vpc != vnic.VpcId));

        static IEnumerable<Vnic> Unlisted(PolicySnapshot policy) =>
            policy.Vnics.Values.Where(vnic => !policy.Vpcs.ContainsKey(vnic.VpcId));
    }

    private static bool SameSettings(PolicySettings before, PolicySettings after) =>
        before.EgressInner == after.EgressInner
        && before.MetadataAddresses.SequenceEqual(after.MetadataAddresses)
        && before.TrustedMarks.SequenceEqual(after.TrustedMarks)
        && before.PlatformBlockedTcpPorts.SequenceEqual(after.PlatformBlockedTcpPorts)
        && before.HostServices.SequenceEqual(after.HostServices)
        && before.DhcpServers.SequenceEqual(after.DhcpServers);

    private sealed class Comparison(CompiledRuleset before, CompiledRuleset after)
    {
        private readonly Dictionary<(string, string), bool> profiles = [];
        private readonly Dictionary<string, Moves> moves = new(StringComparer.Ordinal);
        private readonly Dictionary<(DecisionTable, DecisionTable), bool> tables = new(new ByIdentity());

        /// <summary>The vNICs of a profile, if they are the same before and after, and none is closed.</summary>
        public bool LosesAnything(Profile both) => ProfileLoses(both.Name, both.Name, both.VpcId);

        public bool LosesAnything(Vnic old)
        {
            if (before.Request.ClosedVnics.ContainsKey(old.Id))
            {
                return false; // it was closed: nothing to lose
            }

            if (IsAnother(old, after))
            {
                return true;
            }

            Vnic now = after.Request.Policy.Vnics[old.Id];
            (string, string) pair = (CompiledRuleset.ProfileOf(old), CompiledRuleset.ProfileOf(now));
            if (!profiles.TryGetValue(pair, out bool loses))
            {
                profiles[pair] = loses = ProfileLoses(pair.Item1, pair.Item2, old.VpcId);
            }

            return loses;
        }

        private bool ProfileLoses(string oldName, string newName, string vpcId)
        {
            if (!before.Profiles.TryGetValue(oldName, out CompiledProfile? old))
            {
                return false; // it was closed: nothing to lose
            }

            return !after.Profiles.TryGetValue(newName, out CompiledProfile? now)
                || Loses(old.Ingress, now.Ingress, vpcId) || Loses(old.Egress, now.Egress, vpcId);
        }

        // What is the same policy for an address that stayed in its class is no question.
        private bool Loses(PolicyProgram old, PolicyProgram now, string vpcId)
        {
            RunRestriction? v4 = RunRestriction.Of(old, now, IpFamily.V4, Loses);
            RunRestriction? v6 = RunRestriction.Of(old, now, IpFamily.V6, Loses);
            return (ReferenceEquals(old, now) ? MovesOf(vpcId).Changed : MovesOf(vpcId).All).Any(move =>
                (move.Family == IpFamily.V4 ? v4 : v6) is RunRestriction runs
                    ? runs.Loses(move.Old, move.New)
                    : Loses(ClassOf(old, move.Family, move.Old), ClassOf(now, move.Family, move.New)));
        }

        private static PolicyProgram.ClassProgram ClassOf(PolicyProgram program, IpFamily family, uint address) =>
            program.Find(address) ?? program.Classes[family == IpFamily.V4 ? 0 : 1];

        private bool Loses(PolicyProgram.ClassProgram old, PolicyProgram.ClassProgram now)
        {
            if (ReferenceEquals(old, now))
            {
                return false;
            }

            if (Loses(old.Table, now.Table) && !(CoversAll(old) || CoversAll(now)))
            {
                return true;
            }

            // Own addresses: cut by both sides' segments, and ask once per piece.
            IEnumerable<UInt128> starts = old.Owns.Concat(now.Owns).SelectMany(own => Edges(own, old.Family))
                .Distinct();
            return starts.Any(at => Loses(TableAt(old, at), TableAt(now, at)));
        }

        private static bool CoversAll(PolicyProgram.ClassProgram program) =>
            program.Owns.Any(own => own.First == 0 && own.Last == IpPrefix.Ceiling(program.Family));

        private static IEnumerable<UInt128> Edges(PolicyProgram.OwnProgram own, IpFamily family) =>
            own.Last == IpPrefix.Ceiling(family) ? [own.First] : [own.First, own.Last + 1];

        private static DecisionTable TableAt(PolicyProgram.ClassProgram program, UInt128 own) =>
            program.Owns.FirstOrDefault(part => part.First <= own && own <= part.Last)?.Table ?? program.Table;

        private bool Loses(DecisionTable old, DecisionTable now)
        {
            if (ReferenceEquals(old, now))
            {
                return false;
            }

            if (!tables.TryGetValue((old, now), out bool loses))
            {
                tables[(old, now)] = loses = TableLoses(old, now);
            }

            return loses;
        }

        private static bool TableLoses(DecisionTable old, DecisionTable now)
        {
            if (Decision.Accepts(old.Other) && !Decision.Accepts(now.Other))
            {
                return true;
            }

            foreach (byte protocol in old.Protocols.Concat(now.Protocols).Select(entry => entry.Protocol).Distinct())
            {
                PortCell[] oldCells = CellsOf(old, protocol, out uint oldRest);
                PortCell[] newCells = CellsOf(now, protocol, out uint newRest);
                if (ProtocolLoses(oldCells, oldRest, newCells, newRest))
                {
                    return true;
                }
            }

            return false;
        }

        private static PortCell[] CellsOf(DecisionTable table, byte protocol, out uint rest)
        {
            ProtocolDecision? found = Array.Find(table.Protocols, entry => entry.Protocol == protocol);
            rest = found?.Decision ?? table.Other;
            return found?.Cells ?? [];
        }

        private static bool ProtocolLoses(PortCell[] old, uint oldRest, PortCell[] now, uint newRest)
        {
            foreach (ushort destination in Starts(old.Concat(now).Select(cell => cell.Destination)))
            {
                PortCell[] oldStrip = [.. old.Where(cell => cell.Destination.Contains(destination))];
                PortCell[] newStrip = [.. now.Where(cell => cell.Destination.Contains(destination))];
                foreach (ushort source in Starts(oldStrip.Concat(newStrip).Select(cell => cell.Source)))
                {
                    if (Decision.Accepts(At(oldStrip, source, oldRest))
                        && !Decision.Accepts(At(newStrip, source, newRest)))
                    {
                        return true;
                    }
                }
            }

            return false;
        }

        private static uint At(PortCell[] strip, ushort source, uint rest)
        {
            foreach (PortCell cell in strip)
            {
                if (cell.Source.Contains(source))
                {
                    return cell.Decision;
                }
            }

            return rest;
        }

        private static SortedSet<ushort> Starts(IEnumerable<PortRange> ranges)
        {
            var starts = new SortedSet<ushort> { 0 };
            foreach (PortRange range in ranges)
            {
                starts.Add(range.First);
                if (range.Last < ushort.MaxValue)
                {
                    starts.Add((ushort)(range.Last + 1));
                }
            }

            return starts;
        }

        private Moves MovesOf(string vpcId)
        {
            if (!moves.TryGetValue(vpcId, out Moves? found))
            {
                AddressClasses? old = before.Classes.GetValueOrDefault(vpcId);
                AddressClasses? now = after.Classes.GetValueOrDefault(vpcId);
                moves.Add(vpcId, found = new Moves(
                    () => MovesBetween(old, now, isWhole: true), () => MovesBetween(old, now, isWhole: false)));
            }

            return found;
        }

        private static IEnumerable<(IpFamily, uint, uint)> MovesBetween(
            AddressClasses? old, AddressClasses? now, bool isWhole) =>
            ((IpFamily[])[IpFamily.V4, IpFamily.V6]).SelectMany(
                family => now is null ? AddressMoves.Between(family, old?.Cuts[family], null)
                    : now.MovesFrom(old, family, isWhole),
                (family, move) => (family, move.Old, move.New));
    }

    /// <summary>Pairs (class before, class after) that some address of a VPC has.</summary>
    /// <param name="all">Finds every one.</param>
    /// <param name="changed">Finds those of different classes, and perhaps others.</param>
    private sealed class Moves(
        Func<IEnumerable<(IpFamily Family, uint Old, uint New)>> all,
        Func<IEnumerable<(IpFamily Family, uint Old, uint New)>> changed)
    {
        private (IpFamily Family, uint Old, uint New)[]? whole;
        private (IpFamily Family, uint Old, uint New)[]? some;

        public (IpFamily Family, uint Old, uint New)[] All => whole ??= [.. all()];

        public (IpFamily Family, uint Old, uint New)[] Changed =>
            some ??= [.. changed().Where(move => move.Old != move.New)];
    }

    /// <summary>Tables are compared by content once; after that the objects themselves are the key.</summary>
    private sealed class ByIdentity : IEqualityComparer<(DecisionTable, DecisionTable)>
    {
        public bool Equals((DecisionTable, DecisionTable) x, (DecisionTable, DecisionTable) y) =>
            ReferenceEquals(x.Item1, y.Item1) && ReferenceEquals(x.Item2, y.Item2);

        public int GetHashCode((DecisionTable, DecisionTable) pair) => HashCode.Combine(
            System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(pair.Item1),
            System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(pair.Item2));
    }
}
