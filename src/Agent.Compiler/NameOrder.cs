namespace Agent.Compiler;

/// <summary>Lists in the ordinal order of names, as tables have them; most come in pieces that have it already.
/// </summary>
internal static class NameOrder
{
    /// <summary>The items in order. Pieces that follow each other cost one look.</summary>
    public static T[] Of<T>(IEnumerable<T> items, Func<T, string> name)
    {
        T[] all = [.. items];
        for (int i = 1; i < all.Length; i++)
        {
            if (string.CompareOrdinal(name(all[i - 1]), name(all[i])) > 0)
            {
                return [.. all.OrderBy(name, StringComparer.Ordinal)];
            }
        }

        return all;
    }

    /// <summary>Two lists that have the order as one that has it.</summary>
    public static T[] Merge<T>(IReadOnlyList<T> few, IReadOnlyList<T> many, Func<T, string> name)
    {
        var all = new T[few.Count + many.Count];
        int next = 0;
        int at = 0;
        foreach (T one in many)
        {
            while (next < few.Count && string.CompareOrdinal(name(few[next]), name(one)) < 0)
            {
                all[at++] = few[next++];
            }

            all[at++] = one;
        }

        while (next < few.Count)
        {
            all[at++] = few[next++];
        }

        return all;
    }
}
