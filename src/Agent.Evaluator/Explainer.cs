using System.Globalization;
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

/// <summary>Answers "would this packet pass, and which rule decides?" from the policy alone.</summary>
public static class Explainer
{
    public static ExplainAnswer Explain(PolicySnapshot policy, PolicySettings settings, ExplainRequest request)
    {
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(request);
        Policy.Vnic? vnic =
            policy.Vnics.Values.FirstOrDefault(v => v.Id == request.Vnic || v.InterfaceName == request.Vnic);
        if (vnic is null)
        {
            return new ExplainAnswer.UnknownVnic($"no vNIC '{request.Vnic}' in the policy");
        }

        if (request.Direction is not (V1.Direction.Ingress or V1.Direction.Egress))
        {
            return new ExplainAnswer.Invalid("direction: set ingress or egress");
        }

        string? fault = Read(request.Packet, out PacketTuple packet);
        if (fault is not null)
        {
            return new ExplainAnswer.Invalid($"packet: {fault}");
        }

        Policy.Direction direction = request.Direction == V1.Direction.Ingress
            ? Policy.Direction.Ingress : Policy.Direction.Egress;
        PolicyVerdict verdict = new PolicyOracle(policy, settings).Judge(vnic, direction, packet);
        var response = new ExplainResponse
        {
            Verdict = verdict.Accepted ? V1.Policy.Accept : V1.Policy.Drop,
            Reason = ReasonOf(verdict.Reason),
            Rule = RuleOf(verdict),
        };
        response.Considered.AddRange(verdict.Considered.Select(
            considered => $"{considered.GroupId}/{considered.Rule.Id}: {WordsOf(considered.Why)}"));
        return new ExplainAnswer.Explained(response);
    }

    /// <summary>"group/rule", the group whose inner access decides, or nothing.</summary>
    public static string RuleOf(PolicyVerdict verdict)
    {
        ArgumentNullException.ThrowIfNull(verdict);
        return verdict.Rule is not null ? $"{verdict.GroupId}/{verdict.Rule.Id}" : verdict.GroupId ?? "";
    }

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

    /// <returns>What is wrong with it, or null.</returns>
    private static string? Read(Packet? packet, out PacketTuple tuple)
    {
        tuple = default;
        if (packet is null || !IpPrefix.TryParse(packet.Source, out IpPrefix source, out _) || !source.IsHost
            || !IpPrefix.TryParse(packet.Destination, out IpPrefix destination, out _) || !destination.IsHost
            || source.Family != destination.Family)
        {
            return "source and destination must be two addresses of one family";
        }

        if (packet.SourcePort > ushort.MaxValue || packet.DestinationPort > ushort.MaxValue)
        {
            return "ports are 0 to 65535";
        }

        if (ProtocolOf(packet.Protocol) is not byte protocol)
        {
            return $"'{packet.Protocol}' is not a protocol";
        }

        bool ports = IpProtocol.HasPorts(protocol);
        tuple = new PacketTuple(source.Family, source.Bits, destination.Bits, protocol,
            ports ? (ushort)packet.SourcePort : (ushort)0, ports ? (ushort)packet.DestinationPort : (ushort)0);
        return null;
    }

    /// <summary>A protocol by its name or number; null if it is neither.</summary>
    public static byte? ProtocolOf(string text) => text?.ToLowerInvariant() switch
    {
        null => null,
        "tcp" => IpProtocol.Tcp,
        "udp" => IpProtocol.Udp,
        "icmp" => IpProtocol.Icmp,
        "icmpv6" => IpProtocol.Icmpv6,
        "gre" => IpProtocol.Gre,
        _ => byte.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out byte number) ? number : null,
    };
}
