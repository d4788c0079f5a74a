using System.Text.RegularExpressions;

namespace Agent.Tests.Fuzz;

/// <summary>A reader of what comes from elsewhere, and what must hold whatever comes.</summary>
internal abstract partial class FuzzTarget
{
    /// <summary>Files of the corpus begin with it.</summary>
    public abstract string Name { get; }

    /// <summary>So many are tried where nobody says for how long: some ten seconds of them.</summary>
    public virtual int Inputs => 150_000;

    /// <summary>Bytes that reading may allocate, whatever the input: faults with their stacks, buffers.</summary>
    public virtual long LeastAllowance => 256 << 10;

    /// <summary>And for each byte of the input.</summary>
    public virtual long AllowancePerByte => 200;

    /// <summary>What a broken or hostile sender makes of a message.</summary>
    /// <param name="input">The message.</param>
    /// <param name="other">Another one, for parts.</param>
    /// <param name="random">Decides.</param>
    public abstract byte[] Mutate(byte[] input, byte[] other, Random random);

    /// <summary>Reads, and catches only what the reader may throw.</summary>
    /// <returns>What it came to, in words that are the same for inputs of one kind.</returns>
    /// <exception cref="FuzzException">Something that must hold does not.</exception>
    public abstract string Read(byte[] input);

    /// <summary>What takes longer, and is done with inputs that came to something new.</summary>
    public virtual void ReadDeeply(byte[] input)
    {
    }

    /// <summary>A message that speaks of lengths and names, as the kind of message that it is.</summary>
    public static string Kind(string message) => Varying().Replace(message, "#");

    [GeneratedRegex("'[^']*'|\"[^\"]*\"|-?[0-9]+")]
    private static partial Regex Varying();
}

/// <summary>Something that must hold of a reader does not.</summary>
internal sealed class FuzzException(string message) : Exception(message)
{
    public static void Unless(bool holds, string what)
    {
        if (!holds)
        {
            throw new FuzzException(what);
        }
    }
}
