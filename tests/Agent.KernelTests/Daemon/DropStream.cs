using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.KernelTests.Daemon;

/// <summary>A stream of records that a test waits on.</summary>
internal sealed class DropStream(AsyncServerStreamingCall<DropRecord> call) : IAsyncDisposable
{
    public static DropStream On(DaemonLab lab, string vnic = "", V1.Policy verdict = V1.Policy.Unspecified) =>
        new(lab.Client.WatchDrops(new WatchDropsRequest
        {
            Follow = true,
            Last = 1000,
            Vnic = vnic,
            Verdict = verdict,
        }));

    public Task<DropRecord> NextAsync(uint sourcePort) =>
        NextAsync(record => record.Packet.SourcePort == sourcePort);

    public async Task<DropRecord> NextAsync(Func<DropRecord, bool> fits)
    {
        using var patience = new CancellationTokenSource(Probe.PassWait * 3);
        while (await call.ResponseStream.MoveNext(patience.Token))
        {
            if (fits(call.ResponseStream.Current))
            {
                return call.ResponseStream.Current;
            }
        }

        throw new InvalidOperationException("the stream has ended");
    }

    public ValueTask DisposeAsync()
    {
        call.Dispose();
        return ValueTask.CompletedTask;
    }
}
