namespace Agent.Contract;

/// <summary>Finds what was probably meant.</summary>
public static class Spelling
{
    /// <summary>The nearest word, if it is near enough to be worth a question.</summary>
    public static string? Nearest(string word, IEnumerable<string> known)
    {
        ArgumentNullException.ThrowIfNull(word);
        string plain = Plain(word);
        (string Word, int Distance) best = known
            .Select(candidate => (candidate, Distance(plain, Plain(candidate))))
            .DefaultIfEmpty(("", int.MaxValue))
            .MinBy(pair => pair.Item2);
        return best.Distance <= Math.Max(1, word.Length / 3) ? best.Word : null;
    }

    private static string Plain(string word) =>
        word.Length > 64 ? word[..64] : word.Replace("_", "", StringComparison.Ordinal).ToLowerInvariant();

    /// <summary>Levenshtein's: insertions, removals and exchanges that turn one into the other.</summary>
    private static int Distance(string from, string to)
    {
        int[] row = [.. Enumerable.Range(0, to.Length + 1)];
        for (int i = 1; i <= from.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= to.Length; j++)
            {
                int exchange = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(exchange, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[^1];
    }
}
