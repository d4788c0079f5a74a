using Agent.Daemon.Counting;
using Agent.Evaluator.Sessions;
using Agent.Nftables;

namespace Agent.Daemon.Top;

/// <summary>What is known at one moment: rates are the difference of two.</summary>
internal sealed record TopLook
{
    /// <summary>When it began, by the clock's timestamp.</summary>
    public required long At { get; init; }

    public required DateTimeOffset Time { get; init; }

    /// <summary>Whose sessions they are; null: there was no policy.</summary>
    public required SessionJudge? Judge { get; init; }

    public required SessionSample Sessions { get; init; }

    /// <summary>Sessions by the vNIC at an end, by its id; all of them.</summary>
    public required IReadOnlyDictionary<string, long> SessionsOf { get; init; }

    /// <summary>Sessions with an end at a vNIC.</summary>
    public required long SessionCount { get; init; }

    /// <summary>Those that the kernel does not count.</summary>
    public required long UncountedCount { get; init; }

    /// <summary>Why the sessions are not all of them; empty: they are.</summary>
    public required string Gap { get; init; }

    /// <summary>Packets that passed and that were dropped, of vNICs.</summary>
    public required IReadOnlyDictionary<CountKey, PacketCount> Counters { get; init; }

    /// <summary>When those were read, by the clock's timestamp.</summary>
    public required long CountersAt { get; init; }
}
