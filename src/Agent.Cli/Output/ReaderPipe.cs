using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Agent.Cli.Output;

/// <summary>
/// Standard output that is read by another program. When that has read enough (<c>head</c>) it is no error: what is
/// written from then on is thrown away, and whoever would write for ever learns that nobody reads.
/// </summary>
internal sealed class ReaderPipe : Stream
{
    private const int StandardOutput = 1;
    private const int BrokenPipe = 32; // errno.h EPIPE

    private readonly FileStream pipe;
    private readonly CancellationTokenSource closed = new();

    private ReaderPipe(FileStream pipe) => this.pipe = pipe;

    /// <summary>Cancelled when nobody reads any more.</summary>
    public CancellationToken Closed => closed.Token;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <returns>Null: standard output is no pipe.</returns>
    public static ReaderPipe? OfProcess()
    {
        try
        {
            var stream = new FileStream(
                new SafeFileHandle(StandardOutput, ownsHandle: false), FileAccess.Write, bufferSize: 0);

            // A file has a place for each program that writes to it, which the console keeps and we would not.
            return stream.CanSeek ? null : new ReaderPipe(stream);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null; // closed
        }
    }

    public TextWriter Writer() => new StreamWriter(this, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false))
    {
        AutoFlush = true,
        NewLine = "\n",
    };

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (closed.IsCancellationRequested)
        {
            return;
        }

        try
        {
            pipe.Write(buffer);
        }
        catch (IOException e) when (e.HResult == BrokenPipe)
        {
            closed.Cancel();
        }
    }

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        pipe.Dispose();
        closed.Dispose();
        base.Dispose(disposing);
    }
}
