using System.Diagnostics;
using Agent.Compiler;
using Agent.Daemon.Counting;
using Agent.KernelTests.Daemon;
using Agent.Netlink;
using Agent.V1;

namespace Agent.KernelTests.Metrics;

/// <summary>What a scrape costs on a host of 502 vNICs with 200 rules each. Bytes are judged, times printed.</summary>
public sealed class LargeScrapeTests(ITestOutputHelper output)
{
    [Fact]
    public async Task A_reading_grows_with_the_vNICs_and_not_with_their_rules()
    {
        // A proof beside it would be measured too.
        await using DaemonLab lab = await DaemonLab.StartAsync(config => config["verify"] = "off");
        Snapshot state = LargeHostTests.Full();
        state.Revision = 1;
        await using SyncClient sync = SyncClient.Open(lab);
        SyncResponse answer = await sync.SnapshotAsync(state);
        Assert.True(answer.Accepted is not null, $"{answer.Refused}");
        await lab.SettledAsync();

        using KernelCounts counts = lab.Network.Host.Run(() => new KernelCounts(CompilerSettings.Default));
        (long bytes, long allocated, double ms) = (0, 0, 0);
        for (int i = 0; i < 3; i++) // the first ones warm up
        {
            long received = NetlinkTally.ReceivedBytes;
            long began = Stopwatch.GetTimestamp();
            (RawCounts raw, long took) = lab.Network.Host.Run(() =>
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                RawCounts read = counts.Read();
                return (read, GC.GetAllocatedBytesForCurrentThread() - before);
            });
            (bytes, allocated) = (NetlinkTally.ReceivedBytes - received, took);
            ms = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
            Assert.Equal(((16 + 9) * 502) + 4, raw.Objects.Count);
            Assert.Empty(raw.Hits);
        }

        int vnics = state.Vnics.Count;
        output.WriteLine($"{vnics} vNICs: {bytes} netlink bytes, {allocated} bytes allocated, {ms:0.0} ms a reading");
        await Task.Delay(TimeSpan.FromSeconds(1.1), TestContext.Current.CancellationToken);
        using Process daemon = Process.GetProcessById(lab.Daemon.ProcessId);
        for (int i = 0; i < 6; i++)
        {
            daemon.Refresh();
            TimeSpan computed = daemon.TotalProcessorTime;
            long began = Stopwatch.GetTimestamp();
            string page = await lab.Daemon.ReadPageAsync();
            double took = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
            daemon.Refresh();
            output.WriteLine($"scrape: {page.Length} bytes in {took:0} ms, of which the daemon computed "
                + $"{(daemon.TotalProcessorTime - computed).TotalMilliseconds:0} ms");
            await Task.Delay(TimeSpan.FromSeconds(1.1), TestContext.Current.CancellationToken);
        }

        Assert.InRange(bytes, 1, vnics * 3_200L);
        Assert.InRange(allocated, 1, vnics * 8_000L);
    }
}
