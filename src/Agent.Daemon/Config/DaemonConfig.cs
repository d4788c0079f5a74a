using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Daemon.Access;
using Agent.Policy;

namespace Agent.Daemon.Config;

/// <summary>What happens to live sessions when a change takes something away (semantics.md 9.2).</summary>
internal enum OnChange
{
    /// <summary>
    /// Every session is judged again by its next packet; what is no longer allowed stops with the commit.
    /// </summary>
    Revalidate,

    /// <summary>Sessions that were allowed stay allowed until they end.</summary>
    Keep,
}

/// <summary>What is made of the proof that a ruleset does what the policy says.</summary>
internal enum VerifyMode
{
    /// <summary>
    /// Proved before it is committed. What is not proved stays out of the kernel: its vNICs keep the rules that they
    /// have, or are closed if they have none.
    /// </summary>
    Enforce,

    /// <summary>Proved after the commit, before it is acknowledged; a fault is reported, and stays in force.</summary>
    Report,

    /// <summary>Proved only when somebody asks.</summary>
    Off,
}

/// <summary>Everything that an operator can set. README's configuration table is this record.</summary>
internal sealed record DaemonConfig
{
    public string StateDirectory { get; init; } = "/var/lib/sg-agent";

    public GrpcConfig Grpc { get; init; } = new();

    public MetricsConfig Metrics { get; init; } = new();

    public DropsConfig Drops { get; init; } = new();

    public LogConfig Log { get; init; } = new();

    public TracingConfig Tracing { get; init; } = new();

    public CompilerSettings Compiler { get; init; } = CompilerSettings.Default;

    public PolicySettings Semantics { get; init; } = PolicySettings.Default;

    public PolicyLimits Limits { get; init; } = PolicyLimits.Default;

    public MassChangeConfig MassChange { get; init; } = new();

    public OnChange OnChange { get; init; } = OnChange.Revalidate;

    /// <summary>
    /// How long a vNIC that is new in the policy, and whose device is there already, may go on with TCP sessions that
    /// began before. They are judged by their first packet that is seen, as if that were their first; zero: never.
    /// </summary>
    public TimeSpan AdoptionWindow { get; init; } = TimeSpan.Zero;

    /// <summary>
    /// Lower those idle times of the network namespace to 30 s for which a vNIC cannot have its own: protocols that
    /// conntrack has no timeout object for. Concerns every session of the namespace, never those of TCP and UDP.
    /// </summary>
    public bool ManageSysctls { get; init; } = true;

    /// <summary>
    /// Have the kernel count what sessions carry and note when they begin. Concerns every session of the namespace that
    /// begins afterwards; off: the kernel's settings stay as they are.
    /// </summary>
    public bool Accounting { get; init; }

    /// <summary>Sessions that a look of those who watch the top keeps: those with the most bytes.</summary>
    public int ComparedSessions { get; init; } = 50_000;

    /// <summary>
    /// How often the kernel is asked whether anybody else has changed a ruleset: the question costs it next to nothing,
    /// where a listener would slow each commit.
    /// </summary>
    public TimeSpan AuditInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// How often the ruleset is read back and compared with what was committed, whether it seems touched or not.
    /// </summary>
    public TimeSpan VerifyInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Whether changes must be proved.</summary>
    public VerifyMode Verify { get; init; } = VerifyMode.Enforce;

    /// <summary>
    /// How long a change may wait for its proof. What takes longer is committed, acknowledged as "pending", and proved
    /// in the background, with the same consequences.
    /// </summary>
    public TimeSpan VerifyBudget { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Judge vNICs that are ports of a bridge; otherwise they are closed.</summary>
    public bool EnforceBridges { get; init; } = true;

    /// <summary>Ask the kernel to keep other tools off our tables, where it can do so safely (Linux 6.9).</summary>
    public bool ProtectTables { get; init; } = true;
}

internal sealed record GrpcConfig
{
    /// <summary>Unix socket; empty: none.</summary>
    public string Socket { get; init; } = "/run/sg-agent/agent.sock";

    /// <summary>Permission bits of the socket.</summary>
    public UnixFileMode SocketMode { get; init; } = (UnixFileMode)0b110_110_000;

    /// <summary>Group that owns the socket; empty: the daemon's own.</summary>
    public string SocketGroup { get; init; } = "";

    /// <summary>"address:port" for TCP with mutual TLS; empty: none.</summary>
    public string Listen { get; init; } = "";

    public TlsConfig? Tls { get; init; }

    /// <summary>Who may do everything over the socket. If this and the next are empty: whoever may open it.</summary>
    public ImmutableArray<Account> SocketControllers { get; init; } = [];

    /// <summary>Who may read over the socket.</summary>
    public ImmutableArray<Account> SocketObservers { get; init; } = [];

    /// <summary>Of a message. A file of 500 vNICs and 100,000 rules is some 10 MB, and gRPC's own limit is 4 MB.
    /// </summary>
    public int MaxMessageBytes { get; init; } = 64 << 20;

    /// <summary>Of all snapshots together that Sync streams have begun.</summary>
    public int MaxSnapshotBytes { get; init; } = 256 << 20;

    /// <summary>How long a Sync stream may take from the beginning of a snapshot to its end.</summary>
    public TimeSpan SnapshotTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Messages that a Sync stream may have sent and not have answered; then it is read no further.</summary>
    public int MaxUnanswered { get; init; } = 4096;

