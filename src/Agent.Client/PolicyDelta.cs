using Agent.Contract;
using Agent.V1;

namespace Agent.Client;

/// <summary>What to send to an agent that holds one state so that it holds another.</summary>
public static class PolicyDelta
{
    /// <summary>
    /// The smallest delta: resources that say something else, and of groups that stay only the members that come and
    /// go, unless sending all of them is shorter. What has no order is compared without one.
    /// </summary>
    public static Delta Between(DesiredState before, DesiredState after)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        return DeltaWriter.Between(before.Policy, after.Policy);
    }

    /// <inheritdoc cref="Between(DesiredState, DesiredState)"/>
    /// <exception cref="InvalidPolicyException">One of them has faults.</exception>
    public static Delta Between(Snapshot before, Snapshot after) =>
        Between(DesiredState.Of(before), DesiredState.Of(after));
}
