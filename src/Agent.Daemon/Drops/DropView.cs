using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Policy;

namespace Agent.Daemon.Drops;

/// <summary>What a ruleset in the kernel, and the devices, have to say about a reported packet.</summary>
/// <param name="Enforced">The ruleset.</param>
/// <param name="Since">When it was known to be in force, by the clock that does not jump; null: always.</param>
/// <param name="Until">When another one was known to be; null: it is in force.</param>
internal sealed record DropView(CompiledRuleset Enforced, TimeSpan? Since, TimeSpan? Until)
{
    /// <summary>How long a commit takes at most, from its first rule that is in force to the news of it.</summary>
    private static readonly TimeSpan Commit = TimeSpan.FromSeconds(30);

    private readonly ImmutableDictionary<string, Vnic> vnics = Enforced.Request.Policy.Vnics.Values
        .ToImmutableDictionary(vnic => vnic.InterfaceName, StringComparer.Ordinal);

    public Vnic? VnicAt(string device) => vnics.GetValueOrDefault(device);

    /// <summary>Whether it may have been in force.</summary>
    /// <param name="time">When the packet was there.</param>
    /// <param name="slack">How far off that may be.</param>
    public bool MayHold(TimeSpan time, TimeSpan slack) =>
        !(time <= Since - Commit - slack) && !(time >= Until + slack);

    /// <summary>Whether its rules may have reported a packet: not those that do not know the device.</summary>
    public bool MayReport(string device, string reason)
    {
        Vnic? vnic = VnicAt(device);
        return reason != ClosedReason ? vnic is not null || Enforced.Request.Policy.Vpcs.Values.Any(
                vpc => vpc.UplinkInterfaces.Contains(device, StringComparer.Ordinal))
            : vnic is null || Enforced.Closed.Contains(vnic.Id) || Enforced.Request.Host.Bridge == BridgeLayer.Closed;
    }

    private const string ClosedReason = "closed";

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
            case RecordPrefix.Accepted when CompiledRuleset.IsDecided(mark):
                return Enforced.RuleOf(profile, opened, mark);
            case RecordPrefix.Accepted:
                // Rules leave a mark. Before them, a client passes to whom everybody may ask (Datapath.DhcpClient).
                return prefix.From && packet.IsDhcpRequest && mark == 0 ? "" : "default";
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
