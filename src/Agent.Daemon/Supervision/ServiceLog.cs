namespace Agent.Daemon.Supervision;

/// <summary>Events of the service and its configuration: 800 to 819 of the catalogue.</summary>
internal static partial class ServiceLog
{
    [LoggerMessage(800, LogLevel.Information, "the configuration was read again; {Count} settings changed: {Settings}")]
    public static partial void Reloaded(this ILogger log, int count, string settings);

    [LoggerMessage(801, LogLevel.Error,
        "the configuration stays as it is: what was read again has {FaultCount} faults")]
    public static partial void NotReloaded(this ILogger log, int faultCount);

    [LoggerMessage(802, LogLevel.Error, "{Fault}")]
    public static partial void FaultyConfiguration(this ILogger log, string fault);

    [LoggerMessage(803, LogLevel.Warning,
        "{Setting} is {InForce} until a restart; the configuration says {Pending} now")]
    public static partial void RestartNeeded(this ILogger log, string setting, string inForce, string pending);

    [LoggerMessage(804, LogLevel.Error,
        "the loop is stuck at {Step}, for {Seconds:0} s: the service manager is not told that the daemon is alive")]
    public static partial void LoopStuck(this ILogger log, string step, double seconds);

    [LoggerMessage(805, LogLevel.Information, "{Listener} listens on {Path}, which the service manager opened")]
    public static partial void SocketTaken(this ILogger log, string listener, string path);

    [LoggerMessage(806, LogLevel.Warning, "a socket of the service manager is not used: {Reason}")]
    public static partial void SocketUnused(this ILogger log, string reason);

    [LoggerMessage(807, LogLevel.Error, "{Path} is open to its owner alone: {Reason}")]
    public static partial void SocketClosed(this ILogger log, string path, string reason);

    [LoggerMessage(808, LogLevel.Warning,
        "{Count} calls were ended: their clients may not make them any more by the configuration")]
    public static partial void CallsEnded(this ILogger log, int count);
}
