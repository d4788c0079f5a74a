namespace Agent.Daemon.Config;

/// <summary>What a step may remove before somebody has to confirm it.</summary>
internal sealed record MassChangeConfig
{
    /// <summary>Percent of the vNICs, groups or members; of none may go more. 100: all may.</summary>
    public int RemovalPercent { get; init; } = 50;

    /// <summary>To remove fewer of a kind is no mass change, whatever their share.</summary>
    public int Floor { get; init; } = 10;
}
