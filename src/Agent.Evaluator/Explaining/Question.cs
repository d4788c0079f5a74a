using Agent.Policy;
using Agent.V1;

namespace Agent.Evaluator.Explaining;

/// <summary>One packet at one vNIC, as it travels.</summary>
/// <param name="Vnic">Of the policy.</param>
/// <param name="Direction">How the packet travels.</param>
/// <param name="Packet">As it travels.</param>
/// <param name="State">Where it stands in a session; never unspecified.</param>
internal sealed record Question(Policy.Vnic Vnic, Policy.Direction Direction, PacketTuple Packet, SessionState State)
{
    private bool IsReply => State == SessionState.Reply;

    /// <summary>The direction that opened the session.</summary>
    public Policy.Direction SessionDirection => !IsReply ? Direction
        : Direction == Policy.Direction.Ingress ? Policy.Direction.Egress : Policy.Direction.Ingress;

    /// <summary>The packet that opened the session, or one like it.</summary>
    public PacketTuple SessionPacket => IsReply ? Packet.Reversed : Packet;

    /// <summary>The session's conntrack entry, not admitted under the live epoch: so the rules are asked.</summary>
    public CtInput Ct => new(State == SessionState.New ? CtState.New : CtState.Established, IsReply);

    /// <summary>Reads a request against a policy.</summary>
    /// <param name="policy">Where the vNIC must be.</param>
    /// <param name="request">As it came.</param>
    /// <param name="refusal">Set where the question is none.</param>
    public static Question? Read(PolicySnapshot policy, ExplainRequest request, out ExplainAnswer? refusal)
    {
        PastedPacket? pasted = null;
        string fault = "";
        if (request.Pasted.Length > 0)
        {
            pasted = PacketText.Read(request.Pasted, out fault);
        }

        bool tells = pasted is not null && request.Vnic.Length == 0;
        Policy.Vnic? from = tells ? Find(policy, pasted!.Value.In) : null;
        Policy.Vnic? to = tells ? Find(policy, pasted!.Value.Out) : null;
        Policy.Vnic? vnic = request.Vnic.Length > 0 ? Find(policy, request.Vnic)
            : request.Direction == V1.Direction.Egress ? from
            : request.Direction == V1.Direction.Ingress ? to : from ?? to;
        if (request.Pasted.Length > 0 && pasted is null)
        {
            refusal = new ExplainAnswer.Invalid($"pasted: {fault}");
        }
        else if (from is not null && to is not null && request.Direction == V1.Direction.Unspecified)
        {
            refusal = new ExplainAnswer.Invalid(
                $"direction: the line names two vNICs; ask {from.Id} egress, or {to.Id} ingress");
        }
        else if (vnic is null)
        {
            refusal = request.Vnic.Length > 0
                ? new ExplainAnswer.UnknownVnic($"no vNIC '{request.Vnic}' in the policy")
                : new ExplainAnswer.UnknownVnic("the line names no interface of a vNIC (IN=, OUT=); name the vNIC");
        }
        else
        {
            return Read(vnic, from, pasted, request, out refusal);
        }

        return null;
    }

    private static Question? Read(
        Policy.Vnic vnic, Policy.Vnic? from, PastedPacket? pasted, ExplainRequest request, out ExplainAnswer? refusal)
    {
        Policy.Direction? direction = request.Direction switch
        {
            V1.Direction.Ingress => Policy.Direction.Ingress,
            V1.Direction.Egress => Policy.Direction.Egress,
            V1.Direction.Unspecified when pasted is { } line => vnic == from || vnic.InterfaceName == line.In
                ? Policy.Direction.Egress : vnic.InterfaceName == line.Out || request.Vnic.Length == 0
                ? Policy.Direction.Ingress : null,
            _ => null,
        };
        if (direction is not { } known)
        {
            refusal = new ExplainAnswer.Invalid("direction: set ingress or egress");
            return null;
        }

        PacketTuple packet = pasted?.Packet ?? default;
        string? fault = pasted is null ? Read(request.Packet, out packet) : null;
        refusal = fault is null ? null : new ExplainAnswer.Invalid($"packet: {fault}");
        return fault is not null ? null : new Question(vnic, known, packet,
            request.Session is SessionState.Established or SessionState.Reply ? request.Session : SessionState.New);
    }

    private static Policy.Vnic? Find(PolicySnapshot policy, string name) =>
        name.Length == 0 ? null : policy.FindVnic(name);

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

        if (PacketText.ProtocolOf(packet.Protocol) is not byte protocol)
        {
            return $"'{packet.Protocol}' is not a protocol";
        }

        bool ports = IpProtocol.HasPorts(protocol);
        tuple = new PacketTuple(source.Family, source.Bits, destination.Bits, protocol,
            ports ? (ushort)packet.SourcePort : (ushort)0, ports ? (ushort)packet.DestinationPort : (ushort)0);
        return null;
    }
}
