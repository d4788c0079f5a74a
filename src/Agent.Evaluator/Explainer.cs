using Agent.Contract;
using Agent.Evaluator.Explaining;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Wording;
using Agent.Policy;
using Agent.V1;

namespace Agent.Evaluator;

/// <summary>What became of a question.</summary>
public abstract record ExplainAnswer
{
    private ExplainAnswer()
    {
    }

    public sealed record Explained(ExplainResponse Response) : ExplainAnswer;

    /// <summary>The policy has no such vNIC.</summary>
    public sealed record UnknownVnic(string Message) : ExplainAnswer;

    /// <summary>The question itself is not one.</summary>
    public sealed record Invalid(string Message) : ExplainAnswer;
}

/// <summary>
/// Answers "would this packet pass, which rule decides, what would change that, and which rule of the kernel carries
/// it?"
/// </summary>
public static class Explainer
{
    /// <param name="policy">What is enforced, or would be.</param>
    /// <param name="settings">Likewise.</param>
    /// <param name="request">The question.</param>
    /// <param name="kernel">The program for the policy; null: the answer has no part about the kernel.</param>
    public static ExplainAnswer Explain(
        PolicySnapshot policy, PolicySettings settings, ExplainRequest request, KernelView? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(request);
        Question? question = Question.Read(policy, request, out ExplainAnswer? refusal);
        return question is null ? refusal!
            : new ExplainAnswer.Explained(Answer(new PolicyOracle(policy, settings), question, kernel));
    }

    private static ExplainResponse Answer(PolicyOracle oracle, Question question, KernelView? kernel)
    {
        PolicyVerdict verdict = Judge(oracle, question);
        var response = new ExplainResponse
        {
            Verdict = SnapshotWriter.PolicyOf(verdict.Verdict),
            Reason = ReasonOf(verdict.Reason),
            Rule = RuleOf(verdict),
            VnicId = question.Vnic.Id,
            Direction = SnapshotWriter.DirectionOf(question.Direction),
            Packet = Message(question.Packet),
            JudgedAs = question.State != SessionState.Reply ? ""
                : $"{WordOf(question.SessionDirection)} {question.SessionPacket}",
        };
        response.Considered.AddRange(verdict.Considered.Select(
            considered => $"{considered.GroupId}/{considered.Rule.Id}: {WordsOf(considered.Why)}"));
        if (verdict.Reason is VerdictReason.Spoof or VerdictReason.NotOwnAddress)
        {
            response.Flips.AddRange(FlipsOfCheck(oracle, question));
        }
        else
        {
            var flips = new Flips(oracle, question.Vnic, question.SessionDirection, question.SessionPacket);
            PolicyForm form = flips.Form;
            response.Around = Around.Of(form, question.SessionPacket,
                PolicyOracle.OwnAddressesOf(question.Vnic, form.Family), NamesFor(oracle, form));
            response.Flips.AddRange(flips.All());
        }

        response.Kernel = kernel is null ? null : KernelRun.Follow(
            kernel, oracle.Snapshot, question.Vnic, question.Direction, question.Packet, question.Ct);
        return response;
    }

    // A session is judged by the packet that opened it; whose addresses a packet has is asked of each.
    private static PolicyVerdict Judge(PolicyOracle oracle, Question question)
    {
        PolicyVerdict verdict = oracle.Judge(question.Vnic, question.Direction, question.Packet);
        return verdict.Reason is VerdictReason.Spoof or VerdictReason.NotOwnAddress
            || question.State != SessionState.Reply
            ? verdict : oracle.JudgeSession(question.Vnic, question.SessionDirection, question.SessionPacket);
    }

    private static IEnumerable<Flip> FlipsOfCheck(PolicyOracle oracle, Question question)
    {
        Policy.Vnic vnic = question.Vnic;
        PacketTuple packet = question.Packet;
        IpPrefix own = IpPrefix.Host(packet.Family, packet.Own(question.Direction));
        foreach ((string change, Policy.Vnic changed) in ((string, Policy.Vnic)[])
        [
            ($"if {own} were an address of {vnic.Id}", vnic with { Addresses = [.. vnic.Addresses, own] }),
            ($"{vnic.Id} without source/destination check", vnic with { SourceDestinationCheck = false }),
        ])
        {
            var after = new PolicyOracle(
                oracle.Snapshot with { Vnics = oracle.Snapshot.Vnics.SetItem(vnic.Id, changed) }, oracle.Settings);
            PolicyVerdict verdict = Judge(after, question with { Vnic = changed });
            if (verdict.Accepted)
            {
                string rule = RuleOf(verdict);
                yield return new Flip
                {
                    Change = change,
                    Verdict = V1.Policy.Accept,
                    DecidedBy = verdict.Reason == VerdictReason.Rule ? rule
                        : verdict.Reason == VerdictReason.Inner ? $"inner {rule}" : ReasonOf(verdict.Reason),
                };
            }
        }
    }

    private static AddressNames NamesFor(PolicyOracle oracle, PolicyForm form) => new(form.Family, form.Rows
        .Select(row => row.Remote).Distinct().Select(remote => remote switch
        {
            RemoteSide.Group { Id: var id } => new Wording.AddressTerm(AddressTermKind.Group, id, AddressTermSide.Both,
                oracle.MembersOf(id).Of(form.Family)),
            RemoteSide.List { Id: var id } => new Wording.AddressTerm(AddressTermKind.List, id, AddressTermSide.Both,
                oracle.EntriesOf(id).Of(form.Family)),
            _ => null,
        }).OfType<Wording.AddressTerm>());

    private static Packet Message(PacketTuple packet) => new()
    {
        Source = IpPrefix.AddressOf(packet.Family, packet.Source).ToString(),
        Destination = IpPrefix.AddressOf(packet.Family, packet.Destination).ToString(),
        Protocol = PacketText.NameOf(packet.Protocol),
        SourcePort = packet.SourcePort,
        DestinationPort = packet.DestinationPort,
    };

    /// <summary>"group/rule", the group whose inner access decides, or nothing.</summary>
    public static string RuleOf(PolicyVerdict verdict)
    {
        ArgumentNullException.ThrowIfNull(verdict);
        return verdict.Rule is not null ? $"{verdict.GroupId}/{verdict.Rule.Id}" : verdict.GroupId ?? "";
    }

    private static string WordOf(Policy.Direction direction) =>
        direction == Policy.Direction.Ingress ? "ingress" : "egress";

    /// <summary>The reason's name in answers.</summary>
    public static string ReasonOf(VerdictReason reason) => reason switch
    {
        VerdictReason.Spoof => "spoof",
        VerdictReason.NotOwnAddress => "not-own-address",
        VerdictReason.PlatformBlock => "platform",
        VerdictReason.Metadata => "metadata",
        VerdictReason.TrustedMark => "trusted-mark",
        VerdictReason.Inner => "inner",
        VerdictReason.Rule => "rule",
        VerdictReason.Default => "default",
        _ => "no-policy",
    };

    private static string WordsOf(Mismatch why) => why switch
    {
        Mismatch.Family => "another address family",
        Mismatch.Protocol => "another protocol",
        Mismatch.Remote => "another remote address",
        Mismatch.DestinationPort => "another destination port",
        Mismatch.SourcePort => "another source port",
        _ => "another own address",
    };
}
