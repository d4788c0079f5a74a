using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.Sessions;
using Agent.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Daemon.Service;

/// <summary>The state as a person or a controller wants to see it.</summary>
internal sealed class StatusReporter(
    string version, string host, string kernelRelease, IReadOnlyList<KernelFeature> features, CompilerSettings settings,
    SessionWatch sessions, Controllers controllers, TimeProvider clock)
{
    /// <param name="state">What is held and done.</param>
    /// <param name="groups">Also each group.</param>
    public AgentStatus Report(AgentState state, bool groups)
    {
        var status = new AgentStatus
        {
            AgentVersion = version,
            Host = host,
            KernelRelease = kernelRelease,
            DesiredRevision = state.Desired.Revision,
            AppliedRevision = state.AppliedRevision,
            StateHash = ByteString.CopyFrom(state.DesiredHash),
            DesiredAt = state.DesiredAt?.Time.ToTimestamp(),
            DesiredAge = state.DesiredAt?.Age(clock).ToDuration(),
            AppliedAt = state.AppliedAt?.ToTimestamp(),
            RulesetGeneration = state.Generation,
            GroupCount = (uint)state.Desired.Groups.Count,
            MemberCount = (ulong)state.Desired.Groups.Values.Sum(group => (long)group.Members.Count),
            LastVerification = Verification(state.Verification),
            LastProof = ProofMessages.Of(state.Proof),
            LastDrift = state.Drift is { } drift ? ProofMessages.Of(drift) : null,
            StagedRevision = state.Staged?.Policy.Revision ?? 0,
            Controller = Controller(controllers.Look()),
            LastSessionPass = sessions.LastPass is { } pass ? SessionMessages.Of(pass) : null,
            MassChange = state.Staged?.MassChange is { } change ? MassChangeMessages.Of(state, change) : null,
            ProvedRevision = state.Realisation.Proved?.Revision ?? 0,
            IssuedAt = state.Realisation.IssuedAt?.ToTimestamp(),
            EnforcedAfter = state.Realisation.EnforcedAfter?.ToDuration(),
        };
        status.KernelFeatures.AddRange(features);
        status.Alarms.AddRange(state.Alarms);
        if (state.Staged?.MassChange is { } held)
        {
            status.Alarms.Add(MassChangeMessages.Alarm(held));
        }

        foreach (Policy.Vnic vnic in state.Desired.Vnics.Values)
        {
            status.Vnics.Add(Vnic(state, vnic));
        }

        status.Vnics.AddRange(Unmanaged(state));
        status.ForeignChains.AddRange(state.Foreign.Select(ProofMessages.Of));
        status.Vpcs.AddRange(
            state.Zones.Select(zone => new VpcStatus { VpcId = zone.Key, ConntrackZone = zone.Value }));
        if (groups)
        {
            status.Groups.AddRange(state.Realisation.Groups(state.Desired)
                .Select(group => Group(group.GroupId, group.Realisation)));
        }

        return status;
    }

    private ControllerStatus Controller(Presence seen)
    {
        DateTimeOffset now = clock.GetUtcNow();
        return new ControllerStatus
        {
            Name = seen.Name,
            Term = seen.Lease.Term,
            LeaseHolder = seen.Lease.Holder,
            LeaseHeld = seen.IsHeld,
            LeaseExpires = seen.IsHeld && seen.Lease.Streams == 0 && seen.Lease.Damage is null
                ? (now + seen.LeaseFor).ToTimestamp() : null,
            ConnectedSince = (now - seen.ConnectedFor)?.ToTimestamp(),
            LastHeard = (now - seen.HeardBefore)?.ToTimestamp(),
            FailStaticSince = seen.ConnectedFor is null ? (now - seen.AbsentFor).ToTimestamp() : null,
        };
    }

    private static Verification Verification(VerificationResult? last) => last is null
        ? new Verification { Result = "never" }
        : new Verification
        {
            Time = last.Time.ToTimestamp(),
            Result = last.Outcome.ToString().ToLowerInvariant(),
            Detail = last.Outcome == VerifyOutcome.Verified ? "the kernel held what was committed" : last.Detail,
        };

    private static VnicStatus Vnic(AgentState state, Policy.Vnic vnic)
    {
        bool failed = state.Failed.TryGetValue(vnic.Id, out string? reason);
        bool pending = state.AppliedRevision != state.Desired.Revision;
        VnicRealisation realised = state.Realisation.Of(vnic.Id);
        var status = new VnicStatus
        {
            VnicId = vnic.Id,
            InterfaceName = vnic.InterfaceName,
            Reason = reason ?? "",
            EnforcedRevision = realised.Enforced?.Revision ?? 0,
            EnforcedAt = realised.Enforced?.Time.ToTimestamp(),
            ProvedRevision = realised.Proved?.Revision ?? 0,
            ProvedAt = realised.Proved?.Time.ToTimestamp(),
            State = failed ? VnicState.Failed
                : pending ? VnicState.Pending
                : state.Links.Names.Contains(vnic.InterfaceName) ? VnicState.Enforced
                : VnicState.Absent,
        };
        status.GroupIds.AddRange(vnic.GroupIds);
        return status;
    }

    private static GroupStatus Group(string id, GroupRealisation group) => new()
    {
        GroupId = id,
        ChangedRevision = group.Changed,
        VnicCount = (uint)group.Vnics,
        EnforcedRevision = group.Enforced,
        ProvedRevision = group.Proved,
    };

    private IEnumerable<VnicStatus> Unmanaged(AgentState state)
    {
        HashSet<string> named = [.. state.Desired.Vnics.Values.Select(vnic => vnic.InterfaceName)];
        return state.Links.Names
            .Where(name => !named.Contains(name) && settings.ManagedInterfaces.Any(pattern => Matches(pattern, name)))
            .Select(name => new VnicStatus
            {
                InterfaceName = name,
                State = VnicState.Unmanaged,
                Reason = "matches a managed pattern, and no policy names it: closed",
            });
    }

    private static bool Matches(string pattern, string name) => pattern.EndsWith('*')
        ? name.StartsWith(pattern[..^1], StringComparison.Ordinal) : name == pattern;
}
