namespace Agent.Daemon.Access;

/// <summary>What a client may do; each includes the one before.</summary>
internal enum Role
{
    /// <summary>Nothing: it is known, and not named in any list.</summary>
    None,

    /// <summary>Read.</summary>
    Observer,

    /// <summary>Everything.</summary>
    Controller,
}
