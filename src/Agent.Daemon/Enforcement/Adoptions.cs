using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// vNICs that came into the policy while their guests ran: for a while their TCP sessions may be older than we are.
/// </summary>
/// <param name="window">How long; zero: never.</param>
/// <param name="clock">Monotonic time.</param>
internal sealed class Adoptions(TimeSpan window, TimeProvider clock)
{
    private ImmutableDictionary<string, long> until = ImmutableDictionary<string, long>.Empty;

    /// <summary>Those whose time has not ended, by id.</summary>
    public ImmutableHashSet<string> Vnics { get; private set; } = [];

    public void Begin(PolicySnapshot before, PolicySnapshot after, HostLinks links)
    {
        if (window > TimeSpan.Zero)
        {
            long end = clock.GetTimestamp() + (long)(window.TotalSeconds * clock.TimestampFrequency);
            until = until.SetItems(after.Vnics.Values
                .Where(vnic => !before.Vnics.ContainsKey(vnic.Id) && links.Names.Contains(vnic.InterfaceName))
                .Select(vnic => KeyValuePair.Create(vnic.Id, end)));
            Vnics = [.. until.Keys];
        }
    }

    /// <returns>True if time has ended for some.</returns>
    public bool End()
    {
        if (until.IsEmpty)
        {
            return false;
        }

        long now = clock.GetTimestamp();
        string[] over = [.. until.Where(pair => pair.Value <= now).Select(pair => pair.Key)];
        until = until.RemoveRange(over);
        Vnics = [.. until.Keys];
        return over.Length > 0;
    }
}
