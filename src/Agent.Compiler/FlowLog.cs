using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Which sessions that a vNIC admits are reported: all, or those that some rules admit.</summary>
/// <param name="Group">nflog group.</param>
/// <param name="Rate">Records a second, per vNIC and direction.</param>
/// <param name="Sent">Decisions of the egress rules that are reported; default: every one.</param>
/// <param name="Received">Likewise of the ingress rules.</param>
internal sealed record FlowLog(ushort Group, uint Rate, ImmutableArray<uint> Sent, ImmutableArray<uint> Received)
{
    /// <returns>Null: none are reported.</returns>
    public static FlowLog? Of(Vnic vnic, CompiledProfile? profile, CompilerSettings settings, bool canLog)
    {
        if (!canLog || settings.FlowRate == 0)
        {
            return null;
        }

        if (settings.FlowVnics.Contains(vnic.Id, StringComparer.Ordinal)
            || settings.FlowVnics.Contains("*", StringComparer.Ordinal))
        {
            return new FlowLog(settings.LogGroup, settings.FlowRate, default, default);
        }

        if (settings.FlowRules.IsEmpty || profile is null)
        {
            return null;
        }

        var flows = new FlowLog(
            settings.LogGroup, settings.FlowRate, Numbers(profile.Egress), Numbers(profile.Ingress));
        return flows.Sent.IsEmpty && flows.Received.IsEmpty ? null : flows;

        ImmutableArray<uint> Numbers(PolicyProgram program) => [.. program.RuleKeys
            .Where(rule => settings.FlowRules.Contains(rule.Value, StringComparer.Ordinal))
            .Select(rule => Decision.Of(Verdict.Accept, rule.Key)).Order()];
    }

    /// <param name="from">For what the guest sends.</param>
    /// <param name="opens">Which packets open a session.</param>
    public IEnumerable<NftRule> Rules(bool from, IReadOnlyList<NftExpr> opens)
    {
        ImmutableArray<uint> decisions = from ? Sent : Received;
        var prefix = new RecordPrefix(from, RecordPrefix.Accepted);
        NftExpr[] limit = [new NftExpr.Limit(Rate, UnitSeconds: 1, 2 * Rate, NftLimitType.Packets, Over: false)];
        return decisions.IsDefault
            ? [Exprs.Rule(opens, limit, DropLog.Log(Group, prefix))]
            : decisions.Select(decision =>
                Exprs.Rule(opens, Exprs.MarkIs(decision), limit, DropLog.Log(Group, prefix)));
    }
}