    /// <summary>Of these together, and as many of their answers.</summary>
    public int MaxUnansweredBytes { get; init; } = 8 << 20;

    /// <summary>How long a client may leave an answer, or a part of one, unread.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>At a time, per listener.</summary>
    public int MaxConnections { get; init; } = 256;

    /// <summary>Of one client, at a time.</summary>
    public int MaxConnectionsPerClient { get; init; } = 64;

    /// <summary>Calls on one connection, at a time.</summary>
    public int MaxStreamsPerConnection { get; init; } = 100;

    /// <summary>Calls at a time that bring a state: Sync, ApplySnapshot, StageSnapshot.</summary>
    public int MaxUpdates { get; init; } = 16;

    /// <summary>Streams at a time that show something: WatchStatus, WatchDrops, ListSessions.</summary>
    public int MaxWatches { get; init; } = 64;

    /// <summary>Calls at a time that take time or memory, such as GetState, Explain, Verify.</summary>
    public int MaxCostly { get; init; } = 16;

    /// <summary>Other calls at a time.</summary>
    public int MaxQuestions { get; init; } = 256;

    /// <summary>Of one client. Watches and costly calls count fivefold.</summary>
    public int CallsPerSecond { get; init; } = 500;

    /// <summary>Of them at once.</summary>
    public int CallsBurst { get; init; } = 1000;

    /// <summary>How long a TLS handshake, and then the headers of a call, may take.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>A connection silent for so long is pinged, and ends if it is silent for as long again.</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a controller that is gone keeps those out that have no term.</summary>
    public TimeSpan LeaseLife { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>PEM files, and the names of clients.</summary>
internal sealed record TlsConfig(string Certificate, string Key, string ClientCa)
{
    /// <summary>Who may do everything. If this and the next are empty: every client of the authority.</summary>
    public ImmutableArray<CertificateName> Controllers { get; init; } = [];

    /// <summary>Who may read.</summary>
    public ImmutableArray<CertificateName> Observers { get; init; } = [];
}

internal sealed record MetricsConfig
{
    /// <summary>"address:port"; empty: none.</summary>
    public string Listen { get; init; } = "127.0.0.1:9477";

    /// <summary>Of <see cref="Listen"/>; null: in the clear.</summary>
    public MetricsTlsConfig? Tls { get; init; }

    /// <summary>Unix socket; empty: none.</summary>
    public string Socket { get; init; } = "";

    /// <summary>Permission bits of the socket.</summary>
    public UnixFileMode SocketMode { get; init; } = (UnixFileMode)0b110_110_000;

    /// <summary>Group that owns the socket; empty: the daemon's own.</summary>
    public string SocketGroup { get; init; } = "";

    public bool IsServed => Listen.Length > 0 || Socket.Length > 0;
}

/// <summary>PEM files. Without an authority, anybody may read.</summary>
internal sealed record MetricsTlsConfig(string Certificate, string Key, string? ClientCa);

/// <summary>Who is told of packets that the kernel reports; what it reports is in the compiler's settings.</summary>
internal sealed record DropsConfig
{
    /// <summary>Records that are kept for who asks later.</summary>
    public int Kept { get; init; } = 1000;

    /// <summary>A line of JSON for each to the journal.</summary>
    public bool Journal { get; init; }

    /// <summary>A line of JSON for each to this file; empty: to none.</summary>
    public string File { get; init; } = "";

    /// <summary>Size at which the file is put aside.</summary>
    public int FileMaxMegabytes { get; init; } = 64;

    /// <summary>How many of those put aside are kept.</summary>
    public int FileKeep { get; init; } = 4;
}

/// <summary>Where events go.</summary>
internal enum LogTarget
{
    /// <summary>To the journal if systemd has connected our standard error with it, otherwise there.</summary>
    Auto,

    /// <summary>With all their fields.</summary>
    Journal,

    /// <summary>To standard error, a line each.</summary>
    Console,
}

/// <summary>Which events are logged: those of a level and worse.</summary>
internal enum EventLevel
{
    /// <summary>Also what each step of a change decided and cost.</summary>
    Debug,

    Info,
    Warning,
    Error,
}

internal sealed record LogConfig
{
    public LogTarget To { get; init; } = LogTarget.Auto;

    public EventLevel Level { get; init; } = EventLevel.Info;

    /// <summary>Events of one kind in 30 s; those beyond are counted, and summed up in a line. 0: no bound.</summary>
    public int Burst { get; init; } = 50;

    /// <summary>Datagram socket of journald.</summary>
    public string JournalSocket { get; init; } = "/run/systemd/journal/socket";
}

/// <summary>How spans travel (OTLP).</summary>
internal enum OtlpProtocol
{
    /// <summary>Protobuf in HTTP requests, to the endpoint's /v1/traces.</summary>
    Http,

    Grpc,
}

internal sealed record TracingConfig
{
    /// <summary>
    /// http:// or https:// URL of a collector. Empty: what OTEL_EXPORTER_OTLP_ENDPOINT says; if that is empty too,
    /// nothing is traced.
    /// </summary>
    public string OtlpEndpoint { get; init; } = "";

    public OtlpProtocol OtlpProtocol { get; init; } = OtlpProtocol.Http;
}

/// <summary>A configuration, or everything that is wrong with it.</summary>
internal sealed record ConfigResult(DaemonConfig? Config, ImmutableArray<ConfigFault> Faults)
{
    /// <summary>Every setting with its value and where that comes from, by key.</summary>
    public ImmutableArray<Setting> Settings { get; init; } = [];
}
