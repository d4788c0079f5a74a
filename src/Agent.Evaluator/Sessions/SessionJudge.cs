using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Sessions;

/// <summary>An entry of the kernel's connection tracking table.</summary>
/// <param name="Original">As the packet that opened it had it.</param>
/// <param name="Zone">Conntrack zone.</param>
/// <param name="Mark">Conntrack mark.</param>
public readonly record struct TrackedSession(PacketTuple Original, ushort Zone, uint Mark);

/// <summary>When a session was last judged.</summary>
public enum SessionAge : byte
{
    /// <summary>Never by us, or so long ago that its mark was taken back.</summary>
    Unjudged = 1,

    /// <summary>Before a change that took something away.</summary>
    Older,

    /// <summary>Since then.</summary>
    Live,
}

/// <summary>What becomes of a session.</summary>
public enum SessionFate : byte
{
    /// <summary>Its packets pass; no rule is looked at.</summary>
    Passes = 1,

    /// <summary>Its next packet is judged again, passes, and makes it live.</summary>
    Continues,

    /// <summary>Its next packet, and every one after it, is dropped.</summary>
    Cut,

    /// <summary>Nobody knows from the policy: a vNIC of it does not follow, or it may be with this host.</summary>
    Unknown,
}

/// <summary>One end of a session on this host, and what its policy says.</summary>
/// <param name="Vnic">The vNIC.</param>
/// <param name="Direction">Egress for the end that opened the session.</param>
/// <param name="Verdict">What its rules say today; null: infrastructure, which rules do not concern.</param>
public sealed record SessionEnd(Vnic Vnic, Direction Direction, PolicyVerdict? Verdict)
{
    public bool Accepts => Verdict?.Accepted ?? true;
}

/// <summary>A session in the policy's terms.</summary>
/// <param name="Ends">One or two; the one that opened it first.</param>
/// <param name="Age">When it was last judged.</param>
/// <param name="Fate">What becomes of it.</param>
public sealed record JudgedSession(ImmutableArray<SessionEnd> Ends, SessionAge Age, SessionFate Fate)
{
    /// <summary>The end that stops it; null unless it is cut.</summary>
    public SessionEnd? CutBy => Fate == SessionFate.Cut ? Ends.First(end => !end.Accepts) : null;

    /// <summary>Whether every end's rules of today let it pass, whatever its age.</summary>
    public bool IsAllowed => Ends.All(end => end.Accepts);
}

/// <summary>What of the kernel's state is needed to read its sessions.</summary>
public sealed record SessionJudgeFacts
{
    /// <summary>Conntrack zones of the listed VPCs, by VPC id.</summary>
    public required IReadOnlyDictionary<string, ushort> Zones { get; init; }

    /// <summary>Bits of the mark that carry the policy epoch.</summary>
    public required uint EpochMask { get; init; }

    /// <summary>The live epoch; within the mask.</summary>
    public required uint Epoch { get; init; }

    /// <summary>vNICs (by id) that do not follow the policy.</summary>
    public required IReadOnlySet<string> Unfollowing { get; init; }
}

/// <summary>
/// Judges what the kernel's table holds against a policy: who admits a session, and what becomes of it.
/// </summary>
/// <remarks>
/// Ends are found by address, within the session's zone. A guest whose source/destination check is off also carries
/// sessions of others; those are found at the ends that have them. Safe for concurrent use.
/// </remarks>
public sealed class SessionJudge
{
    private readonly PolicyOracle oracle;
    private readonly PolicySettings settings;
    private readonly SessionJudgeFacts facts;

    public SessionJudge(PolicySnapshot policy, PolicySettings settings, SessionJudgeFacts facts)
    {
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(facts);
        oracle = new PolicyOracle(policy, settings);
        (this.settings, this.facts) = (settings, facts);
        Owners = new SessionOwners(policy, facts.Zones);
    }

    /// <summary>The vNICs of the policy, by id.</summary>
    public ImmutableSortedDictionary<string, Vnic> Vnics => oracle.Snapshot.Vnics;

    /// <summary>As <see cref="PolicySnapshot.FindVnic"/>.</summary>
    public Vnic? FindVnic(string name) => oracle.Snapshot.FindVnic(name);

    /// <summary>Who has an address.</summary>
    public SessionOwners Owners { get; }

    /// <summary>Groups of the vNIC's VPC that have an address as a member, in the order of their ids.</summary>
    public IEnumerable<string> GroupsWith(Vnic vnic, IpFamily family, UInt128 address)
    {
        ArgumentNullException.ThrowIfNull(vnic);
        return oracle.Snapshot.Groups.Values
            .Where(group => group.VpcId == vnic.VpcId && oracle.MembersOf(group.Id).Contains(family, address))
            .Select(group => group.Id);
    }

    /// <summary>The conntrack zone in which the vNIC's sessions are.</summary>
    public ushort ZoneOf(Vnic vnic) => Owners.ZoneOf(vnic);

    /// <summary>Whether the vNIC is known not to do what the policy says.</summary>
    public bool IsUnfollowing(Vnic vnic)
    {
        ArgumentNullException.ThrowIfNull(vnic);
        return facts.Unfollowing.Contains(vnic.Id);
    }

    public SessionAge AgeOf(TrackedSession session)
    {
        uint epoch = session.Mark & facts.EpochMask;
        return epoch == 0 ? SessionAge.Unjudged : epoch == facts.Epoch ? SessionAge.Live : SessionAge.Older;
    }

    /// <returns>Null: it is no session of a vNIC.</returns>
    public JudgedSession? Judge(TrackedSession session)
    {
        ImmutableArray<SessionEnd> ends = [.. Ends(session)];
        if (ends.IsEmpty)
        {
            return null;
        }

        SessionAge age = AgeOf(session);
        SessionFate fate = age == SessionAge.Live ? SessionFate.Passes
            : ends.Any(end => facts.Unfollowing.Contains(end.Vnic.Id)) ? SessionFate.Unknown
            : ends.All(end => end.Accepts) ? SessionFate.Continues
            : ends.Length == 1 && SessionOracle.AsksForAddress(session.Original, settings, ofHost: true)
            ? SessionFate.Unknown // if the server is this host, no rule is asked
            : SessionFate.Cut;
        return new JudgedSession(ends, age, fate);
    }

    private IEnumerable<SessionEnd> Ends(TrackedSession session)
    {
        PacketTuple tuple = session.Original;
        if (Owners.Of(session.Zone, tuple.Family, tuple.Source) is { } sender)
        {
            yield return EndAt(sender, Direction.Egress, tuple,
                SessionOracle.AsksForAddress(tuple, settings, ofHost: false));
        }

        if (Owners.Of(session.Zone, tuple.Family, tuple.Destination) is { } receiver)
        {
            bool ofServer = SessionOracle.IsDhcp(tuple, fromClient: false)
                && settings.DhcpServers.Any(server => server.Contains(tuple.Family, tuple.Source));
            yield return EndAt(receiver, Direction.Ingress, tuple, ofServer);
        }
    }

    private SessionEnd EndAt(Vnic vnic, Direction direction, PacketTuple tuple, bool exempt) =>
        new(vnic, direction, exempt ? null : oracle.JudgeSession(vnic, direction, tuple));
}
