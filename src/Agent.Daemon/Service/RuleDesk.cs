using Agent.Compiler;
using Agent.Contract;
using Agent.Daemon.Counting;
using Agent.Daemon.Enforcement;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Daemon.Service;

/// <summary>Lists the rules of a vNIC as they are enforced, with their hits.</summary>
internal sealed class RuleDesk(CounterBook book)
{
    /// <summary>Reads the counters, if that was not done a moment ago.</summary>
    /// <returns>Null: no such vNIC.</returns>
    public async Task<VnicRules?> ListAsync(AgentState state, string name)
    {
        if (state.Enforced is not { } enforced || enforced.Request.Policy.FindVnic(name) is not Policy.Vnic vnic)
        {
            return null;
        }

        await book.ReadAsync().ConfigureAwait(false);
        PolicySnapshot source = enforced.PolicyBehind(CompiledRuleset.ProfileOf(vnic)) ?? enforced.Request.Policy;
        var answer = new VnicRules
        {
            VnicId = vnic.Id,
            InterfaceName = vnic.InterfaceName,
            Revision = source.Revision,
            Reason = state.Failed.GetValueOrDefault(vnic.Id) ?? "",
            Counted = enforced.CountedVnics.Contains(vnic.Id),
        };
        answer.GroupIds.AddRange(vnic.GroupIds);
        answer.Rules.AddRange(book.Show((counts, _) => enforced.RulesOf(vnic)
            .GroupBy(rule => rule.Direction)
            .SelectMany(rules => rules.Select((rule, at) => Row(vnic, rule, at + 1, source, counts)))
            .ToArray()));
        return answer;
    }

    private static V1.RankedRule Row(
        Policy.Vnic vnic, EffectiveRule rule, int place, PolicySnapshot source,
        IReadOnlyDictionary<CountKey, CountState> counts)
    {
        (string reason, string subject) = Compiler.RankedRule.Parts(rule.Key);
        var row = new V1.RankedRule
        {
            Direction = SnapshotWriter.DirectionOf(rule.Direction),
            Place = (uint)place,
            Policy = SnapshotWriter.PolicyOf(rule.Verdict),
            Reason = reason,
            Rule = subject,
        };
        if (reason == "rule" && subject.Split('/', 2) is [var group, var id])
        {
            row.Definition = source.Groups[group].Rules.Where(one => one.Id == id)
                .Select(SnapshotWriter.Rule).FirstOrDefault();
        }

        // Drops by default are counted of every vNIC.
        CountKey key = rule.Marks.IsEmpty
            ? new CountKey(vnic.Id, rule.Direction, CountKind.Drop, DropReason.Default)
            : new CountKey(vnic.Id, rule.Direction, CountKind.Rule, rule.Key);
        if (counts.TryGetValue(key, out CountState? state))
        {
            (row.Packets, row.Bytes) = (state.Total.Packets, state.Total.Bytes);
            row.LastHit = state.LastHit?.ToTimestamp();
            row.CountedSince = state.Since.ToTimestamp();
        }

        return row;
    }
}
