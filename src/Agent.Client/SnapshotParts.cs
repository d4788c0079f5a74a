using Agent.Contract;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using SecurityGroup = Agent.Policy.SecurityGroup;

namespace Agent.Client;

/// <summary>A snapshot as the messages of a stream: begin, chunks of a bounded size, end.</summary>
/// <remarks>
/// One chunk is in memory at a time. A group's members go over several chunks; its rules, a list or a vNIC is never
/// divided.
/// </remarks>
internal static class SnapshotParts
{
    private const int ChunkBytes = 256 << 10;
    private const int MembersAtATime = 1000;

    public static IEnumerable<SyncRequest> Of(DesiredState state)
    {
        PolicySnapshot policy = state.Policy;
        yield return new SyncRequest
        {
            SnapshotBegin = new SnapshotBegin
            {
                Revision = policy.Revision,
                IssuedAt = policy.IssuedAt?.ToTimestamp(),
            },
        };
        var chunk = new SnapshotChunk();
        int bytes = 0;
        foreach (SnapshotChunk piece in Pieces(policy))
        {
            chunk.MergeFrom(piece);
            bytes += piece.CalculateSize();
            if (bytes >= ChunkBytes)
            {
                yield return new SyncRequest { SnapshotChunk = chunk };
                (chunk, bytes) = (new SnapshotChunk(), 0);
            }
        }

        if (bytes > 0)
        {
            yield return new SyncRequest { SnapshotChunk = chunk };
        }

        yield return new SyncRequest { SnapshotEnd = EndOf(state) };
    }

    private static IEnumerable<SnapshotChunk> Pieces(PolicySnapshot policy)
    {
        foreach (SecurityGroup group in policy.Groups.Values)
        {
            yield return new SnapshotChunk { Groups = { SnapshotWriter.GroupWithoutMembers(group) } };
            foreach (IpPrefix[] members in group.Members.Chunk(MembersAtATime))
            {
                var part = new V1.SecurityGroup { Id = group.Id };
                part.Members.AddRange(members.Select(member => member.ToString()));
                yield return new SnapshotChunk { Groups = { part } };
            }
        }

        foreach (Agent.Policy.PrefixList list in policy.PrefixLists.Values)
        {
            yield return new SnapshotChunk { PrefixLists = { SnapshotWriter.PrefixList(list) } };
        }

        foreach (Agent.Policy.PortList list in policy.PortLists.Values)
        {
            yield return new SnapshotChunk { PortLists = { SnapshotWriter.PortList(list) } };
        }

        foreach (Agent.Policy.Vnic vnic in policy.Vnics.Values)
        {
            yield return new SnapshotChunk { Vnics = { SnapshotWriter.Vnic(vnic) } };
        }

        foreach (Agent.Policy.Vpc vpc in policy.Vpcs.Values)
        {
            yield return new SnapshotChunk { Vpcs = { SnapshotWriter.Vpc(vpc) } };
        }
    }

    private static SnapshotEnd EndOf(DesiredState state) => new()
    {
        GroupCount = (uint)state.Policy.Groups.Count,
        PrefixListCount = (uint)state.Policy.PrefixLists.Count,
        PortListCount = (uint)state.Policy.PortLists.Count,
        VnicCount = (uint)state.Policy.Vnics.Count,
        VpcCount = (uint)state.Policy.Vpcs.Count,
        MemberCount = (ulong)state.Policy.Groups.Values.Sum(group => (long)group.Members.Count),
        StateHash = state.Hash,
    };
}
