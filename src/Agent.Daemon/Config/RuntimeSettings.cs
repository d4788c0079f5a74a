namespace Agent.Daemon.Config;

/// <summary>Settings that may change while the daemon runs; the others wait for a restart.</summary>
internal static class RuntimeSettings
{
    private static readonly string[] Keys =
    [
        "log.level", "log.burst", "mass_change.", "limits.", "verify_budget_ms", "verify_interval_seconds",
        "grpc.socket_controllers", "grpc.socket_observers", "grpc.tls.controllers", "grpc.tls.observers",
        "grpc.calls_per_second", "grpc.calls_burst", "grpc.max_questions", "grpc.max_costly", "grpc.max_watches",
        "grpc.max_updates", "grpc.answer_timeout_seconds",
        "drops.per_second", "drops.burst", "drops.flows_per_second", "drops.flow_vnics", "drops.flow_rules",
    ];

    /// <param name="key">Of a setting.</param>
    /// <param name="tlsStays">False: the listener with TLS comes or goes, and all that is said of it with it.</param>
    public static bool Has(string key, bool tlsStays = true) =>
        Keys.Any(one => one.EndsWith('.') ? key.StartsWith(one, StringComparison.Ordinal) : key == one)
        && (tlsStays || !key.StartsWith("grpc.tls.", StringComparison.Ordinal));

    /// <summary>What is in force after a reload.</summary>
    /// <param name="now">What was.</param>
    /// <param name="next">What the configuration says.</param>
    public static DaemonConfig Merge(DaemonConfig now, DaemonConfig next) => now with
    {
        Log = now.Log with { Level = next.Log.Level, Burst = next.Log.Burst },
        MassChange = next.MassChange,
        Limits = next.Limits,
        VerifyBudget = next.VerifyBudget,
        VerifyInterval = next.VerifyInterval,
        Grpc = now.Grpc with
        {
            SocketControllers = next.Grpc.SocketControllers,
            SocketObservers = next.Grpc.SocketObservers,
            // Certificates are looked for where they were.
            Tls = now.Grpc.Tls is { } tls && next.Grpc.Tls is { } other
                ? tls with { Controllers = other.Controllers, Observers = other.Observers } : now.Grpc.Tls,
            CallsPerSecond = next.Grpc.CallsPerSecond,
            CallsBurst = next.Grpc.CallsBurst,
            MaxQuestions = next.Grpc.MaxQuestions,
            MaxCostly = next.Grpc.MaxCostly,
            MaxWatches = next.Grpc.MaxWatches,
            MaxUpdates = next.Grpc.MaxUpdates,
            AnswerTimeout = next.Grpc.AnswerTimeout,
        },
        Compiler = now.Compiler with
        {
            DropRate = next.Compiler.DropRate,
            DropBurst = next.Compiler.DropBurst,
            FlowRate = next.Compiler.FlowRate,
            // The same lists stay the same objects: equal settings must not look like others.
            FlowVnics = Same(now.Compiler.FlowVnics, next.Compiler.FlowVnics),
            FlowRules = Same(now.Compiler.FlowRules, next.Compiler.FlowRules),
        },
    };

    private static System.Collections.Immutable.ImmutableArray<string> Same(
        System.Collections.Immutable.ImmutableArray<string> now,
        System.Collections.Immutable.ImmutableArray<string> next) => now.SequenceEqual(next) ? now : next;
}
