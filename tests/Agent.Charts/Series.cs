namespace Agent.Charts;

/// <summary>One line of a chart.</summary>
/// <param name="Name">As the legend has it.</param>
/// <param name="Points">Ascending by X.</param>
public sealed record Series(string Name, IReadOnlyList<(double X, double Y)> Points)
{
    /// <summary>Each value holds until the next point: no slopes, no dots.</summary>
    public bool IsStepped { get; init; }
}
