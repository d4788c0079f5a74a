using Agent.Contract;
using Agent.Daemon.Drops;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Direction = Agent.Policy.Direction;

namespace Agent.Daemon.Service;

/// <summary>Streams reported packets: those that are kept, then those that come.</summary>
internal sealed class DropDesk(DropHub hub)
{
    /// <exception cref="RpcException">The request is none.</exception>
    public async Task WatchAsync(
        WatchDropsRequest request, IServerStreamWriter<V1.DropRecord> to, CancellationToken cancel)
    {
        Func<Drops.DropRecord, bool> fits = DropChoice.Of(request);
        (DropHub.DropReading reading, var kept) = hub.Read(
            DropMetrics.Stream, fits, (int)Math.Min(request.Last, int.MaxValue));
        using (reading)
        {
            foreach (Drops.DropRecord record in kept)
            {
                await to.WriteAsync(DropMessages.Of(record, lostBefore: 0), cancel).ConfigureAwait(false);
            }

            if (!request.Follow)
            {
                return;
            }

            await foreach ((Drops.DropRecord record, long lost) in
                reading.Records.ReadAllAsync(cancel).ConfigureAwait(false))
            {
                await to.WriteAsync(DropMessages.Of(record, lost), cancel).ConfigureAwait(false);
            }
        }
    }
}

/// <summary>Which records a request asks for.</summary>
internal static class DropChoice
{
    /// <exception cref="RpcException">It says what cannot be.</exception>
    public static Func<Drops.DropRecord, bool> Of(WatchDropsRequest request)
    {
        IpPrefix? cidr = request.Cidr.Length == 0 ? null
            : IpPrefix.TryParse(request.Cidr, out IpPrefix prefix, out _) ? prefix
            : throw Wrong($"'{request.Cidr}' is not an address or a prefix");
        ushort? port = request.Port switch
        {
            0 => null,
            <= ushort.MaxValue => (ushort)request.Port,
            _ => throw Wrong($"{request.Port} is not a port"),
        };
        Direction? direction = request.Direction switch
        {
            V1.Direction.Ingress => Direction.Ingress,
            V1.Direction.Egress => Direction.Egress,
            _ => null,
        };
        (string vnic, string reason, V1.Policy verdict) = (request.Vnic, request.Reason, request.Verdict);
        return record =>
            (vnic.Length == 0 || record.VnicId == vnic || record.Interface == vnic)
            && (reason.Length == 0 || record.Reason == reason)
            && (direction is null || record.Direction == direction)
            && (verdict == V1.Policy.Unspecified || record.IsAccepted == (verdict == V1.Policy.Accept))
            && (port is null || record.Packet.SourcePort == port || record.Packet.DestinationPort == port)
            && (cidr is not { } within || IsIn(within, record.Packet.Source)
                || IsIn(within, record.Packet.Destination));
    }

    private static bool IsIn(IpPrefix prefix, System.Net.IPAddress? address) =>
        address is not null && prefix.Contains(IpPrefix.Host(address));

    private static RpcException Wrong(string what) => new(new Status(StatusCode.InvalidArgument, what));
}

/// <summary>Reported packets as messages.</summary>
internal static class DropMessages
{
    public static V1.DropRecord Of(Drops.DropRecord record, long lostBefore)
    {
        PacketHeaders packet = record.Packet;
        var message = new V1.DropRecord
        {
            Time = Timestamp.FromDateTimeOffset(record.Time),
            VnicId = record.VnicId,
            InterfaceName = record.Interface,
            Direction = SnapshotWriter.DirectionOf(record.Direction),
            Verdict = record.IsAccepted ? V1.Policy.Accept : V1.Policy.Drop,
            Reason = record.Reason,
            Rule = record.Rule,
            Packet = new V1.Packet
            {
                Protocol = DropJson.ProtocolOf(packet),
                Source = packet.Source?.ToString() ?? "",
                Destination = packet.Destination?.ToString() ?? "",
                SourcePort = packet.SourcePort ?? 0u,
                DestinationPort = packet.DestinationPort ?? 0u,
            },
            TcpFlags = packet.TcpFlags is byte flags ? DropJson.FlagsOf(flags) : "",
            LengthBytes = (uint)packet.LengthBytes,
            LaterFragment = packet.IsLaterFragment,
            EtherType = packet.EtherType,
            VlanId = record.VlanId ?? 0u,
            GuestMac = record.GuestMac?.ToString() ?? "",
            LostBefore = (ulong)lostBefore,
        };
        if (packet.IcmpType is byte type && packet.IcmpCode is byte code)
        {
            (message.IcmpType, message.IcmpCode) = (type, code);
        }

        return message;
    }
}
