using Agent.Client;
using Agent.Fleet.Etcd;
using Agent.Fleet.Store;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Fleet.Control;

/// <summary>
/// A region's desired state as the store has it, and what each host is to hold of it. Not for several threads at once.
/// </summary>
/// <remarks>
/// Groups are one <see cref="DesiredState"/> that moves on by deltas: what a batch of events touches is changed once,
/// and shared by all hosts that need it.
/// </remarks>
internal sealed class Region
{
    private readonly SortedDictionary<string, HostPart> hosts = new(StringComparer.Ordinal);
    private DesiredState groups;

    private Region(DesiredState groups) => this.groups = groups;

    public long Revision => (long)groups.Revision;

    /// <exception cref="InvalidPolicyException">What the store holds is no policy.</exception>
    public static Region Load(IReadOnlyList<KeyValue> keys, long revision)
    {
        var snapshot = new Snapshot { Revision = (ulong)revision };
        var byId = new Dictionary<string, SecurityGroup>(StringComparer.Ordinal);
        foreach (KeyValue pair in keys)
        {
            if (Keys.Parse(pair.Key.ToStringUtf8()) is ("groups", string id, _))
            {
                SecurityGroup group = SecurityGroup.Parser.ParseFrom(pair.Value);
                snapshot.Groups.Add(group);
                byId.Add(id, group);
            }
        }

        foreach (KeyValue pair in keys)
        {
            if (Keys.Parse(pair.Key.ToStringUtf8()) is ("members", string id, string address)
                && byId.TryGetValue(id, out SecurityGroup? group))
            {
                group.Members.Add(address);
            }
        }

        var region = new Region(DesiredState.Of(snapshot));
        foreach (KeyValue pair in keys)
        {
            region.TakeHost(pair, isGone: false);
        }

        return region;
    }

    /// <summary>Takes a batch of changes.</summary>
    /// <param name="batch">In the store's order.</param>
    /// <param name="at">When it came: since then the region asks for it.</param>
    /// <exception cref="InvalidPolicyException">They lead to no policy.</exception>
    public void Take(Batch batch, DateTimeOffset at)
    {
        var delta = new Delta
        {
            BaseRevision = groups.Revision,
            Revision = (ulong)batch.Revision,
            IssuedAt = at.ToTimestamp(),
        };
        var members = new Dictionary<(string Group, string Address), bool>();
        var changed = new Dictionary<string, SecurityGroup?>(StringComparer.Ordinal);
        foreach (Event one in batch.Events)
        {
            bool isGone = one.Type == Event.Types.EventType.Delete;
            switch (Keys.Parse(one.Kv.Key.ToStringUtf8()))
            {
                case ("groups", string id, _):
                    changed[id] = isGone ? null : SecurityGroup.Parser.ParseFrom(one.Kv.Value);
                    break;
                case ("members", string id, string address): members[(id, address)] = isGone; break;
                default: TakeHost(one.Kv, isGone); break;
            }
        }

        delta.UpsertGroups.AddRange(changed.Values.OfType<SecurityGroup>());
        delta.RemoveGroups.AddRange(changed.Where(pair => pair.Value is null).Select(pair => pair.Key));
        foreach (IGrouping<string, KeyValuePair<(string Group, string Address), bool>> group in members
            .Where(pair => !delta.RemoveGroups.Contains(pair.Key.Group)).GroupBy(pair => pair.Key.Group))
        {
            delta.Members.Add(new MemberChange
            {
                GroupId = group.Key,
                Add = { group.Where(pair => !pair.Value).Select(pair => pair.Key.Address) },
                Remove = { group.Where(pair => pair.Value).Select(pair => pair.Key.Address) },
            });
        }

        groups = groups.After(delta);
        foreach (HostPart host in hosts.Values)
        {
            host.IsStale |= host.Groups.Any(id => changed.ContainsKey(id))
                || delta.Members.Any(change => host.Groups.Contains(change.GroupId));
        }
    }

    /// <summary>
    /// Hosts whose part has changed since the last call, with their sockets and what they are to hold.
    /// </summary>
    public IEnumerable<(string Host, string Socket, DesiredState State)> TakeChanged()
    {
        foreach ((string name, HostPart host) in hosts)
        {
            if (!host.IsStale || host.Socket.Length == 0)
            {
                continue;
            }

            DesiredState state = groups.For(host.Vnics.Values);
            host.Groups = [.. state.Groups];
            host.IsStale = false;
            yield return (name, host.Socket, state);
        }
    }

    private void TakeHost(KeyValue pair, bool isGone)
    {
        (string kind, string name, string id) = Keys.Parse(pair.Key.ToStringUtf8());
        if (kind is not ("vnics" or "hosts"))
        {
            return;
        }

        if (!hosts.TryGetValue(name, out HostPart? host))
        {
            hosts.Add(name, host = new HostPart());
        }

        host.IsStale = true;
        if (kind == "hosts")
        {
            host.Socket = isGone ? "" : pair.Value.ToStringUtf8();
        }
        else if (isGone)
        {
            host.Vnics.Remove(id);
        }
        else
        {
            host.Vnics[id] = Vnic.Parser.ParseFrom(pair.Value);
        }
    }

    private sealed class HostPart
    {
        public string Socket { get; set; } = "";

        public SortedDictionary<string, Vnic> Vnics { get; } = new(StringComparer.Ordinal);

        public HashSet<string> Groups { get; set; } = [];

        public bool IsStale { get; set; }
    }
}
