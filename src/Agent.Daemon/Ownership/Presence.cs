namespace Agent.Daemon.Ownership;

/// <summary>Whether anybody is there who may change what is enforced.</summary>
/// <param name="Lease">Who may.</param>
/// <param name="IsHeld">Whether others are kept out.</param>
/// <param name="LeaseFor">How much longer it is held if its holder goes away now.</param>
internal sealed record Presence(Lease Lease, bool IsHeld, TimeSpan LeaseFor)
{
    /// <summary>Of whoever is connected and may write; empty: nobody, or somebody without a name.</summary>
    public string Name { get; init; } = "";

    /// <summary>Age of the stream that may write; null: there is none.</summary>
    public TimeSpan? ConnectedFor { get; init; }

    /// <summary>Since the last message of a controller; null: none yet.</summary>
    public TimeSpan? HeardBefore { get; init; }

    /// <summary>Since nobody is connected who may write; zero: somebody is.</summary>
    public TimeSpan AbsentFor { get; init; }
}
