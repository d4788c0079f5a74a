namespace Agent.Fleet.Agents;

/// <summary>An agent of the fleet, as the measurement sees it.</summary>
internal interface IFleetAgent
{
    /// <summary>Where it listens.</summary>
    string Socket { get; }

    /// <summary>Ends when a revision, or a newer one, is enforced.</summary>
    Task EnforcedAsync(ulong revision, CancellationToken cancel);
}
