using Agent.Nftables;

namespace Agent.Evaluator;

/// <content>Loads from the packet.</content>
internal sealed partial class ProgramRun
{
    /// <summary>
    /// The load fails to match, and with it the rule, if the header is missing or shorter (nft_payload_eval).
    /// </summary>
    private Step Payload(NftExpr.Payload e)
    {
        PacketBytes packet = input.Packet;
        ReadOnlySpan<byte> header = e.Base switch
        {
            NftPayloadBase.LinkLayer => packet.Link.AsSpan(),
            NftPayloadBase.Network => packet.Network.AsSpan(),
            NftPayloadBase.Transport => TransportOf(packet, e),
            _ => default,
        };
        if (e.Base > NftPayloadBase.Transport)
        {
            return Unknown($"payload base {e.Base}");
        }

        // The link-layer header is followed by the network header in memory, as it is in the kernel's buffer.
        if (e.Base == NftPayloadBase.LinkLayer && !header.IsEmpty && (ulong)e.Offset + e.Length > (ulong)header.Length)
        {
            return Unknown("a load that crosses from the link layer into the network header");
        }

        return (ulong)e.Offset + e.Length > (ulong)header.Length
            ? Step.Break
            : Store(e.Dreg, header.Slice((int)e.Offset, (int)e.Length));
    }

    /// <summary>A later fragment has none. Whether a kernel knows depends on its age and on the load's width.</summary>
    /// <remarks>
    /// Older kernels load one, two and four bytes of it all the same (nft_payload_fast_eval): from behind the IPv4
    /// header, or, as the way is not followed to its end, from the IPv6 header. Both are tried.
    /// </remarks>
    private ReadOnlySpan<byte> TransportOf(PacketBytes packet, NftExpr.Payload e)
    {
        if (packet.TransportOffset < 0)
        {
            return default;
        }

        if (!packet.IsLaterFragment)
        {
            return packet.Network.AsSpan(packet.TransportOffset..);
        }

        if (e.Length is not (1 or 2 or 4) || e.Offset % e.Length != 0)
        {
            return default;
        }

        readsFragments ??= Choose() == Step.Next;
        return readsFragments == false ? default
            : packet.EtherType == EtherTypeIpv4 ? packet.Network.AsSpan(packet.TransportOffset..)
            : packet.Network.AsSpan();
    }
}
