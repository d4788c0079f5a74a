namespace Agent.Daemon;

/// <summary>The catalogue of events: every line that the daemon logs, with its number.</summary>
/// <remarks>
/// packaging/journal/sg-agent.catalog says what each means and what to do; a test holds the two together. A number is
/// never used for another event: journals keep it for years. 1xx: the daemon. 2xx: changes. 300 to 349: what others
/// do in the kernel, and 310 to 319 what cannot be kept. 350 to 399: packets. 4xx: the loop, the log, traces. 5xx:
/// debug. An argument has the same name in every event, because the journal finds by it.
/// </remarks>
internal static partial class Log
{
    /// <summary>A packet that was dropped; not written by a method, since a record's fields are its own.</summary>
    public static readonly EventId Dropped = new(352, nameof(Dropped));

    /// <summary>Likewise a session that was accepted.</summary>
    public static readonly EventId Accepted = new(353, nameof(Accepted));

    [LoggerMessage(100, LogLevel.Information,
        "sg-agentd {Version} on {Kernel}: revision {Revision}, {VnicCount} vNICs, ruleset {Adopted}")]
    public static partial void Started(
        this ILogger log, string version, string kernel, ulong revision, int vnicCount, string adopted);

    [LoggerMessage(101, LogLevel.Error, "{Reason}")]
    public static partial void StateDamaged(this ILogger log, string reason);

    [LoggerMessage(102, LogLevel.Information, "stopping; the kernel goes on enforcing revision {Revision}")]
    public static partial void Stopping(this ILogger log, ulong revision);

    [LoggerMessage(103, LogLevel.Error, "{Reason}")]
    public static partial void StateTooNew(this ILogger log, string reason);

    [LoggerMessage(104, LogLevel.Warning,
        "revision {Revision} takes the place of the saved state of a newer format, which was never read")]
    public static partial void NewerStateReplaced(this ILogger log, ulong revision);

    [LoggerMessage(200, LogLevel.Information,
        "revision {Revision}: {Messages} messages, {Bytes} bytes in {Transactions} transactions; "
        + "compile {CompileMs:0.0} ms, prove {ProveMs:0.0} ms, commit {CommitMs:0.0} ms, "
        + "live sessions judged again: {Revalidated}")]
    public static partial void Enforced(
        this ILogger log, ulong revision, int messages, long bytes, int transactions, double compileMs, double proveMs,
        double commitMs, bool revalidated);

    [LoggerMessage(201, LogLevel.Warning, "refused revision {Revision}: {FaultCount} faults, first: {First}")]
    public static partial void Refused(this ILogger log, ulong revision, int faultCount, string first);

    [LoggerMessage(202, LogLevel.Error, "the kernel refused {What}")]
    public static partial void KernelRefused(this ILogger log, string what);

    [LoggerMessage(203, LogLevel.Error, "revision {Revision} is not in force: {Reason}")]
    public static partial void NotEnforced(this ILogger log, ulong revision, string reason);

    [LoggerMessage(204, LogLevel.Information, "cleaning up {Count} objects is put off: the ruleset changed")]
    public static partial void CleanupPutOff(this ILogger log, int count);

    [LoggerMessage(205, LogLevel.Warning, "vNIC {Vnic} does not follow the policy: {Reason}")]
    public static partial void VnicFailed(this ILogger log, string vnic, string reason);

    [LoggerMessage(206, LogLevel.Information,
        "policy epoch {Epoch:x8} begins the other half of the circle: "
        + "sessions marked in an earlier round are unmarked")]
    public static partial void EpochHalf(this ILogger log, uint epoch);

    [LoggerMessage(207, LogLevel.Information, "trying again to enforce revision {Revision}")]
    public static partial void Retrying(this ILogger log, ulong revision);

    [LoggerMessage(208, LogLevel.Information,
        "revision {Revision}: {Judged} older sessions looked at, {Cut} cut, in {Milliseconds:0.0} ms; "
        + "all were seen: {Complete}; most by: {First}")]
    public static partial void SessionsJudged(
        this ILogger log, ulong revision, long judged, long cut, double milliseconds, bool complete, string first);

    [LoggerMessage(209, LogLevel.Warning,
        "nobody knows how many sessions the last change has cut (it has cut them): the table cannot be read: {Reason}")]
    public static partial void SessionsUnread(this ILogger log, string reason);

