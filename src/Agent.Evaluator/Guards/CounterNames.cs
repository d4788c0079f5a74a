namespace Agent.Evaluator.Guards;

/// <summary>Names of objects that carry an interface's name.</summary>
internal static class CounterNames
{
    /// <summary>
    /// Whether it stands for the interface: its name, or, if nft's grammar would not take that, a hash of it.
    /// </summary>
    public static bool IsOf(string interfaceName, ReadOnlySpan<char> part)
    {
        foreach (char one in interfaceName)
        {
            if (!char.IsAsciiLetterOrDigit(one) && one is not ('_' or '-' or '.'))
            {
                return part.StartsWith("x_") && !part.Contains(' ');
            }
        }

        return part.SequenceEqual(interfaceName);
    }
}
