using System.Globalization;
using Agent.V1;
using Verdict = Agent.V1.Policy;

namespace Agent.Soak.Driving;

/// <summary>
/// The desired state: a part that decides about the guests' traffic, and a part that never stands still.
/// </summary>
/// <remarks>
/// Those who ask (g1, g3) may open TCP and UDP sessions to ports 1000 to 1999 of those who serve (g2, g4), and nothing
/// else passes, whatever the rest does: its rules are about addresses and ports that no guest uses. It wanders about a
/// middle, so that what the kernel holds for it does too.
/// </remarks>
internal sealed class SoakPolicy
{
    public const int FirstPort = 1000;
    public const int LastPort = 1999;

    /// <summary>Opened and closed by a rule of its own.</summary>
    public const int DoorPort = 3000;

    /// <summary>In it whoever comes and goes as a guest.</summary>
    public const string Comer = "eni-c1";

    private const string Vpc = "vpc-1";
    private const string Serve = "sg-serve";
    private const string Ask = "sg-ask";
    private const int ChurnGroups = 6;
    private const int FewMembers = 8;
    private const int ManyMembers = 40;
    private const int ExtrasKept = 3;

    private readonly Random random;
    private readonly Dictionary<string, SecurityGroup> groups = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Vnic> vnics = new(StringComparer.Ordinal);
    private readonly Queue<string> extraGroups = new();
    private readonly Queue<string> extraVnics = new();
    private int made;

    public SoakPolicy(IEnumerable<Vnic> guests, string? plant, Random random)
    {
        this.random = random;
        Put(new SecurityGroup { Id = Ask, VpcId = Vpc, InnerAccessPolicy = Verdict.Drop });
        Put(new SecurityGroup
        {
            Id = Serve,
            VpcId = Vpc,
            InnerAccessPolicy = Verdict.Drop,
            Rules = { Opening("tcp", FirstPort, LastPort), Opening("udp", FirstPort, LastPort) },
        });
        for (int i = 0; i < ChurnGroups; i++)
        {
            var group = new SecurityGroup { Id = ChurnGroup(i), VpcId = Vpc, InnerAccessPolicy = Verdict.Drop };
            group.Members.Add(Enumerable.Range(0, (FewMembers + ManyMembers) / 2).Select(_ => Address()).Distinct());
            group.Rules.Add(Enumerable.Range(0, 12).Select(n => RuleOf($"r{n}", group.Id)));
            Put(group);
        }

        if (plant is not null)
        {
            Put(new SecurityGroup { Id = plant, VpcId = Vpc, InnerAccessPolicy = Verdict.Drop });
        }

        foreach (Vnic guest in guests)
        {
            guest.VpcId = Vpc;
            guest.GroupIds.Add(guest.Id is "eni-g1" or "eni-g3" ? Ask : Serve);
            guest.GroupIds.Add(Enumerable.Range(0, ChurnGroups).Where(i => (i + guest.Id[^1]) % 2 == 0)
                .Select(ChurnGroup));
            if (plant is not null && guest.Id == "eni-g4")
            {
                guest.GroupIds.Add(plant);
            }

            vnics[guest.Id] = guest;
        }

        Start = Whole();
    }

    /// <summary>What it was at first.</summary>
    public Snapshot Start { get; }

    /// <summary>One that was not there comes, or one goes.</summary>
    public Delta Member()
    {
        SecurityGroup group = groups[ChurnGroup(random.Next(ChurnGroups))];
        var change = new MemberChange { GroupId = group.Id };
        bool comes = group.Members.Count <= FewMembers
            || (group.Members.Count < ManyMembers && random.Next(2) == 0);
        if (comes && Address() is var address && !group.Members.Contains(address))
        {
            change.Add.Add(address);
            group.Members.Add(address);
        }
        else
        {
            int at = random.Next(group.Members.Count);
            change.Remove.Add(group.Members[at]);
            group.Members.RemoveAt(at);
        }

        return new Delta { Members = { change } };
    }

    /// <summary>Another rule in the place of one.</summary>
    public Delta Rule()
    {
        SecurityGroup group = groups[ChurnGroup(random.Next(ChurnGroups))];
        int at = random.Next(group.Rules.Count);
        group.Rules[at] = RuleOf(group.Rules[at].Id, group.Id);
        return new Delta { UpsertGroups = { group.Clone() } };
    }

    /// <summary>A new group for a guest, or one that was made so is gone again.</summary>
    public Delta Group()
    {
        Vnic guest = vnics["eni-g4"];
        if (extraGroups.Count < ExtrasKept)
        {
            var group = new SecurityGroup { Id = Name("sg-x"), VpcId = Vpc, InnerAccessPolicy = Verdict.Drop };
            group.Members.Add(Address());
            group.Rules.Add(RuleOf("r0", group.Id));
            Put(group);
            extraGroups.Enqueue(group.Id);
            guest.GroupIds.Add(group.Id);
            return new Delta { UpsertGroups = { group.Clone() }, UpsertVnics = { guest.Clone() } };
        }

        string old = extraGroups.Dequeue();
        groups.Remove(old);
        guest.GroupIds.Remove(old);
        return new Delta { RemoveGroups = { old }, UpsertVnics = { guest.Clone() } };
    }

