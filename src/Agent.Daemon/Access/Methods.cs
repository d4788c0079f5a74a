using System.Collections.Frozen;

namespace Agent.Daemon.Access;

/// <summary>What a call costs, and with which others it shares a limit.</summary>
internal enum CallKind
{
    /// <summary>Answered from memory.</summary>
    Question,

    /// <summary>Walks a table, proves, or answers with the whole state.</summary>
    Costly,

    /// <summary>A stream that stays open.</summary>
    Watch,

    /// <summary>Brings a state, which may be large.</summary>
    Update,
}

/// <summary>What is to be known of a method before its request is read.</summary>
/// <param name="Needs">Who may call it.</param>
/// <param name="Kind">What it costs.</param>
/// <param name="TakesStream">The client may send more than one message.</param>
internal sealed record Method(Role Needs, CallKind Kind, bool TakesStream = false);

/// <summary>Every method that is served. What is not in this table is for controllers: closed unless it was thought of.
/// </summary>
/// <remarks>
/// ApplySnapshot is for controllers even with dry_run: the role is looked at before a message is read, so that who may
/// not send one costs no memory.
/// </remarks>
internal static class Methods
{
    private const string Agent = "/agent.v1.SecurityGroupAgent/";

    private static readonly Method Other = new(Role.Controller, CallKind.Costly);

    public static readonly FrozenDictionary<string, Method> Known = new Dictionary<string, Method>
    {
        [Agent + "ApplySnapshot"] = new(Role.Controller, CallKind.Update),
        [Agent + "Sync"] = new(Role.Controller, CallKind.Update, TakesStream: true),
        [Agent + "StageSnapshot"] = new(Role.Controller, CallKind.Update),
        [Agent + "CommitStaged"] = new(Role.Controller, CallKind.Question),
        [Agent + "DiscardStaged"] = new(Role.Controller, CallKind.Question),
        [Agent + "GetState"] = new(Role.Observer, CallKind.Costly),
        [Agent + "GetStatus"] = new(Role.Observer, CallKind.Question),
        [Agent + "WatchStatus"] = new(Role.Observer, CallKind.Watch),
        [Agent + "Explain"] = new(Role.Observer, CallKind.Costly),
        [Agent + "ListSessions"] = new(Role.Observer, CallKind.Watch),
        [Agent + "ExportSessions"] = new(Role.Controller, CallKind.Costly),
        [Agent + "ImportSessions"] = new(Role.Controller, CallKind.Update),
        [Agent + "ListRules"] = new(Role.Observer, CallKind.Costly),
        [Agent + "WatchDrops"] = new(Role.Observer, CallKind.Watch),
        [Agent + "WatchTop"] = new(Role.Observer, CallKind.Watch),
        [Agent + "GetLogLevel"] = new(Role.Observer, CallKind.Question),
        [Agent + "SetLogLevel"] = new(Role.Controller, CallKind.Question),
        [Agent + "Verify"] = new(Role.Observer, CallKind.Costly),
        [Agent + "GetStaged"] = new(Role.Observer, CallKind.Costly),
        [Agent + "Analyze"] = new(Role.Observer, CallKind.Costly),
        [Agent + "GetConfig"] = new(Role.Observer, CallKind.Question),
        ["/grpc.health.v1.Health/Check"] = new(Role.Observer, CallKind.Question),
        ["/grpc.health.v1.Health/Watch"] = new(Role.Observer, CallKind.Watch),
        ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] =
            new(Role.Observer, CallKind.Watch, TakesStream: true),
        ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] =
            new(Role.Observer, CallKind.Watch, TakesStream: true),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    public static Method Of(string path) => Known.GetValueOrDefault(path, Other);
}