    [LoggerMessage(210, LogLevel.Error, "vNIC {Vnic} is not proved to get what the policy says: {Reason}")]
    public static partial void NotProved(this ILogger log, string vnic, string reason);

    [LoggerMessage(211, LogLevel.Warning,
        "revision {Revision} is held until somebody confirms it: it {What}; revision {Held} stays enforced")]
    public static partial void MassChangeHeld(this ILogger log, ulong revision, string what, ulong held);

    [LoggerMessage(212, LogLevel.Warning, "revision {Revision} is a mass change that was confirmed: {What}")]
    public static partial void MassChangeConfirmed(this ILogger log, ulong revision, string what);

    [LoggerMessage(213, LogLevel.Information, "revision {Revision}, which was held as a mass change, is forgotten")]
    public static partial void MassChangeForgotten(this ILogger log, ulong revision);

    [LoggerMessage(220, LogLevel.Information,
        "revision {Revision} is staged beside {Held}: it counts, and does nothing")]
    public static partial void Staged(this ILogger log, ulong revision, ulong held);

    [LoggerMessage(221, LogLevel.Information, "revision {Revision} is not staged any more")]
    public static partial void Unstaged(this ILogger log, ulong revision);

    [LoggerMessage(222, LogLevel.Error,
        "the table of a staged policy cannot be removed; it changes no verdict, but costs time: {Reason}")]
    public static partial void StagedRemains(this ILogger log, string reason);

    [LoggerMessage(223, LogLevel.Warning, "revision {Revision} cannot stay staged: {Reason}")]
    public static partial void NotStaged(this ILogger log, ulong revision, string reason);

    [LoggerMessage(300, LogLevel.Warning, "generation {Found} in the kernel is not ours ({Ours}): reading the ruleset")]
    public static partial void ForeignCommit(this ILogger log, uint found, uint ours);

    [LoggerMessage(
        301, LogLevel.Error, "our tables were changed by somebody else; repaired in {Milliseconds:0.0} ms. {What}")]
    public static partial void DriftRepaired(this ILogger log, double milliseconds, string what);

    [LoggerMessage(302, LogLevel.Error,
        "the kernel does not hold what was committed; repairing, first step: {Difference}")]
    public static partial void Mismatch(this ILogger log, string difference);

    [LoggerMessage(303, LogLevel.Error, "until it was repaired, vNIC {Vnic}: {Packet}")]
    public static partial void DriftedPacket(this ILogger log, string vnic, string packet);

    [LoggerMessage(304, LogLevel.Warning,
        "chain {Chain} of somebody else concerns packets that the policy admits: {Effect} {Vnic}: {Detail}")]
    public static partial void ForeignHook(this ILogger log, string chain, string effect, string vnic, string detail);

    [LoggerMessage(305, LogLevel.Warning, "what others hooked cannot be read: {Reason}")]
    public static partial void ForeignUnread(this ILogger log, string reason);

    [LoggerMessage(306, LogLevel.Warning, "counters are as they were last read: {Reason}")]
    public static partial void CountersUnread(this ILogger log, string reason);

    [LoggerMessage(307, LogLevel.Warning, "counters are not saved, and would begin again after a reboot: {Reason}")]
    public static partial void CountersUnsaved(this ILogger log, string reason);

    [LoggerMessage(308, LogLevel.Error, "until it was repaired, traffic of no vNIC: {Packet}")]
    public static partial void DriftedHostPacket(this ILogger log, string packet);

    [LoggerMessage(310, LogLevel.Error,
        "the state cannot be saved, so changes are refused; what is enforced stays: {Reason}")]
    public static partial void Unsaved(this ILogger log, string reason);

    [LoggerMessage(311, LogLevel.Information, "the state can be saved again")]
    public static partial void SavedAgain(this ILogger log);

    [LoggerMessage(320, LogLevel.Information,
        "our ruleset was not there: {Count} TCP sessions of listed VPCs are tracked from their next packets on")]
    public static partial void SessionsRetracked(this ILogger log, int count);

    [LoggerMessage(321, LogLevel.Warning,
        "our ruleset was not there, and TCP sessions of listed VPCs may be cut: {Reason}")]
    public static partial void SessionsNotRetracked(this ILogger log, string reason);

    [LoggerMessage(350, LogLevel.Warning, "dropped packets are not reported: nflog group {Group}: {Reason}")]
    public static partial void DropsUnread(this ILogger log, ushort group, string reason);

