using System.Globalization;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;

namespace Agent.Daemon.Supervision;

/// <summary>The line that <c>systemctl status</c> shows: revision, vNICs, controller, the first alarm.</summary>
internal static class StatusLine
{
    /// <summary>A burst of changes is one line.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    public static string Of(AgentState state, Presence controller)
    {
        ulong desired = state.Desired.Revision;
        string revision = desired == 0 ? "no policy yet: managed interfaces are closed"
            : state.AppliedRevision == desired ? $"revision {desired} enforced"
            : $"revision {desired} is not in force, {state.AppliedRevision} is";
        string failed = state.Failed.IsEmpty ? "" : $", {state.Failed.Count} failed";
        string who = controller.ConnectedFor is null ? "no controller"
            : controller.Name.Length > 0 ? $"controller {controller.Name}" : "a controller";
        string alarms = state.Alarms.Length switch
        {
            0 => "",
            1 => $"; alarm: {state.Alarms[0]}",
            int count => $"; {count} alarms, first: {state.Alarms[0]}",
        };
        return string.Create(
            CultureInfo.InvariantCulture, $"{revision}; {state.Desired.Vnics.Count} vNICs{failed}; {who}{alarms}");
    }

    /// <summary>Keeps the manager's line current until cancelled.</summary>
    public static async Task FollowAsync(
        ServiceNotifier manager, Reconciler reconciler, Func<Presence> controller, TimeProvider clock,
        CancellationToken cancel)
    {
        if (!manager.IsThere)
        {
            return;
        }

        try
        {
            AgentState state = reconciler.State;
            string last = "";
            while (true)
            {
                string line = Of(state, controller());
                if (line != last)
                {
                    manager.Status(last = line);
                }

                await Task.Delay(Pause, clock, cancel).ConfigureAwait(false);
                state = await reconciler.WaitForStateAsync(state.Version, cancel).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            manager.Status("stopping; the kernel goes on enforcing");
        }
    }
}
