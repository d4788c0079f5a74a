namespace Agent.Nftables;

/// <summary>
/// Two lists in the order of names, side by side: what is only in one of them, and what is another object of the same
/// name. Thousands are the same objects and cost one look each.
/// </summary>
internal sealed class ByName<T>
    where T : class
{
    /// <param name="before">In any order; in that of names it costs less.</param>
    /// <param name="after">Likewise.</param>
    /// <param name="name">Of one.</param>
    public ByName(ValueArray<T> before, ValueArray<T> after, Func<T, string> name)
    {
        if (before.Items == after.Items)
        {
            return;
        }

        ReadOnlySpan<T> old = Sorted(before, name);
        ReadOnlySpan<T> fresh = Sorted(after, name);
        int i = 0;
        int j = 0;
        while (i < old.Length || j < fresh.Length)
        {
            if (i < old.Length && j < fresh.Length && ReferenceEquals(old[i], fresh[j]))
            {
                (i, j) = (i + 1, j + 1);
                continue;
            }

            int order = i == old.Length ? 1 : j == fresh.Length ? -1
                : string.CompareOrdinal(name(old[i]), name(fresh[j]));
            if (order < 0)
            {
                Gone.Add(old[i++]);
            }
            else if (order > 0)
            {
                Added.Add(fresh[j++]);
            }
            else
            {
                Others.Add((old[i++], fresh[j++]));
            }
        }
    }

    public List<T> Gone { get; } = [];

    public List<T> Added { get; } = [];

    /// <summary>Perhaps equal.</summary>
    public List<(T Old, T New)> Others { get; } = [];

    private static ReadOnlySpan<T> Sorted(ValueArray<T> items, Func<T, string> name)
    {
        ReadOnlySpan<T> all = items.Items.AsSpan();
        for (int i = 1; i < all.Length; i++)
        {
            if (string.CompareOrdinal(name(all[i - 1]), name(all[i])) > 0)
            {
                return items.OrderBy(name, StringComparer.Ordinal).ToArray();
            }
        }

        return all;
    }
}
