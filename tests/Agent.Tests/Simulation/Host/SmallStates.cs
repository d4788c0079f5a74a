using System.Globalization;
using Agent.Tests.Contract;
using Agent.V1;

namespace Agent.Tests.Simulation.Host;

/// <summary>States of a host with few vNICs and groups: what goes wrong between steps does so in these too, sooner.
/// </summary>
internal static class SmallStates
{
    public const int MostVnics = 3;
    private const int MostGroups = 3;
    private const int MostRules = 5;

    private static readonly string[] Members = ["10.1.2.3", "10.1.0.0/16", "8.8.8.8", "2001:db8:1::7", "192.0.2.0/25"];

    /// <summary>A group and a vNIC at least, so that there is something to judge.</summary>
    public static Snapshot First(Random random)
    {
        var state = new Snapshot { Revision = 1 };
        for (int i = 1; i <= 2; i++)
        {
            state.Groups.Add(new SecurityGroup
            {
                Id = $"g{i}",
                VpcId = "vpc-1",
                Type = GroupType.Basic,
                InnerAccessPolicy = random.Next(2) == 0 ? V1.Policy.Accept : V1.Policy.Drop,
            });
            state.Vnics.Add(Vnic(i, $"g{i}"));
        }

        return Next(Next(state, random), random);
    }

    /// <summary>Some changes later, with the next revision.</summary>
    public static Snapshot Next(Snapshot state, Random random)
    {
        Snapshot next = state.Clone();
        next.Revision = state.Revision + (ulong)random.Next(1, 4);
        for (int change = random.Next(1, 4); change > 0; change--)
        {
            Change(next, random);
        }

        return next;
    }

    private static void Change(Snapshot state, Random random)
    {
        switch (random.Next(6))
        {
            case 0 when state.Vnics.Count > 0 && random.Next(2) == 0:
                state.Vnics.RemoveAt(random.Next(state.Vnics.Count));
                break;
            case 0 or 1 when state.Vnics.Count < MostVnics:
                int free = Enumerable.Range(1, MostVnics).First(i => state.Vnics.All(vnic => vnic.Id != $"v{i}"));
                state.Vnics.Add(Vnic(free, state.Groups[random.Next(state.Groups.Count)].Id));
                break;
            case 2 when state.Groups.Count > 0:
                Toggle(state.Groups[random.Next(state.Groups.Count)].Members, Members[random.Next(Members.Length)]);
                break;
            default:
                RandomStates.Change(state, random);
                Trim(state);
                break;
        }
    }

    private static void Trim(Snapshot state)
    {
        while (state.Groups.Count > MostGroups)
        {
            SecurityGroup last = state.Groups[^1];
            foreach (Vnic vnic in state.Vnics)
            {
                vnic.GroupIds.Remove(last.Id);
            }

            foreach (SecurityGroup group in state.Groups)
            {
                RemoveWhere(group.Rules, rule => rule.GroupId == last.Id);
            }

            RemoveWhere(state.Vnics, vnic => vnic.GroupIds.Count == 0);
            state.Groups.Remove(last);
        }

        RemoveWhere(state.Vnics, vnic => int.Parse(vnic.Id[1..], CultureInfo.InvariantCulture) > MostVnics);
        foreach (SecurityGroup group in state.Groups.Where(group => group.Rules.Count > MostRules))
        {
            group.Rules.RemoveAt(0);
        }
    }

    private static void RemoveWhere<T>(Google.Protobuf.Collections.RepeatedField<T> items, Func<T, bool> which)
    {
        foreach (T item in items.Where(which).ToArray())
        {
            items.Remove(item);
        }
    }

    private static void Toggle(Google.Protobuf.Collections.RepeatedField<string> items, string item)
    {
        if (!items.Remove(item))
        {
            items.Add(item);
        }
    }

    private static Vnic Vnic(int number, string group) => new()
    {
        Id = $"v{number}",
        InterfaceName = $"tap{number}",
        Mac = $"02:00:00:00:00:0{number}",
        VpcId = "vpc-1",
        Addresses = { $"10.0.0.{number}", $"2001:db8::{number}" },
        GroupIds = { group },
    };
}
