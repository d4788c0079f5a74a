using Agent.Nftables;

namespace Agent.Evaluator;

/// <summary>The 64 bytes of data registers. A store fills whole words: what is behind the value is zero.</summary>
internal sealed class Registers
{
    private const int Bytes = 64;
    private const int WordBytes = 4;
    private readonly byte[] data = new byte[Bytes];
    private readonly bool[] written = new bool[Bytes / WordBytes];

    /// <summary>Forgets everything: a rule may not rely on what another one left (newer kernels refuse it).</summary>
    public void Clear() => Array.Clear(written);

    /// <returns>False if the value does not fit.</returns>
    public bool TryStore(NftReg register, ReadOnlySpan<byte> value)
    {
        int from = register.Word * WordBytes;
        int words = (value.Length + WordBytes - 1) / WordBytes;
        if (value.IsEmpty || from + words * WordBytes > Bytes)
        {
            return false;
        }

        data.AsSpan(from, words * WordBytes).Clear();
        value.CopyTo(data.AsSpan(from));
        written.AsSpan(register.Word, words).Fill(true);
        return true;
    }

    /// <returns>False if part of the bytes was never written, or lies outside.</returns>
    public bool TryLoad(NftReg register, int length, out ReadOnlySpan<byte> value)
    {
        int from = register.Word * WordBytes;
        int words = (length + WordBytes - 1) / WordBytes;
        if (length <= 0 || from + length > Bytes || written.AsSpan(register.Word, words).Contains(false))
        {
            value = default;
            return false;
        }

        value = data.AsSpan(from, length);
        return true;
    }
}
