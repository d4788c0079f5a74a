namespace Agent.Daemon.Ownership;

/// <summary>Who sends a change, and by what right.</summary>
/// <param name="Controller">As its control plane names it; empty: nobody in particular.</param>
/// <param name="Term">Of the control plane's election, at most <see cref="Lease.TermMax"/>; 0: it takes part in none.
/// </param>
internal sealed record Claim(string Controller, ulong Term)
{
    /// <summary>Somebody who takes part in no election.</summary>
    public static readonly Claim None = new("", 0);

    /// <summary>Wants the next term, if nobody else holds the lease.</summary>
    public bool Acquires { get; init; }

    /// <summary>Writes whoever holds the lease.</summary>
    public bool Overrides { get; init; }

    /// <summary>Whom the connection shows, for the log.</summary>
    public string Caller { get; init; } = "";
}
