using System.Globalization;
using Agent.V1;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Tests.Contract;

/// <summary>Random valid states, random small changes of them, and the delta from one to another.</summary>
internal static class RandomStates
{
    private static readonly string[] Prefixes4 =
        ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "10.1.2.4", "192.0.2.0/25", "172.16.0.0/12",
            "8.8.8.8"];

    private static readonly string[] Prefixes6 =
        ["2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::7", "2001:db8:1::/64", "fd00::/8"];

    private static readonly string[] Ports = ["22/22", "80/80", "80/443", "440/450", "1000/2000", "1/65535", "53/53"];

    private static readonly string[] Sources = ["", "", "", "1024/65535", "1/100"];

    public static Snapshot Next(Random random, ulong revision)
    {
        var snapshot = new Snapshot
        {
            Revision = revision,
            IssuedAt = new Timestamp { Seconds = 1_795_000_000 + (long)revision, Nanos = 7000 },
        };
        for (int i = random.Next(0, 3); i >= 0; i--)
        {
            Change(snapshot, random);
        }

        for (int i = random.Next(5, 30); i > 0; i--)
        {
            Change(snapshot, random);
        }

        return snapshot;
    }

    /// <summary>One small change. The state stays valid.</summary>
    public static void Change(Snapshot snapshot, Random random)
    {
        switch (random.Next(12))
        {
            case 0 when snapshot.Groups.Count < 6:
                snapshot.Groups.Add(new SecurityGroup
                {
                    Id = Free("g", snapshot.Groups.Select(group => group.Id)),
                    VpcId = "vpc-1",
                    Type = GroupType.Basic,
                    InnerAccessPolicy = random.Next(2) == 0 ? V1.Policy.Accept : V1.Policy.Drop,
                });
                break;
            case 1 when snapshot.Groups.Count > 1: RemoveGroup(snapshot, random); break;
            case 2: ChangeList(snapshot, random); break;
            case 3: ChangePorts(snapshot, random); break;
            case 4 or 5: ChangeVnic(snapshot, random); break;
            case 6 or 7: ChangeMembers(snapshot, random); break;
            default: ChangeRules(snapshot, random); break;
        }
    }

    /// <summary>
    /// A delta from one state to the other, each group's members sent in one of the ways that there are.
    /// </summary>
    public static Delta Between(Snapshot from, Snapshot to, Random random)
    {
        var delta = new Delta { BaseRevision = from.Revision, Revision = to.Revision, IssuedAt = to.IssuedAt };
        Difference(from.PrefixLists, to.PrefixLists, list => list.Id, delta.UpsertPrefixLists, delta.RemovePrefixLists);
        Difference(from.PortLists, to.PortLists, list => list.Id, delta.UpsertPortLists, delta.RemovePortLists);
        Difference(from.Vnics, to.Vnics, vnic => vnic.Id, delta.UpsertVnics, delta.RemoveVnics);
        delta.RemoveGroups.AddRange(from.Groups.Select(group => group.Id).Except(to.Groups.Select(group => group.Id)));
        foreach (SecurityGroup group in to.Groups)
        {
            if (from.Groups.FirstOrDefault(one => one.Id == group.Id) is { } before)
            {
                AddGroup(delta, before, group, random);
            }
            else
            {
                delta.UpsertGroups.Add(group.Clone());
            }
        }

        return delta;
    }

    /// <summary>The same state with everything that has no order in another one.</summary>
    public static Snapshot Shuffled(Snapshot snapshot, Random random)
    {
        Snapshot other = snapshot.Clone();
        Shuffle(other.Groups, random);
        Shuffle(other.PrefixLists, random);
        Shuffle(other.PortLists, random);
        Shuffle(other.Vnics, random);
        foreach (SecurityGroup group in other.Groups)
        {
            Shuffle(group.Rules, random);
            Shuffle(group.Members, random);
            KeyValuePair<string, string>[] labels = [.. group.Labels];
            random.Shuffle(labels);
            group.Labels.Clear();
            foreach ((string key, string value) in labels)
            {
                group.Labels.Add(key, value);
            }
        }

        foreach (PrefixList list in other.PrefixLists)
        {
            Shuffle(list.Entries, random);
        }

        foreach (PortList list in other.PortLists)
        {
            Shuffle(list.Entries, random);
        }

        foreach (Vnic vnic in other.Vnics)
        {
            Shuffle(vnic.DelegatedPrefixes, random);
            Shuffle(vnic.GroupIds, random);
        }

        return other;
    }

    private static void Shuffle<T>(RepeatedField<T> field, Random random)
    {
        T[] items = [.. field];
        random.Shuffle(items);
        field.Clear();
        field.AddRange(items);
    }

    private static void AddGroup(Delta delta, SecurityGroup before, SecurityGroup after, Random random)
    {
        string[] added = [.. after.Members.Except(before.Members)];
        string[] removed = [.. before.Members.Except(after.Members)];
        SecurityGroup head = after.Clone();
        head.Members.Clear();
        SecurityGroup oldHead = before.Clone();
        oldHead.Members.Clear();
        bool upsert = !head.Equals(oldHead) || random.Next(4) == 0;
        switch (random.Next(3))
        {
            case 0:
                delta.UpsertGroups.Add(after.Clone());
                delta.ReplaceMembersOf.Add(after.Id);
                return;
            case 1 when upsert:
                head.Members.AddRange(added); // an upsert keeps members and adds to them
                delta.UpsertGroups.Add(head);
                added = [];
                break;
            default:
                if (upsert)
                {
                    delta.UpsertGroups.Add(head);
                }

                break;
        }

        if (added.Length + removed.Length > 0)
        {
            delta.Members.Add(new MemberChange { GroupId = after.Id, Add = { added }, Remove = { removed } });
        }
    }

    private static void Difference<T>(
        IEnumerable<T> from, IEnumerable<T> to, Func<T, string> id, RepeatedField<T> upsert,
        RepeatedField<string> remove)
        where T : class, Google.Protobuf.IDeepCloneable<T>
    {
        Dictionary<string, T> before = from.ToDictionary(id);
        foreach (T item in to)
        {
            if (!before.Remove(id(item), out T? same) || !same.Equals(item))
            {
                upsert.Add(item.Clone());
            }
        }

        foreach (string gone in before.Keys)
        {
            remove.Add(gone);
        }
    }

    private static void RemoveGroup(Snapshot snapshot, Random random)
    {
        SecurityGroup group = snapshot.Groups[random.Next(snapshot.Groups.Count)];
        bool used = snapshot.Vnics.Any(vnic => vnic.GroupIds.Contains(group.Id))
            || snapshot.Groups.Any(other => other.Rules.Any(rule => rule.GroupId == group.Id));
        if (!used)
        {
            snapshot.Groups.Remove(group);
        }
    }

    private static void ChangeList(Snapshot snapshot, Random random)
    {
        bool v6 = random.Next(3) == 0;
        string id = v6 ? "pl6" : "pl4";
        PrefixList? list = snapshot.PrefixLists.FirstOrDefault(one => one.Id == id);
        if (list is null)
        {
            list = new PrefixList
            {
                Id = id,
                Family = v6 ? IpFamily.Ipv6 : IpFamily.Ipv4,
                MaxEntries = 9,
                Name = "list"
            };
            snapshot.PrefixLists.Add(list);
        }
        else if (random.Next(5) == 0 && !snapshot.Groups.Any(group => group.Rules.Any(rule => rule.PrefixListId == id)))
        {
            snapshot.PrefixLists.Remove(list);
            return;
        }

        Toggle(list.Entries, v6 ? Pick(Prefixes6, random) : Pick(Prefixes4, random));
    }

    private static void ChangePorts(Snapshot snapshot, Random random)
    {
        PortList? list = snapshot.PortLists.FirstOrDefault();
        if (list is null)
        {
            snapshot.PortLists.Add(list = new PortList { Id = "ports", MaxEntries = 9, Name = "ports" });
        }

        Toggle(list.Entries, Pick(Ports, random));
    }

    private static void ChangeVnic(Snapshot snapshot, Random random)
    {
        if (snapshot.Groups.Count == 0)
        {
            return;
        }

        if (snapshot.Vnics.Count > 0 && random.Next(4) == 0)
        {
            snapshot.Vnics.RemoveAt(random.Next(snapshot.Vnics.Count));
            return;
        }

        string group = snapshot.Groups[random.Next(snapshot.Groups.Count)].Id;
        if (snapshot.Vnics.Count > 3)
        {
            Vnic vnic = snapshot.Vnics[random.Next(snapshot.Vnics.Count)];
            if (vnic.GroupIds.Count > 1 || !vnic.GroupIds.Contains(group))
            {
                Toggle(vnic.GroupIds, group);
            }

            return;
        }

        string id = Free("v", snapshot.Vnics.Select(vnic => vnic.Id));
        string digit = id[1..];
        snapshot.Vnics.Add(new Vnic
        {
            Id = id,
            InterfaceName = $"tap{digit}",
            Mac = $"02:00:00:00:00:0{digit}",
            VpcId = "vpc-1",
            Addresses = { $"10.0.0.{digit}", $"2001:db8::{digit}" },
            DelegatedPrefixes = { $"10.9{digit}.0.0/16", $"2001:db8:9{digit}::/48" },
            GroupIds = { group },
            Timeouts =
                new SessionTimeouts { TcpEstablishedSeconds = 910, TcpClosedAndTimeWaitSeconds = 3, UdpSeconds = 30 },
            DisableSourceDestinationCheck = random.Next(3) == 0,
        });
    }

    private static void ChangeMembers(Snapshot snapshot, Random random)
    {
        if (snapshot.Groups.Count > 0)
        {
            Toggle(snapshot.Groups[random.Next(snapshot.Groups.Count)].Members,
                random.Next(3) == 0 ? Pick(Prefixes6, random) : Pick(Prefixes4, random));
        }
    }

    private static void ChangeRules(Snapshot snapshot, Random random)
    {
        if (snapshot.Groups.Count == 0)
        {
            return;
        }

        SecurityGroup group = snapshot.Groups[random.Next(snapshot.Groups.Count)];
        if (group.Rules.Count > 0 && random.Next(3) == 0)
        {
            group.Rules.RemoveAt(random.Next(group.Rules.Count));
            return;
        }

        Rule rule = RandomRule(snapshot, group, random);
        bool twice = group.Rules.Any(one => new Rule(one) { Id = rule.Id }.Equals(rule));
        if (!twice && group.Rules.Count < 12)
        {
            rule.Id = Free("r", group.Rules.Select(one => one.Id));
            group.Rules.Add(rule);
        }
    }

    private static Rule RandomRule(Snapshot snapshot, SecurityGroup group, Random random)
    {
        var rule = new Rule
        {
            Id = "new",
            Direction = random.Next(2) == 0 ? Direction.Ingress : Direction.Egress,
            Policy = random.Next(3) == 0 ? V1.Policy.Drop : V1.Policy.Accept,
            Priority = (uint)random.Next(1, 4),
        };
        bool v6 = random.Next(3) == 0;
        switch (random.Next(6))
        {
            case 0 when snapshot.Groups.Count > 1:
                rule.GroupId = snapshot.Groups.First(one => one.Id != group.Id).Id;
                break;
            case 1 when snapshot.PrefixLists.Any(list => list.Id == (v6 ? "pl6" : "pl4")):
                rule.PrefixListId = v6 ? "pl6" : "pl4";
                break;
            case 2: rule.Cidr = v6 ? "::/0" : "0.0.0.0/0"; break;
            default: rule.Cidr = v6 ? Pick(Prefixes6, random) : Pick(Prefixes4, random); break;
        }

        rule.Protocol = Pick(["tcp", "tcp", "tcp", "udp", "all", v6 ? "icmpv6" : "icmp", "gre", "50"], random);
        if (rule.Protocol is "tcp" or "udp")
        {
            bool list = random.Next(4) == 0 && snapshot.PortLists.Count > 0;
            rule.PortRange = list ? "" : Pick(Ports, random);
            rule.PortListId = list ? "ports" : "";
            rule.SourcePortRange = Pick(Sources, random);
        }

        if (random.Next(6) == 0)
        {
            rule.OwnCidr = v6 ? "2001:db8::1" : Pick(["10.0.0.1", "10.0.0.0/30"], random);
        }

        return rule;
    }

    private static string Free(string prefix, IEnumerable<string> taken) => Enumerable.Range(1, 99)
        .Select(i => prefix + i.ToString(CultureInfo.InvariantCulture)).Except(taken).First();

    private static void Toggle(RepeatedField<string> items, string item)
    {
        if (!items.Remove(item))
        {
            items.Add(item);
        }
    }

    private static string Pick(string[] items, Random random) => items[random.Next(items.Length)];
}
