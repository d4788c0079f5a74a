using Agent.Daemon.Config;
using Agent.Daemon.Logging;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>The log's level, asked for and changed.</summary>
internal sealed class LogDesk(LevelSwitch level)
{
    /// <summary>Whoever wants it longer wants another configuration.</summary>
    private const int LongestSeconds = 7 * 24 * 3600;

    private static readonly (V1.LogLevel Word, EventLevel Level)[] Words =
    [
        (V1.LogLevel.Debug, EventLevel.Debug), (V1.LogLevel.Info, EventLevel.Info),
        (V1.LogLevel.Warning, EventLevel.Warning), (V1.LogLevel.Error, EventLevel.Error),
    ];

    public LogLevelStatus Get() => Of(level.State);

    /// <exception cref="RpcException">The level is unknown, or the duration is not from 0 to 7 days.</exception>
    public LogLevelStatus Set(SetLogLevelRequest request)
    {
        if (request.Level == V1.LogLevel.Unspecified)
        {
            return Of(level.Set(level.State.Configured, duration: null));
        }

        TimeSpan? duration =
            request.Duration is { Seconds: >= 0 and <= LongestSeconds, Nanos: >= 0 and < 1_000_000_000 } asked
            ? asked.ToTimeSpan() : null;
        bool isFor = request.Duration is null || duration > TimeSpan.Zero;
        if (Words.All(one => one.Word != request.Level) || !isFor)
        {
            throw new RpcException(new Status(
                StatusCode.InvalidArgument, "a level of the .proto, and a duration of more than 0 and at most 7 days"));
        }

        return Of(level.Set(Words.Single(one => one.Word == request.Level).Level, duration));
    }

    private static LogLevelStatus Of(LevelState state) => new()
    {
        Level = Words.Single(one => one.Level == state.Current).Word,
        Configured = Words.Single(one => one.Level == state.Configured).Word,
        Until = state.Until is { } until ? Timestamp.FromDateTimeOffset(until) : null,
    };
}
