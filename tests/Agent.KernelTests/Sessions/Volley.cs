using System.Diagnostics;
using Agent.TestNet;

namespace Agent.KernelTests.Sessions;

/// <summary>An IP packet with a name for the failure message.</summary>
internal sealed record Shot(string Name, byte[] Packet);

/// <summary>What became of a volley.</summary>
/// <param name="Arrived">Names of those that the receiver saw, in the order of sending.</param>
/// <param name="Dropped">"tap-e1 to_invalid 3": the counters that moved, by how much.</param>
internal sealed record Fate(string[] Arrived, string[] Dropped);

/// <summary>
/// Sends packets and waits until each is accounted for: seen on the receiver's wire, or counted as dropped. So a test
/// of drops need not wait for something not to happen.
/// </summary>
internal sealed class Volley(TestNetwork network, CountedDrops counters)
{
    public Task<Fate> SendAsync(NetworkEndpoint from, NetworkEndpoint to, IEnumerable<Shot> shots) => SendAsync(
        packet => from.Wire.Send(Packets.FrameOf(
            network.NextHopMac(from, ReceivedPacket.FromIp(packet).Destination), from.Mac, packet)),
        to, shots);

    /// <param name="send">Puts a whole IP packet on its way.</param>
    /// <param name="to">Whose wire is watched.</param>
    /// <param name="shots">What is sent, in this order.</param>
    /// <param name="counts">Which counters are looked at; null: all.</param>
    public async Task<Fate> SendAsync(
        Action<byte[]> send, NetworkEndpoint to, IEnumerable<Shot> shots, Func<string, bool>? counts = null)
    {
        Shot[] all = [.. shots];
        Dictionary<string, int> before = new(counters.Read());
        HashSet<int> arrived = [];
        ReceivedPacket[] sent = [.. all.Select(shot => ReceivedPacket.FromIp(shot.Packet))];
        using IDisposable watch = to.Wire.Subscribe(frame =>
        {
            if (ReceivedPacket.FromFrame(frame) is { } seen)
            {
                lock (arrived)
                {
                    arrived.UnionWith(Enumerable.Range(0, sent.Length).Where(i => Same(sent[i], seen)));
                }
            }
        });
        Array.ForEach(all, shot => send(shot.Packet));
        int[] seen = [];
        string[] dropped = await AccountAsync(before, counts ?? (_ => true), all.Length, () =>
        {
            lock (arrived)
            {
                seen = [.. arrived.Order()];
            }

            return seen.Length;
        });
        return new Fate([.. seen.Select(i => all[i].Name)], dropped);
    }

    /// <summary>Sends what nobody but a counter sees arrive, from a guest.</summary>
    /// <returns>How many passed, and which drop counters of guests' sending moved.</returns>
    public async Task<(int Passed, string[] Dropped)> CountAsync(
        Action<byte[]> send, Func<int> passed, IReadOnlyCollection<Shot> shots)
    {
        Dictionary<string, int> before = new(counters.Read());
        int first = passed();
        foreach (Shot shot in shots)
        {
            send(shot.Packet);
        }

        int last = first;
        string[] dropped = await AccountAsync(
            before, name => !name.Contains(" to_", StringComparison.Ordinal), shots.Count,
            () => (last = passed()) - first);
        return (last - first, dropped);
    }

    private async Task<string[]> AccountAsync(
        Dictionary<string, int> before, Func<string, bool> counts, int sent, Func<int> seen)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (true)
        {
            KeyValuePair<string, int>[] moved = [.. counters.Read()
                .Select(one => KeyValuePair.Create(one.Key, one.Value - before.GetValueOrDefault(one.Key)))
                .Where(one => one.Value != 0 && counts(one.Key))];
            if (seen() + moved.Sum(one => one.Value) >= sent || waited.Elapsed > Probe.PassWait)
            {
                return [.. moved.Select(one => $"{one.Key} {one.Value}")];
            }

            await Task.Delay(1);
        }
    }

    /// <summary>All of them pass, and nothing is counted.</summary>
    public async Task PassAsync(NetworkEndpoint from, NetworkEndpoint to, params Shot[] shots)
    {
        Fate fate = await SendAsync(from, to, shots);
        Assert.Equal(shots.Select(shot => shot.Name), fate.Arrived);
        Assert.Empty(fate.Dropped);
    }

    /// <summary>None passes, and this counter moves by their number, alone.</summary>
    public async Task DropAsync(NetworkEndpoint from, NetworkEndpoint to, string counter, params Shot[] shots)
    {
        Fate fate = await SendAsync(from, to, shots);
        Assert.Equal([$"{counter} {shots.Length}"], fate.Dropped);
        Assert.Empty(fate.Arrived);
    }

    private static bool Same(ReceivedPacket one, ReceivedPacket other) =>
        one.Protocol == other.Protocol && one.Source.Equals(other.Source)
        && one.Destination.Equals(other.Destination) && one.Transport.Span.SequenceEqual(other.Transport.Span);
}