    [LoggerMessage(351, LogLevel.Warning, "records of dropped packets cannot be written to {Path}: {Reason}")]
    public static partial void DropFileUnwritable(this ILogger log, string path, string reason);

    [LoggerMessage(400, LogLevel.Error, "the loop failed at {Step}; enforcement goes on as it is")]
    public static partial void LoopFailed(this ILogger log, string step, Exception exception);

    [LoggerMessage(410, LogLevel.Information, "events of level {Threshold} and worse are logged, {Until}")]
    public static partial void LevelChanged(this ILogger log, string threshold, string until);

    [LoggerMessage(411, LogLevel.Warning,
        "{Count} more events {SuppressedName} ({SuppressedEvent}) were not logged: too many in {Seconds} s")]
    public static partial void EventsSuppressed(
        this ILogger log, long count, string suppressedName, int suppressedEvent, int seconds);

    [LoggerMessage(420, LogLevel.Warning, "traces cannot be sent to {Endpoint}: {Reason}")]
    public static partial void TracesUnsent(this ILogger log, string endpoint, string reason);

    [LoggerMessage(421, LogLevel.Information, "traces are sent to {Endpoint}")]
    public static partial void TracesSent(this ILogger log, string endpoint);

    [LoggerMessage(430, LogLevel.Warning,
        "refused ({Reason}) at {Listener}: {Detail}; {More} more for this reason since the last such line")]
    public static partial void ClientRefused(
        this ILogger log, Access.Refusal reason, string listener, string detail, long more);

    [LoggerMessage(431, LogLevel.Information, "{Listener} shows the certificate of {Subject} now, until {Expiry}")]
    public static partial void CertificateLoaded(
        this ILogger log, string listener, string subject, DateTimeOffset expiry);

    [LoggerMessage(432, LogLevel.Warning,
        "{Listener} goes on with the certificate that it has: what is in its files cannot be used: {Reason}")]
    public static partial void CertificateUnusable(this ILogger log, string listener, string reason);

    [LoggerMessage(435, LogLevel.Information,
        "controller {Controller} holds the lease now, with term {Term}; before: {FormerController}, term {FormerTerm}")]
    public static partial void LeaseTaken(
        this ILogger log, string controller, ulong term, string formerController, ulong formerTerm);

    [LoggerMessage(436, LogLevel.Warning,
        "{Caller} changes the policy although controller {Controller} holds the lease, with term {Term}")]
    public static partial void LeaseOverridden(this ILogger log, string caller, string controller, ulong term);

    [LoggerMessage(437, LogLevel.Error,
        "no controller is taken, because an older one could not be told from a newer one: {Reason}")]
    public static partial void LeaseUnknown(this ILogger log, string reason);

    [LoggerMessage(438, LogLevel.Information, "controller {Controller} ({Caller}) is connected, with term {Term}")]
    public static partial void ControllerConnected(this ILogger log, string controller, string caller, ulong term);

    [LoggerMessage(439, LogLevel.Warning, "no controller is connected any more; what is in force stays in force")]
    public static partial void NoController(this ILogger log);

    [LoggerMessage(440, LogLevel.Warning,
        "the stream of controller {Controller} ({Caller}) is ended: no heartbeat for {Seconds} s")]
    public static partial void ControllerSilent(this ILogger log, string controller, string caller, double seconds);

    [LoggerMessage(820, LogLevel.Warning, "security groups are no longer enforced on this host: removed {Tables}")]
    public static partial void RulesetRemoved(this ILogger log, string tables);

    [LoggerMessage(821, LogLevel.Warning,
        "what this agent changes in the kernel cannot be noted in {Path}, so --remove-ruleset may miss it: {Reason}")]
    public static partial void FootprintUnsaved(this ILogger log, string path, string reason);

    [LoggerMessage(823, LogLevel.Information, "{Count} sessions of {Vnic} were given to the host that it moves to")]
    public static partial void SessionsExported(this ILogger log, int count, string vnic);

    [LoggerMessage(824, LogLevel.Information,
        "{Vnic} brought {Count} sessions from another host; {Refused} more are not admitted here, {Failed} failed")]
    public static partial void SessionsImported(
        this ILogger log, string vnic, uint count, uint refused, uint failed);

    [LoggerMessage(822, LogLevel.Error, "another sg-agentd is running with {Path}; stop it first")]
    public static partial void AnotherDaemon(this ILogger log, string path);
}
