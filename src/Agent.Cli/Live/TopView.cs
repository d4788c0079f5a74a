using Agent.V1;

namespace Agent.Cli.Live;

/// <summary>What comes first.</summary>
internal enum TopSort
{
    /// <summary>Bits a second, both directions together.</summary>
    Bits,

    /// <summary>Packets a second.</summary>
    Packets,

    /// <summary>vNICs by dropped packets a second.</summary>
    Drops,

    /// <summary>vNICs by new sessions a second, then by sessions.</summary>
    Sessions,

    /// <summary>Sessions by their bytes since they began.</summary>
    Bytes,
}

/// <summary>What a person at the live view has chosen.</summary>
internal sealed record TopView
{
    private const int PageRows = 10;

    public TopSort Sort { get; init; }

    /// <summary>vNIC id; null: the first of the list, whichever that is.</summary>
    public string? Chosen { get; init; }

    /// <summary>Only the chosen vNIC is shown.</summary>
    public bool IsInside { get; init; }

    /// <summary>What is shown stays.</summary>
    public bool IsPaused { get; init; }

    /// <summary>Which sessions the agent is asked for.</summary>
    public TopOrder Order => Sort switch
    {
        TopSort.Packets => TopOrder.Packets,
        TopSort.Bytes => TopOrder.Bytes,
        _ => TopOrder.Bits,
    };

    /// <param name="key">What was pressed.</param>
    /// <param name="rows">vNIC ids as they are listed.</param>
    /// <returns>Null: enough.</returns>
    public TopView? Press(ConsoleKeyInfo key, IReadOnlyList<string> rows) => (key.Key, key.KeyChar) switch
    {
        (_, 'q' or 'Q') => null,
        (_, 's' or 'S') => this with { Sort = (TopSort)(((int)Sort + 1) % Enum.GetValues<TopSort>().Length) },
        (_, 'p' or 'P' or ' ') => this with { IsPaused = !IsPaused },
        (ConsoleKey.UpArrow, _) or (_, 'k') => Move(-1, rows),
        (ConsoleKey.DownArrow, _) or (_, 'j') => Move(1, rows),
        (ConsoleKey.PageUp, _) => Move(-PageRows, rows),
        (ConsoleKey.PageDown, _) => Move(PageRows, rows),
        (ConsoleKey.Home, _) => Move(-rows.Count, rows),
        (ConsoleKey.End, _) => Move(rows.Count, rows),
        (ConsoleKey.Enter or ConsoleKey.RightArrow, _) when rows.Count > 0 =>
            this with { IsInside = true, Chosen = Chosen ?? rows[0] },
        (ConsoleKey.Escape or ConsoleKey.LeftArrow or ConsoleKey.Backspace, _) => this with { IsInside = false },
        _ => this,
    };

    /// <summary>The place of the chosen vNIC in the list; the first if it is not there.</summary>
    public int PlaceIn(IReadOnlyList<string> rows)
    {
        for (int i = 0; i < rows.Count; i++)
        {
            if (rows[i] == Chosen)
            {
                return i;
            }
        }

        return 0;
    }

    private TopView Move(int by, IReadOnlyList<string> rows) => rows.Count == 0 ? this
        : this with { Chosen = rows[Math.Clamp(PlaceIn(rows) + by, 0, rows.Count - 1)] };
}
