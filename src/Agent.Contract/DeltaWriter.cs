using System.Collections.Immutable;
using Agent.Policy;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Contract;

/// <summary>The delta that leads from one policy to another: <see cref="DeltaReader"/> backwards.</summary>
/// <remarks>
/// Minimal: what says the same is not sent, and members travel one by one unless all of them are fewer bytes. Costs one
/// walk over ids, and over the members of groups that are not the same object.
/// </remarks>
public static class DeltaWriter
{
    /// <summary>Of a member in a message: "::", its length, and the field's number.</summary>
    private const int MemberBytesMin = 4;

    public static V1.Delta Between(PolicySnapshot before, PolicySnapshot after)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        var delta = new V1.Delta
        {
            BaseRevision = before.Revision,
            Revision = after.Revision,
            IssuedAt = after.IssuedAt?.ToTimestamp(),
        };
        foreach ((string id, SecurityGroup group) in after.Groups)
        {
            if (!before.Groups.TryGetValue(id, out SecurityGroup? held))
            {
                delta.UpsertGroups.Add(SnapshotWriter.Group(group));
            }
            else if (!ReferenceEquals(held, group))
            {
                Change(delta, held, group);
            }
        }

        delta.RemoveGroups.AddRange(before.Groups.Keys.Where(id => !after.Groups.ContainsKey(id)));
        Change(
            before.PrefixLists, after.PrefixLists, PolicyContent.AreSame, SnapshotWriter.PrefixList,
            delta.UpsertPrefixLists, delta.RemovePrefixLists);
        Change(
            before.PortLists, after.PortLists, PolicyContent.AreSame, SnapshotWriter.PortList,
            delta.UpsertPortLists, delta.RemovePortLists);
        Change(
            before.Vnics, after.Vnics, PolicyContent.AreSame, SnapshotWriter.Vnic,
            delta.UpsertVnics, delta.RemoveVnics);
        Change(
            before.Vpcs, after.Vpcs, PolicyContent.AreSame, SnapshotWriter.Vpc, delta.UpsertVpcs, delta.RemoveVpcs);
        return delta;
    }

    private static void Change(V1.Delta delta, SecurityGroup before, SecurityGroup after)
    {
        V1.Delta single = OneByOne(before, after);
        long bytes = single.CalculateSize();
        if (bytes > (long)MemberBytesMin * after.Members.Count && !ReferenceEquals(before.Members, after.Members))
        {
            var whole = new V1.Delta
            {
                UpsertGroups = { SnapshotWriter.Group(after) },
                ReplaceMembersOf = { after.Id },
            };
            single = whole.CalculateSize() < bytes ? whole : single;
        }

        delta.MergeFrom(single);
    }

    private static V1.Delta OneByOne(SecurityGroup before, SecurityGroup after)
    {
        var delta = new V1.Delta();
        ILookup<bool, string> members = PolicyContent.Difference(before.Members, after.Members)
            .ToLookup(one => one.IsAdded, one => one.Member.ToString());
        IEnumerable<string> added = members[true];
        if (!PolicyContent.AreSameButMembers(before, after))
        {
            V1.SecurityGroup head = SnapshotWriter.GroupWithoutMembers(after);
            head.Members.AddRange(added); // an upserted group keeps its members and gets these
            added = [];
            delta.UpsertGroups.Add(head);
        }

        if (added.Any() || members.Contains(false))
        {
            delta.Members.Add(
                new V1.MemberChange { GroupId = after.Id, Add = { added }, Remove = { members[false] } });
        }

        return delta;
    }

    private static void Change<T, TMessage>(
        ImmutableSortedDictionary<string, T> before, ImmutableSortedDictionary<string, T> after,
        Func<T, T, bool> areSame, Func<T, TMessage> write, RepeatedField<TMessage> upsert,
        RepeatedField<string> remove)
    {
        if (ReferenceEquals(before, after))
        {
            return;
        }

        upsert.AddRange(after
            .Where(pair => !(before.TryGetValue(pair.Key, out T? held) && areSame(held, pair.Value)))
            .Select(pair => write(pair.Value)));
        remove.AddRange(before.Keys.Where(id => !after.ContainsKey(id)));
    }
}
