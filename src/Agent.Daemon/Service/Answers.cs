using Agent.Contract;
using Agent.Daemon.Enforcement;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Daemon.Service;

/// <summary>Outcomes of the loop as messages.</summary>
internal static class Answers
{
    public static ApplyResponse Of(ApplyOutcome outcome) => outcome switch
    {
        ApplyOutcome.Accepted accepted => new ApplyResponse { Accepted = Accepted(accepted) },
        ApplyOutcome.Refused refused => new ApplyResponse { Refused = Refused(refused) },
        ApplyOutcome.Held held => new ApplyResponse { MassChange = MassChangeMessages.Of(held.State, held.Change) },
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    public static Accepted Accepted(ApplyOutcome.Accepted outcome)
    {
        EnforcementReport? report = outcome.Report;
        var accepted = new Accepted
        {
            Revision = outcome.After.Revision,
            StateHash = ByteString.CopyFrom(outcome.State.DesiredHash),
            Changes = Changes(outcome.Before, outcome.After),
            Timings = new Timings
            {
                Validate = Duration.FromTimeSpan(outcome.Validate),
                Persist = Duration.FromTimeSpan(outcome.Persist),
                Compile = Duration.FromTimeSpan(report?.Compile ?? default),
                Verify = Duration.FromTimeSpan(report?.Verification?.Took ?? default),
                Commit = Duration.FromTimeSpan(report?.Commit ?? default),
                Prove = Duration.FromTimeSpan(report?.Prove ?? default),
            },
            Unchanged = outcome.Unchanged,
            CommitRevision = report is null ? 0 : outcome.State.AppliedRevision,
            CommitDeltas = (uint)outcome.Deltas,
            Proof = report is null ? null : ProofMessages.Of(report.Proof),
        };
        accepted.Changes.NetlinkMessages = (uint)(report?.Messages ?? 0);
        accepted.Changes.NetlinkBytes = (ulong)(report?.Bytes ?? 0);
        accepted.Changes.Transactions = (uint)(report?.Transactions ?? 0);
        accepted.Changes.SessionsRevalidated = report?.Revalidated ?? false;
        accepted.Warnings.AddRange(outcome.Warnings);
        accepted.FailedVnics.AddRange(Failed(outcome.After, outcome.State.Failed));
        return accepted;
    }

    /// <param name="policy">What it does not follow.</param>
    /// <param name="failed">Why, by id.</param>
    public static IEnumerable<VnicStatus> Failed(
        PolicySnapshot policy, System.Collections.Immutable.ImmutableSortedDictionary<string, string> failed)
    {
        foreach ((string id, string reason) in failed)
        {
            if (policy.Vnics.TryGetValue(id, out Policy.Vnic? vnic))
            {
                yield return new VnicStatus
                {
                    VnicId = id,
                    InterfaceName = vnic.InterfaceName,
                    State = VnicState.Failed,
                    Reason = reason,
                };
            }
        }
    }

    public static Refused Refused(ApplyOutcome.Refused outcome)
    {
        var refused = new Refused
        {
            HeldRevision = outcome.State.Desired.Revision,
            HeldStateHash = ByteString.CopyFrom(outcome.State.DesiredHash),
        };
        foreach (PolicyFault fault in outcome.Faults)
        {
            refused.Faults.Add(
                new Fault { Path = fault.Path, Code = fault.Code, Message = fault.Message, Remedy = fault.Remedy });
        }

        return refused;
    }

    /// <summary>Leaves of what is long only its beginning, for who sends on and takes no answers.</summary>
    public static void Shorten(SyncResponse answer)
    {
        if (answer.Refused is { Faults.Count: > 1 } refused)
        {
            int more = refused.Faults.Count - 1;
            Fault first = refused.Faults[0];
            refused.Faults.Clear();
            refused.Faults.Add(first);
            refused.Faults.Add(new Fault
            {
                Code = "TooManyFaults",
                Message = $"{more} more; the stream's answers are not taken, and there is no room to keep them",
                Remedy = "Take answers as they come.",
            });
        }
        else if (answer.Accepted is { Warnings.Count: > 1 } accepted)
        {
            string first = accepted.Warnings[0];
            int more = accepted.Warnings.Count - 1;
            accepted.Warnings.Clear();
            accepted.Warnings.Add([first, $"{more} more warnings were left out: answers were not taken"]);
        }
    }

    private static Changes Changes(PolicySnapshot before, PolicySnapshot after)
    {
        (uint groupsAdded, uint groupsChanged, uint groupsRemoved) =
            Count(before.Groups, after.Groups, PolicyContent.AreSame);
        (uint vnicsAdded, uint vnicsChanged, uint vnicsRemoved) =
            Count(before.Vnics, after.Vnics, PolicyContent.AreSame);
        (uint prefixAdded, uint prefixChanged, uint prefixRemoved) =
            Count(before.PrefixLists, after.PrefixLists, PolicyContent.AreSame);
        (uint portAdded, uint portChanged, uint portRemoved) =
            Count(before.PortLists, after.PortLists, PolicyContent.AreSame);
        (uint vpcsAdded, uint vpcsChanged, uint vpcsRemoved) =
            Count(before.Vpcs, after.Vpcs, PolicyContent.AreSame);
        return new Changes
        {
            GroupsAdded = groupsAdded,
            GroupsChanged = groupsChanged,
            GroupsRemoved = groupsRemoved,
            VnicsAdded = vnicsAdded,
            VnicsChanged = vnicsChanged,
            VnicsRemoved = vnicsRemoved,
            ListsAdded = prefixAdded + portAdded,
            ListsChanged = prefixChanged + portChanged,
            ListsRemoved = prefixRemoved + portRemoved,
            VpcsAdded = vpcsAdded,
            VpcsChanged = vpcsChanged,
            VpcsRemoved = vpcsRemoved,
        };
    }

    // A snapshot makes all objects anew: what it says again counts as changed only if it says something else.
    private static (uint Added, uint Changed, uint Removed) Count<T>(
        System.Collections.Immutable.ImmutableSortedDictionary<string, T> before,
        System.Collections.Immutable.ImmutableSortedDictionary<string, T> after, Func<T, T, bool> areSame)
        where T : class
    {
        uint added = 0;
        uint changed = 0;
        foreach ((string id, T item) in after)
        {
            if (!before.TryGetValue(id, out T? old))
            {
                added++;
            }
            else if (!areSame(old, item))
            {
                changed++;
            }
        }

        return (added, changed, (uint)before.Keys.Count(id => !after.ContainsKey(id)));
    }
}
