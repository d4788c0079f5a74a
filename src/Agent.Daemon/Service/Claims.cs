using Agent.Daemon.Access;
using Agent.Daemon.Ownership;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>Claims as they come with calls.</summary>
internal static class Claims
{
    /// <param name="writer">Null: somebody who takes part in no election.</param>
    /// <param name="context">Shows who calls.</param>
    public static Claim Of(V1.Writer? writer, ServerCallContext context) =>
        new(writer?.Controller ?? "", writer?.Term ?? 0)
        {
            Overrides = writer?.OverrideLease ?? false,
            Caller = CallerOf(context),
        };

    public static string CallerOf(ServerCallContext context) =>
        context.GetHttpContext().Features.Get<Guest>()?.Caller?.Name ?? "";
}
