using Agent.Daemon.Enforcement;
using Google.Protobuf;

namespace Agent.Daemon.Service;

/// <summary>Steps that are held, as messages.</summary>
internal static class MassChangeMessages
{
    /// <param name="state">What stays in force.</param>
    /// <param name="change">The step.</param>
    public static V1.MassChange Of(AgentState state, MassChange change)
    {
        var message = new V1.MassChange
        {
            Revision = change.Revision,
            HeldRevision = state.Desired.Revision,
            HeldStateHash = ByteString.CopyFrom(state.DesiredHash),
            Message = change.Summary,
            Remedy = change.Remedy,
        };
        message.Removals.AddRange(change.Removals.Select(removal => new V1.Removal
        {
            Kind = removal.Kind,
            Removed = (ulong)removal.Removed,
            Before = (ulong)removal.Before,
            After = (ulong)removal.After,
            IsReason = removal.IsReason,
        }));
        return message;
    }

    /// <summary>As one of the things that a person should know.</summary>
    public static string Alarm(MassChange change) =>
        $"revision {change.Revision} is held until it is confirmed: it {change.Summary}. {change.Remedy}";
}
