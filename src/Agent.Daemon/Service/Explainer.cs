using System.Globalization;
using Agent.Evaluator;
using Agent.Policy;
using Agent.V1;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>Answers "would this packet pass, and which rule decides?" from the policy alone.</summary>
internal static class Explainer
{
    public static ExplainResponse Explain(PolicySnapshot policy, PolicySettings settings, ExplainRequest request)
    {
        Policy.Vnic vnic = policy.Vnics.Values.FirstOrDefault(
            v => v.Id == request.Vnic || v.InterfaceName == request.Vnic)
            ?? throw new RpcException(new Status(StatusCode.NotFound, $"no vNIC '{request.Vnic}' in the policy"));
        Policy.Direction direction = request.Direction switch
        {
            V1.Direction.Ingress => Policy.Direction.Ingress,
            V1.Direction.Egress => Policy.Direction.Egress,
            _ => throw Invalid("direction: set ingress or egress"),
        };
        PolicyVerdict verdict = new PolicyOracle(policy, settings).Judge(vnic, direction, TupleOf(request.Packet));
        var response = new ExplainResponse
        {
            Verdict = verdict.Accepted ? V1.Policy.Accept : V1.Policy.Drop,
            Reason = ReasonOf(verdict.Reason),
            Rule = RuleOf(verdict),
        };
        response.Considered.AddRange(verdict.Considered.Select(
            considered => $"{considered.GroupId}/{considered.Rule.Id}: {WordsOf(considered.Why)}"));
        return response;
    }

    private static string RuleOf(PolicyVerdict verdict) =>
        verdict.Rule is not null ? $"{verdict.GroupId}/{verdict.Rule.Id}" : verdict.GroupId ?? "";

    private static string ReasonOf(VerdictReason reason) => reason switch
    {
        VerdictReason.Spoof => "spoof",
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

    private static PacketTuple TupleOf(Packet? packet)
    {
        if (packet is null || !IpPrefix.TryParse(packet.Source, out IpPrefix source, out _) || !source.IsHost
            || !IpPrefix.TryParse(packet.Destination, out IpPrefix destination, out _) || !destination.IsHost
            || source.Family != destination.Family)
        {
            throw Invalid("packet: source and destination must be two addresses of one family");
        }

        if (packet.SourcePort > ushort.MaxValue || packet.DestinationPort > ushort.MaxValue)
        {
            throw Invalid("packet: ports are 0 to 65535");
        }

        byte protocol = ProtocolOf(packet.Protocol);
        bool ports = Policy.IpProtocol.HasPorts(protocol);
        return new PacketTuple(source.Family, source.Bits, destination.Bits, protocol,
            ports ? (ushort)packet.SourcePort : (ushort)0, ports ? (ushort)packet.DestinationPort : (ushort)0);
    }

    private static byte ProtocolOf(string text)
    {
        byte? named = text.ToLowerInvariant() switch
        {
            "tcp" => IpProtocol.Tcp,
            "udp" => IpProtocol.Udp,
            "icmp" => IpProtocol.Icmp,
            "icmpv6" => IpProtocol.Icmpv6,
            "gre" => IpProtocol.Gre,
            _ => null,
        };
        return named ?? (byte.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out byte number)
            ? number : throw Invalid($"packet: '{text}' is not a protocol"));
    }

    private static RpcException Invalid(string message) => new(new Status(StatusCode.InvalidArgument, message));
}
