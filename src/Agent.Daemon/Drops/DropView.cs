using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Policy;

namespace Agent.Daemon.Drops;

/// <summary>What a ruleset in the kernel, and the devices, have to say about a reported packet.</summary>
/// <param name="Enforced">The ruleset.</param>
/// <param name="Until">When another one took its place; null: it is in force.</param>
internal sealed record DropView(CompiledRuleset Enforced, DateTimeOffset? Until)
{
    private readonly ImmutableDictionary<string, Vnic> vnics = Enforced.Request.Policy.Vnics.Values
        .ToImmutableDictionary(vnic => vnic.InterfaceName, StringComparer.Ordinal);

    public Vnic? VnicAt(string device) => vnics.GetValueOrDefault(device);

    /// <returns>The rule; empty: none decides such packets; null: this ruleset does not know it.</returns>
    public string? RuleOf(Vnic vnic, RecordPrefix prefix, uint mark, PacketHeaders packet)
    {
        string profile = CompiledRuleset.ProfileOf(vnic);
        Direction opened = prefix.From ? Direction.Egress : Direction.Ingress;
        switch (prefix.Reason)
        {
            case "rule":
                return Enforced.RuleOf(profile, opened, mark);
            case "default":
                return "default";
            case RecordPrefix.Accepted when prefix.From && packet.IsDhcpRequest:
                return "";
            case RecordPrefix.Accepted:
                return CompiledRuleset.IsDecided(mark) ? Enforced.RuleOf(profile, opened, mark) : "default";
            case "stale" when !prefix.IsJudged || packet.IsIcmpError:
                return "";
            case "stale":
                // A reply, judged as its session was opened: the other way round.
                Direction answered = prefix.From ? Direction.Ingress : Direction.Egress;
                return CompiledRuleset.IsDecided(mark) ? Enforced.RuleOf(profile, answered, mark) : "default";
            default:
                return "";
        }
    }
}
