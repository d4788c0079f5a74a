using System.Globalization;
using Agent.V1;

namespace Agent.Tests.Sessions;

/// <summary>Desired states for places that talk: few rules, so that a change often takes a session away.</summary>
public static class TalkStates
{
    /// <summary>Where <see cref="OpenPort"/> leads is open to everybody, whatever else the rules say.</summary>
    public const int OpenPort = 7;

    private static readonly string[] Protocols =
    [
        "all -1/-1", "tcp 1/65535", "tcp 22/22", "tcp 20/60", "udp 1/65535", "udp 53/53", "icmp -1/-1", "icmpv6 -1/-1",
        "gre -1/-1", "50 -1/-1",
    ];

    /// <param name="random">Decides everything.</param>
    /// <param name="places">The guests among them are vNICs; the others are what rules speak of.</param>
    /// <param name="times">Idle times of every vNIC.</param>
    /// <param name="vpc">The VPC of all of them.</param>
    public static Snapshot Of(
        Random random, IReadOnlyList<Place> places, SessionTimeouts? times = null, string vpc = "vpc-1")
    {
        ArgumentNullException.ThrowIfNull(random);
        ArgumentNullException.ThrowIfNull(places);
        var state = new Snapshot();
        string[] ids = [$"sg-{vpc}-a", $"sg-{vpc}-b", $"sg-{vpc}-c"];
        foreach (string id in ids)
        {
            SecurityGroup group = Group(random, places, id);
            group.VpcId = vpc;
            state.Groups.Add(group);
        }

        bool advanced = state.Groups.Any(group => group.Type == GroupType.Advanced);
        foreach (Place guest in places.Where(place => place.IsGuest))
        {
            string[] groups = advanced
                ? [ids[random.Next(ids.Length)]]
                : [.. ids.Where(_ => random.Next(2) == 0)];
            state.Vnics.Add(new Vnic
            {
                Id = $"eni-{guest.Name}",
                InterfaceName = guest.Device,
                Mac = guest.Mac,
                VpcId = vpc,
                Addresses = { guest.V4, guest.V6 },
                GroupIds = { groups.Length > 0 ? groups : [ids[0]] },
                Timeouts = times,
            });
        }

        return state;
    }

    private static SecurityGroup Group(Random random, IReadOnlyList<Place> places, string id)
    {
        bool advanced = random.Next(6) == 0;
        var group = new SecurityGroup
        {
            Id = id,
            Type = advanced ? GroupType.Advanced : GroupType.Basic,
            InnerAccessPolicy = advanced || random.Next(3) > 0 ? V1.Policy.Drop : V1.Policy.Accept,
        };
        foreach (Direction direction in (Direction[])[Direction.Ingress, Direction.Egress])
        {
            foreach (string any in (string[])["0.0.0.0/0", "::/0"])
            {
                group.Rules.Add(new Rule
                {
                    Id = $"open{group.Rules.Count}",
                    Direction = direction,
                    Protocol = "udp",
                    PortRange = $"{OpenPort}/{OpenPort}",
                    Policy = V1.Policy.Accept,
                    Priority = 1,
                    Cidr = any,
                });
            }
        }

        int rules = random.Next(0, 7);
        for (int i = 0; i < rules; i++)
        {
            group.Rules.Add(Rule(random, places, $"r{i}"));
        }

        return group;
    }

    private static Rule Rule(Random random, IReadOnlyList<Place> places, string id)
    {
        string[] words = Protocols[random.Next(Protocols.Length)].Split(' ');
        Place place = places[random.Next(places.Count)];
        string[] remotes = words[0] switch
        {
            "icmp" => ["0.0.0.0/0", $"{place.V4}/32"],
            "icmpv6" => ["::/0", $"{place.V6}/128"],
            _ => ["0.0.0.0/0", "::/0", $"{place.V4}/32", $"{place.V6}/128"],
        };
        bool ingress = random.Next(5) < 3;
        return new Rule
        {
            Id = id,
            Direction = ingress ? Direction.Ingress : Direction.Egress,
            Protocol = words[0],
            PortRange = words[1],
            // Ingress is closed and egress open by default: rules mostly say the opposite.
            Policy = random.Next(4) == 0 == ingress ? V1.Policy.Drop : V1.Policy.Accept,
            Priority = (uint)random.Next(2, 5),
            Cidr = remotes[random.Next(remotes.Length)],
            Description = random.Next(1000).ToString(CultureInfo.InvariantCulture),
        };
    }
}
