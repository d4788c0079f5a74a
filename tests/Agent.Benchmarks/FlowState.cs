using System.Globalization;
using Agent.V1;

namespace Agent.Benchmarks;

/// <summary>A controller's desired state, and the deltas that it makes of it.</summary>
internal sealed class FlowState(Snapshot snapshot)
{
    private readonly SecurityGroup big = snapshot.Groups.MaxBy(group => group.Members.Count)!;
    private readonly SecurityGroup[] others = [.. snapshot.Groups.Where(group => group.Members.Count == 0)];
    private readonly Queue<string> members = new(snapshot.Groups.MaxBy(group => group.Members.Count)!.Members);
    private int came;
    private int edits;

    public ulong Revision { get; private set; } = snapshot.Revision;

    /// <summary>One that was not there comes, or the one that has been there for longest goes.</summary>
    public Delta Member(int i)
    {
        var change = new MemberChange { GroupId = big.Id };
        if (i % 2 == 0)
        {
            string member = string.Create(
                CultureInfo.InvariantCulture, $"10.{120 + came / 65_536}.{came / 256 % 256}.{came % 256}");
            came++;
            members.Enqueue(member);
            change.Add.Add(member);
        }
        else
        {
            change.Remove.Add(members.Dequeue());
        }

        return Next(new Delta { Members = { change } });
    }

    /// <summary>So many come at once.</summary>
    public Delta Members(int count)
    {
        var change = new MemberChange { GroupId = big.Id };
        for (int i = 0; i < count; i++)
        {
            change.Add.Add(string.Create(
                CultureInfo.InvariantCulture, $"10.{120 + i / 32_768}.{i / 128 % 256}.{2 * (i % 128)}"));
        }

        return Next(new Delta { Members = { change } });
    }

    /// <summary>A group with another port in one of its rules.</summary>
    public Delta Rule(int i)
    {
        SecurityGroup group = others[i % others.Length];
        Rule rule = group.Rules[++edits % group.Rules.Count];
        int port = 30_000 + edits % 10_000;
        rule.PortRange = string.Create(CultureInfo.InvariantCulture, $"{port}/{port}");
        rule.Protocol = "tcp";
        return Next(new Delta { UpsertGroups = { group.Clone() } });
    }

    /// <summary>Eight members, a rule, and a vNIC that goes and comes back.</summary>
    public Delta Mixed(int i) => (i % 20) switch
    {
        3 or 13 => Rule(i / 10),
        8 => Next(new Delta { RemoveVnics = { snapshot.Vnics[i / 20 % snapshot.Vnics.Count].Id } }),
        18 => Next(new Delta { UpsertVnics = { snapshot.Vnics[i / 20 % snapshot.Vnics.Count] } }),
        _ => Member(i),
    };

    private Delta Next(Delta delta)
    {
        delta.BaseRevision = Revision;
        delta.Revision = ++Revision;
        return delta;
    }
}
