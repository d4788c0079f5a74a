using System.Runtime.InteropServices;

namespace Agent.TestNet;

/// <summary>Frames as sendmmsg(2) takes them, prepared once and sent any number of times.</summary>
/// <remarks>
/// <code>
/// struct mmsghdr, 64 bytes on 64-bit machines (linux/socket.h):
/// name 8 | namelen 4, pad 4 | iov 8 | iovlen 8 | control 8 | controllen 8 | flags 4, pad 4 | sent 4, pad 4
/// struct iovec: base 8 | length 8
/// </code>
/// </remarks>
public sealed unsafe class FrameBurst : IDisposable
{
    private const int HeaderBytes = 64;
    private const int VectorBytes = 16;
    private const int VectorPlace = 16;
    private const int VectorCountPlace = 24;

    private byte* memory;

    public FrameBurst(IReadOnlyList<byte[]> frames)
    {
        ArgumentNullException.ThrowIfNull(frames);
        Count = frames.Count;
        int headers = Count * HeaderBytes;
        int vectors = Count * VectorBytes;
        memory = (byte*)NativeMemory.AllocZeroed((nuint)(headers + vectors + frames.Sum(frame => frame.Length)));
        byte* data = memory + headers + vectors;
        for (int i = 0; i < Count; i++)
        {
            byte* vector = memory + headers + i * VectorBytes;
            *(byte**)vector = data;
            *(nuint*)(vector + 8) = (nuint)frames[i].Length;
            *(byte**)(memory + i * HeaderBytes + VectorPlace) = vector;
            *(nuint*)(memory + i * HeaderBytes + VectorCountPlace) = 1;
            frames[i].CopyTo(new Span<byte>(data, frames[i].Length));
            data += frames[i].Length;
        }
    }

    ~FrameBurst() => Free();

    /// <summary>Frames in one round.</summary>
    public int Count { get; }

    internal byte* HeaderOf(int frame) => memory + frame * HeaderBytes;

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.Free(memory);
        memory = null;
    }
}