    /// <summary>A vNIC that no guest has, or the end of one.</summary>
    /// <param name="comes">Its device, if it is to be made before; null.</param>
    /// <param name="goes">Its device, if it is to be taken away afterwards; null.</param>
    public Delta Vnic(out string? comes, out string? goes)
    {
        (comes, goes) = (null, null);
        if (extraVnics.Count < ExtrasKept)
        {
            string name = Name("x");
            int number = made % 200;
            var vnic = new Vnic
            {
                Id = $"eni-{name}",
                InterfaceName = comes = $"tap-{name}",
                Mac = string.Create(CultureInfo.InvariantCulture, $"02:00:00:01:00:{number:x2}"),
                VpcId = Vpc,
                Addresses = { string.Create(CultureInfo.InvariantCulture, $"10.0.7.{number + 1}") },
                GroupIds = { ChurnGroup(random.Next(ChurnGroups)) },
            };
            vnics[vnic.Id] = vnic;
            extraVnics.Enqueue(vnic.Id);
            return new Delta { UpsertVnics = { vnic.Clone() } };
        }

        string old = extraVnics.Dequeue();
        goes = vnics[old].InterfaceName;
        vnics.Remove(old);
        return new Delta { RemoveVnics = { old } };
    }

    /// <summary>Another idle time, of a few: each value that was ever used stays in the kernel.</summary>
    public Delta IdleTime()
    {
        Vnic guest = vnics[random.Next(2) == 0 ? "eni-g2" : "eni-g4"];
        guest.Timeouts = new SessionTimeouts { UdpSeconds = 30 + (uint)random.Next(6) };
        return new Delta { UpsertVnics = { guest.Clone() } };
    }

    public Delta Door(bool open)
    {
        SecurityGroup group = groups[Serve];
        Rule[] kept = [.. group.Rules.Where(rule => rule.PortRange != Ports(DoorPort, DoorPort))];
        group.Rules.Clear();
        group.Rules.Add(kept);
        if (open)
        {
            group.Rules.Add([Opening("tcp", DoorPort, DoorPort), Opening("udp", DoorPort, DoorPort)]);
        }

        return new Delta { UpsertGroups = { group.Clone() } };
    }

    /// <summary>The vNIC of the guest that comes and goes is in the policy, or is not.</summary>
    public static Delta Come(Vnic comer, bool comes) =>
        comes ? new Delta { UpsertVnics = { comer } } : new Delta { RemoveVnics = { comer.Id } };

    private static Rule Opening(string protocol, int first, int last) => new()
    {
        Id = $"{protocol}-{first}",
        Direction = Direction.Ingress,
        Priority = 10,
        Policy = Verdict.Accept,
        Protocol = protocol,
        PortRange = Ports(first, last),
        GroupId = Ask,
    };

    private static string Ports(int first, int last) =>
        string.Create(CultureInfo.InvariantCulture, $"{first}/{last}");

    private static string ChurnGroup(int i) => string.Create(CultureInfo.InvariantCulture, $"sg-churn-{i}");

    private Snapshot Whole() => new()
    {
        Groups = { groups.Values.Select(group => group.Clone()) },
        Vnics = { vnics.Values.Select(vnic => vnic.Clone()) },
    };

    private void Put(SecurityGroup group) => groups[group.Id] = group;

    private string Name(string prefix) => string.Create(CultureInfo.InvariantCulture, $"{prefix}{++made}");

    private string Address() => string.Create(
        CultureInfo.InvariantCulture, $"172.20.{random.Next(64)}.{random.Next(1, 255)}");

    // Ports that nobody uses, and addresses that nobody has.
    private Rule RuleOf(string id, string own)
    {
        int port = random.Next(20_000, 30_000);
        var rule = new Rule
        {
            Id = id,
            Direction = random.Next(4) == 0 ? Direction.Egress : Direction.Ingress,
            Priority = (uint)random.Next(1, 101),
            Policy = random.Next(4) == 0 ? Verdict.Drop : Verdict.Accept,
            Protocol = random.Next(2) == 0 ? "tcp" : "udp",
            PortRange = Ports(port, port + random.Next(50)),
        };
        string other = ChurnGroup(random.Next(ChurnGroups));
        if (other == own || random.Next(3) == 0)
        {
            rule.Cidr = string.Create(
                CultureInfo.InvariantCulture, $"172.{random.Next(16, 20)}.{random.Next(256)}.0/{random.Next(20, 29)}");
        }
        else
        {
            rule.GroupId = other;
        }

        return rule;
    }
}
