using System.Collections.Immutable;
using Agent.Policy;
using static Agent.Contract.FaultList;

namespace Agent.Contract;

/// <summary>Applies a delta message to the policy that it builds on.</summary>
public static class DeltaReader
{
    /// <summary>
    /// The policy after the delta, or every fault. Costs what the delta touches, not what a group holds.
    /// </summary>
    public static SnapshotResult Apply(PolicySnapshot held, V1.Delta delta, PolicyLimits limits)
    {
        ArgumentNullException.ThrowIfNull(held);
        ArgumentNullException.ThrowIfNull(delta);
        var faults = new FaultList();
        if (delta.BaseRevision != held.Revision)
        {
            faults.Add(
                "base_revision", Codes.StaleBase,
                $"builds on revision {delta.BaseRevision}, the agent holds {held.Revision}",
                "Send the deltas in between, or a snapshot.");
            return faults.Result(held);
        }

        if (delta.Revision <= delta.BaseRevision)
        {
            faults.Add(
                "revision", Codes.Revision, $"revision {delta.Revision} is not greater than its base",
                "Count upwards.");
        }

        PolicySnapshot next = new Application(
            held, delta, new ResourceReader(faults, limits), new Fields(faults, limits), faults).Run();
        bool structure = delta.UpsertGroups.Count + delta.RemoveGroups.Count + delta.UpsertVnics.Count
            + delta.RemoveVnics.Count
            + delta.UpsertPrefixLists.Count + delta.RemovePrefixLists.Count + delta.UpsertPortLists.Count
            + delta.RemovePortLists.Count + delta.UpsertVpcs.Count + delta.RemoveVpcs.Count > 0;
        if (structure)
        {
            // members name nothing: alone, they cannot break a reference
            new ReferenceCheck(next, limits, faults).Run();
        }

        return faults.Result(next);
    }

    private sealed class Application(
        PolicySnapshot held, V1.Delta delta, ResourceReader resources, Fields fields, FaultList faults)
    {
        private readonly HashSet<string> replaced = new(delta.ReplaceMembersOf, StringComparer.Ordinal);

        public PolicySnapshot Run() => held with
        {
            Revision = delta.Revision,
            IssuedAt = fields.Moment("issued_at", delta.IssuedAt),
            PrefixLists = Change("prefix_lists", held.PrefixLists, delta.UpsertPrefixLists.Select(resources.PrefixList),
                list => list.Id, delta.RemovePrefixLists),
            PortLists = Change("port_lists", held.PortLists, delta.UpsertPortLists.Select(resources.PortList),
                list => list.Id, delta.RemovePortLists),
            Groups = ChangeMembers(Change("groups", held.Groups, delta.UpsertGroups.Select(Group),
                group => group.Id, delta.RemoveGroups)),
            Vnics = Change(
                "vnics", held.Vnics, delta.UpsertVnics.Select(resources.Vnic), vnic => vnic.Id, delta.RemoveVnics),
            Vpcs = Change("vpcs", held.Vpcs, delta.UpsertVpcs.Select(resources.Vpc), vpc => vpc.Id, delta.RemoveVpcs),
        };

        private SecurityGroup Group(V1.SecurityGroup message)
        {
            bool keeps = !replaced.Contains(message.Id) && held.Groups.ContainsKey(message.Id);
            if (!keeps)
            {
                return resources.Group(message);
            }

            SecurityGroup before = held.Groups[message.Id];
            IpPrefix[] added = [.. resources.Members($"groups[{Place(message.Id)}].members", message.Members)
                .Where(member => !before.Members.Contains(member))];
            ImmutableSortedSet<IpPrefix> members = added.Length == 0 ? before.Members : before.Members.Union(added);
            MemberHistory.Note(before.Members, members, [.. added]);
            SecurityGroup group = resources.Group(message, members);
            StateHash.Carry(before, group, added, removed: []);
            return group;
        }

        private ImmutableSortedDictionary<string, SecurityGroup> ChangeMembers(
            ImmutableSortedDictionary<string, SecurityGroup> groups)
        {
            foreach (V1.MemberChange change in delta.Members)
            {
                string path = $"members[{Place(change.GroupId)}]";
                if (!groups.TryGetValue(change.GroupId, out SecurityGroup? group))
                {
                    faults.Add(
                        path, Codes.GroupNotFound, $"no group {Show(change.GroupId)}",
                        "Upsert the group first.");
                    continue;
                }

                group = ChangeMembers(path, group, change);
                resources.CheckMemberCount(group);
                groups = groups.SetItem(group.Id, group);
            }

            return groups;
        }

        private SecurityGroup ChangeMembers(string path, SecurityGroup group, V1.MemberChange change)
        {
            IpPrefix[] removed =
                [.. resources.Members($"{path}.remove", change.Remove).Where(group.Members.Contains)];
            ImmutableSortedSet<IpPrefix> members = group.Members;
            foreach (IpPrefix gone in removed)
            {
                members = members.Remove(gone);
            }

            ImmutableSortedSet<IpPrefix> kept = members;
            IpPrefix[] added = [.. resources.Members($"{path}.add", change.Add)
                .Where(member => !kept.Contains(member))];
            foreach (IpPrefix member in added)
            {
                members = members.Add(member);
            }

            MemberHistory.Note(group.Members, members, [.. removed, .. added]);
            SecurityGroup changed = group with { Members = members };
            StateHash.Carry(group, changed, added, removed);
            return changed;
        }

        private ImmutableSortedDictionary<string, T> Change<T>(
            string path, ImmutableSortedDictionary<string, T> items, IEnumerable<T> upsert, Func<T, string> id,
            IEnumerable<string> remove)
        {
            var seen = new HashSet<string>(StringComparer.Ordinal);
            foreach (T item in upsert)
            {
                if (!seen.Add(id(item)))
                {
                    faults.Add(
                        $"{path}[{Place(id(item))}]", Codes.Duplicate, "stands twice in the delta",
                        "Keep the newer one.");
                }

                items = items.SetItem(id(item), item);
            }

            foreach (string gone in remove)
            {
                if (!seen.Add(gone))
                {
                    faults.Add(
                        $"{path}[{Place(gone)}]", Codes.Duplicate, "both upserted and removed, or removed twice",
                        "Keep one of them.");
                }

                items = items.Remove(gone);
            }

            return items;
        }
    }
}
