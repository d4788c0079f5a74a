using System.IO.Pipelines;
using Microsoft.AspNetCore.Http.Features;

namespace Agent.Daemon.Access;

/// <summary>An answer that its client must take: who leaves it unread for too long is cut off.</summary>
/// <remarks>
/// Kestrel has a least rate for connections; a stream whose client grants no window, and answers pings, waits for ever.
/// </remarks>
/// <param name="inner">Where the answer goes.</param>
/// <param name="patience">How long what was written may wait for its client.</param>
/// <param name="tired">Ends the call.</param>
internal sealed class PatientBody(IHttpResponseBodyFeature inner, TimeSpan patience, Action tired)
    : IHttpResponseBodyFeature
{
    public Stream Stream => inner.Stream;

    public PipeWriter Writer { get; } = new PatientWriter(inner.Writer, patience, tired);

    public void DisableBuffering() => inner.DisableBuffering();

    public Task StartAsync(CancellationToken cancellationToken = default) => inner.StartAsync(cancellationToken);

    public Task CompleteAsync() => inner.CompleteAsync();

    public Task SendFileAsync(
        string path, long offset, long? count, CancellationToken cancellationToken = default) =>
        inner.SendFileAsync(path, offset, count, cancellationToken);

    private sealed class PatientWriter(PipeWriter inner, TimeSpan patience, Action tired) : PipeWriter
    {
        public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => inner.UnflushedBytes;

        public override void Advance(int bytes) => inner.Advance(bytes);

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            ValueTask<FlushResult> flush = inner.FlushAsync(cancellationToken);
            return flush.IsCompleted ? flush : new ValueTask<FlushResult>(WaitAsync(flush.AsTask()));
        }

        private async Task<FlushResult> WaitAsync(Task<FlushResult> flush)
        {
            try
            {
                return await flush.WaitAsync(patience).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                tired();
                return await flush.ConfigureAwait(false);
            }
        }
    }
}
