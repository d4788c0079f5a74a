using System.Globalization;
using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>Rules of a vNIC, for people.</summary>
internal static class RuleText
{
    public static void Print(Screen screen, VnicRules rules)
    {
        screen.Line((rules.VnicId, Screen.Strong), (
            $"  {rules.InterfaceName}, {string.Join(", ", rules.GroupIds)}, revision "
            + rules.Revision.ToString(CultureInfo.InvariantCulture), Screen.Plain));
        if (rules.Reason.Length > 0)
        {
            screen.Line(("does not follow the policy", Screen.Bad), ($": {rules.Reason}", Screen.Plain));
        }

        if (!rules.Counted)
        {
            screen.Line(("hits are not counted", Screen.Warning),
                (": metrics.rule_hits names neither the vNIC nor a group of it, or metrics.max_rule_hits is reached",
                Screen.Plain));
        }

        foreach (Direction direction in (Direction[])[Direction.Ingress, Direction.Egress])
        {
            RankedRule[] rows = [.. rules.Rules.Where(rule => rule.Direction == direction)];
            if (rows.Length > 0)
            {
                screen.Line();
                screen.Table(
                    ["#", direction == Direction.Ingress ? "ingress" : "egress", "rule", "matches", "hits", "bytes",
                        "last hit"],
                    [.. rows.Select(Row)]);
            }
        }
    }

    private static Cell[] Row(RankedRule rule) =>
    [
        rule.Place.ToString(CultureInfo.InvariantCulture),
        rule.Policy == V1.Policy.Accept ? new Cell("accept", Screen.Good) : new Cell("drop", Screen.Bad),
        SessionText.Rule(rule.Reason, rule.Rule),
        Matches(rule),
        rule.HasPackets ? rule.Packets.ToString(CultureInfo.InvariantCulture) : "",
        rule.HasBytes ? rule.Bytes.ToString(CultureInfo.InvariantCulture) : "",
        rule.LastHit is { } last ? Count.Moment(last)
            : rule.CountedSince is { } since ? new Cell($"never since {Count.Moment(since)}", Screen.Dim) : "",
    ];

    private static string Matches(RankedRule rule)
    {
        if (rule.Definition is not { } definition)
        {
            return rule.Reason switch
            {
                "inner" => "every member",
                "default" => "everything else",
                _ => rule.Rule,
            };
        }

        string remote = definition.RemoteCase switch
        {
            Rule.RemoteOneofCase.GroupId => definition.GroupId,
            Rule.RemoteOneofCase.PrefixListId => definition.PrefixListId,
            _ => definition.Cidr,
        };
        string ports = definition.PortListId.Length > 0 && definition.PortRange.Length == 0 ? definition.PortListId
            : definition.PortRange is "-1/-1" or "1/65535" ? "" : definition.PortRange;
        string[] parts =
        [
            definition.Protocol, ports,
            definition.SourcePortRange is "" or "-1/-1" or "1/65535" ? "" : $"from port {definition.SourcePortRange}",
            (rule.Direction == Direction.Ingress ? "from " : "to ") + remote,
            definition.OwnCidr.Length > 0 ? $"own {definition.OwnCidr}" : "",
            string.Create(CultureInfo.InvariantCulture, $"priority {definition.Priority}"),
        ];
        return string.Join(' ', parts.Where(part => part.Length > 0));
    }
}
