using Agent.Cli.Verbs;
using Agent.V1;

namespace Agent.Cli.Support;

/// <summary>Where sections of a dump come from.</summary>
/// <param name="Call">The verb that is run.</param>
/// <param name="Agent">Its connection; every call may fail.</param>
/// <param name="Metrics">host:port or a Unix socket.</param>
/// <param name="Configuration">The daemon's file.</param>
/// <param name="Proof">Whether the ruleset is proved, which takes a while.</param>
internal sealed record SupportSource(
    Call Call, AgentConnection Agent, string Metrics, string Configuration, bool Proof)
{
    private Task<Snapshot>? state;
    private Task<AgentStatus>? status;

    /// <summary>Asked for once, however many sections need it.</summary>
    public Task<Snapshot> StateAsync() => state ??= Agent.GetStateAsync(Call.Cancel);

    /// <summary>Likewise.</summary>
    public Task<AgentStatus> StatusAsync() => status ??= Agent.GetStatusAsync(groups: true, Call.Cancel);
}

/// <summary>Why a section is not there, where that is no failure.</summary>
internal sealed class LeftOutException(string why) : Exception(why);

/// <summary>How a section is made unreadable for strangers.</summary>
internal enum SectionKind
{
    /// <summary>JSON: names of fields stay, texts are looked through.</summary>
    Json,

    /// <summary>Lines.</summary>
    Text,

    /// <summary>Lines with names of things that may be gone, so that nobody can tell them from words.</summary>
    TextOfThePast,
}

/// <summary>One file of a dump.</summary>
/// <param name="Name">As people name it on the way.</param>
/// <param name="File">In the archive.</param>
/// <param name="About">For the manifest.</param>
/// <param name="Kind">What it is.</param>
/// <param name="CollectAsync">Its text. A failure is written down, and stops no other section.</param>
internal sealed record SupportSection(
    string Name, string File, string About, SectionKind Kind,
    Func<SupportSource, CancellationToken, Task<string>> CollectAsync);
