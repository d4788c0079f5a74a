using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Google.Protobuf;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 10. The control plane flaps, is half open, sends a part: the rest is taken for empty, or for ever.
/// </summary>
public sealed class TornStreamTests : IAsyncLifetime
{
    private DaemonLab lab = null!;
    private Flood allowed = null!;
    private Flood denied = null!;

    public async ValueTask InitializeAsync()
    {
        lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        denied = DaemonLab.StartFlood(lab.E3, lab.E2, 500, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 50);
    }

    public async ValueTask DisposeAsync()
    {
        allowed.Dispose();
        denied.Dispose();
        await lab.DisposeAsync();
    }

    /// <summary>With an end or without one, behind each message: what was not whole is as if it had not been.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_control_plane_that_flaps_and_cuts_its_stream_at_any_message_leaves_the_last_whole_state(
        bool orderly)
    {
        int length = Messages(await lab.StateAsync()).Count;
        for (int sent = 0; sent <= length; sent++)
        {
            Snapshot before = await lab.StateAsync();
            List<SyncRequest> messages = Messages(before);
            SyncClient sync = SyncClient.Open(lab);
            await SendAsync(sync, messages.Take(sent));

            if (orderly)
            {
                await sync.FinishAsync();
            }

            sync.Cut();
            await DaemonLab.UntilAsync(
                "an end of the call", async () => await lab.MetricAsync("sg_agent_calls{kind=\"update\"}") == 0);
            await AssertWholeAsync($"cut behind {sent} of {length}", before, messages, sent);
        }

        await AssertUnnoticedAsync();
    }

    [Fact]
    public async Task A_control_plane_that_repeats_loses_or_swaps_any_message_changes_nothing_but_by_what_is_whole()
    {
        int length = Messages(await lab.StateAsync()).Count;
        foreach (string how in (string[])["twice", "never", "late"])
        {
            for (int at = 0; at < length - (how == "late" ? 1 : 0); at++)
            {
                Snapshot before = await lab.StateAsync();
                List<SyncRequest> messages = Messages(before);
                List<SyncRequest> torn = [.. messages];
                switch (how)
                {
                    case "twice":
                        torn.Insert(at, messages[at]);
                        break;
                    case "never":
                        torn.RemoveAt(at);
                        break;
                    default:
                        (torn[at], torn[at + 1]) = (torn[at + 1], torn[at]);
                        break;
                }

                SyncClient sync = SyncClient.Open(lab);
                await SendAsync(sync, torn);
                await sync.FinishAsync();
                sync.Cut();
                await AssertWholeAsync($"message {at} of {length} {how}", before, messages, length);
            }
        }

        await AssertUnnoticedAsync();
    }

    private static async Task SendAsync(SyncClient sync, IEnumerable<SyncRequest> messages)
    {
        foreach (SyncRequest message in messages)
        {
            await sync.SendAsync(message);
        }
    }

    /// <summary>A hello, a snapshot of nine parts, and two deltas behind it.</summary>
    private static List<SyncRequest> Messages(Snapshot held)
    {
        Snapshot next = Next(held);
        SnapshotEnd end = SyncClient.EndOf(next);
        end.ConfirmMassChange = true;
        return
        [
            new SyncRequest { Hello = new SyncHello { Controller = "test" } },
            new SyncRequest { SnapshotBegin = new SnapshotBegin { Revision = next.Revision } },
            .. SyncClient.ChunksOf(next, membersPerChunk: 2).Select(chunk => new SyncRequest { SnapshotChunk = chunk }),
            new SyncRequest { SnapshotEnd = end },
            new SyncRequest { Delta = Further(next.Revision) },
            new SyncRequest { Delta = Further(next.Revision + 1) },
        ];
    }

    /// <summary>Other members each time; what the floods need and are refused is in all of them.</summary>
    private static Snapshot Next(Snapshot held)
    {
        Snapshot next = DaemonLab.OneWayIn();
        next.Revision = held.Revision + 1;
        next.Groups[0].Members.AddRange(
            Enumerable.Range(0, 4).Select(i => $"10.9.{next.Revision & 255}.{i + 1}"));
        return next;
    }

    private static Delta Further(ulong at) => new()
    {
        BaseRevision = at,
        Revision = at + 1,
        Members = { new MemberChange { GroupId = "sg-a", Add = { $"10.8.{at >> 8 & 255}.{at & 255}" } } },
    };

    /// <summary>
    /// The state is the old one, the snapshot, or that with one or both deltas: nothing between; and what is held is
    /// in force and can be gone on from.
    /// </summary>
    private async Task AssertWholeAsync(string story, Snapshot before, List<SyncRequest> messages, int sent)
    {
        // What was accepted before the cut may be on its way to the kernel.
        AgentStatus status = null!;
        await DaemonLab.UntilAsync("what is desired in force", async () =>
            (status = await lab.StatusAsync()).DesiredRevision == status.AppliedRevision);
        Assert.Empty(status.Alarms);
        ulong steps = status.DesiredRevision - before.Revision;
        int whole = Math.Max(0, sent - (messages.Count - 3));
        Assert.True(steps <= (ulong)whole, $"{story}: revision {status.DesiredRevision} after {before.Revision}");
        Assert.Equal(HashAfter(before, (int)steps), status.StateHash);
        await using SyncClient again = SyncClient.Open(lab);
        Assert.Equal(status.DesiredRevision, (await again.HelloAsync()).Revision);
        Assert.Equal(
            status.DesiredRevision + 1, (await again.AcceptedAsync(Further(status.DesiredRevision))).Revision);
    }

    private static ByteString HashAfter(Snapshot before, int steps)
    {
        if (steps == 0)
        {
            return SyncClient.EndOf(before).StateHash;
        }

        Snapshot state = Next(before);
        for (int i = 1; i < steps; i++)
        {
            state.Groups[0].Members.AddRange(Further(before.Revision + (ulong)i).Members[0].Add);
        }

        return SyncClient.EndOf(state).StateHash;
    }

    private async Task AssertUnnoticedAsync()
    {
        await allowed.StopAsync();
        await denied.StopAsync();
        Assert.Equal(0, denied.Forward.Received);
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
    }
}
