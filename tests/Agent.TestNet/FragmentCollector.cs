namespace Agent.TestNet;

/// <summary>Watches for a datagram that may arrive whole, or in fragments cut anew on the way.</summary>
/// <remarks>Forwarding may give fragments a new identification, so that they are known by their bytes.</remarks>
internal sealed class FragmentCollector(ReceivedPacket whole)
{
    private readonly bool[] arrived = new bool[whole.Transport.Length];

    internal bool IsCompleteWith(ReceivedPacket seen)
    {
        int end = seen.FragmentOffset + seen.Transport.Length;
        if (seen.Protocol != whole.Protocol
            || !seen.Source.Equals(whole.Source)
            || !seen.Destination.Equals(whole.Destination)
            || end > arrived.Length
            || !seen.Transport.Span.SequenceEqual(whole.Transport.Span[seen.FragmentOffset..end]))
        {
            return false;
        }

        arrived.AsSpan(seen.FragmentOffset, seen.Transport.Length).Fill(true);
        return Array.TrueForAll(arrived, a => a);
    }
}
