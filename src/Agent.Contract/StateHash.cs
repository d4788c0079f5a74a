using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using Agent.Policy;

namespace Agent.Contract;

/// <summary>SHA-256 of a policy's content: equal for equal states, whatever the order and the way they came.</summary>
/// <remarks>
/// The revision is left out: it names a state, it is not part of it. Strings are UTF-8 behind their length, numbers
/// little-endian, collections behind their count, resources in ordinal order of their ids, rules in the order of
/// theirs. A group's members enter as the sum (modulo 2^256, in four 64-bit lanes without carry between them) of the
/// SHA-256 of each, so that one member of 65,536 costs one hash. That sum guards against loss and mix-up between
/// parties that trust each other; it would not resist one that chooses members to collide.
/// </remarks>
public static class StateHash
{
    private static readonly ConditionalWeakTable<SecurityGroup, byte[]> MemberSums = [];

    /// <summary>What is hashed of a group before its members: most of a state, and it seldom changes.</summary>
    private static readonly ConditionalWeakTable<SecurityGroup, byte[]> Heads = [];

    /// <summary>What is hashed of a vNIC.</summary>
    private static readonly ConditionalWeakTable<Vnic, byte[]> Vnics = [];

    [ThreadStatic]
    private static long memberHashes;

    /// <summary>Members hashed by this thread so far: the cost of a change, for tests that count it.</summary>
    internal static long MemberHashes => memberHashes;

    public static byte[] Of(PolicySnapshot policy)
    {
        ArgumentNullException.ThrowIfNull(policy);
        using var hash = new Stream();
        hash.Put(policy.Groups.Count);
        foreach (SecurityGroup group in policy.Groups.Values)
        {
            Put(hash, group);
        }

        hash.Put(policy.PrefixLists.Count);
        foreach (PrefixList list in policy.PrefixLists.Values)
        {
            hash.Put(list.Id).Put(list.Name).Put((int)list.Family).Put(list.MaxEntries).Put(list.Entries.Count);
            foreach (IpPrefix entry in list.Entries)
            {
                hash.Put(entry);
            }
        }

        hash.Put(policy.PortLists.Count);
        foreach (PortList list in policy.PortLists.Values)
        {
            hash.Put(list.Id).Put(list.Name).Put(list.MaxEntries).Put(list.Entries.Length);
            foreach (PortRange range in list.Entries.OrderBy(range => range.First).ThenBy(range => range.Last))
            {
                hash.Put(range.First).Put(range.Last);
            }
        }

        hash.Put(policy.Vnics.Count);
        foreach (Vnic vnic in policy.Vnics.Values)
        {
            hash.Add(Vnics.GetValue(vnic, Written));
        }

        if (!policy.Vpcs.IsEmpty) // a state without them keeps the hash that it had before there were any
        {
            Put(hash, policy.Vpcs.Values);
        }

        return hash.Finish();
    }

    /// <summary>
    /// Carries the sum of members from a group to the same group with some members added and removed.
    /// </summary>
    internal static void Carry(
        SecurityGroup before, SecurityGroup after, IEnumerable<IpPrefix> added, IEnumerable<IpPrefix> removed)
    {
        byte[] sum = [.. MemberSum(before)];
        foreach (IpPrefix member in added)
        {
            Add(sum, member, subtract: false);
        }

        foreach (IpPrefix member in removed)
        {
            Add(sum, member, subtract: true);
        }

        MemberSums.AddOrUpdate(after, sum);
    }

    private static void Put(Stream hash, SecurityGroup group)
    {
        hash.Add(Heads.GetValue(group, HeadOf)).Put(group.Members.Count).Put(MemberSum(group));
    }

    private static byte[] HeadOf(SecurityGroup group)
    {
        using var head = new Stream();
        head.Put(group.Id).Put(group.VpcId).Put((int)group.Type).Put((int)group.InnerAccess)
            .Put(group.ServiceManaged ? 1 : 0)
            .Put(group.Name).Put(group.Description).Put(group.Labels.Count);
        foreach ((string key, string value) in group.Labels)
        {
            head.Put(key).Put(value);
        }

        head.Put(group.Rules.Length);
        foreach (GroupRule rule in group.Rules.OrderBy(rule => rule.Id, StringComparer.Ordinal))
        {
            head.Put(rule.Id).Put((int)rule.Direction).Put(rule.Protocol is byte protocol ? protocol : -1)
                .Put((int)rule.Verdict)
                .Put(rule.Priority)
                .Put(rule.Remote.GetType() == typeof(Remote.Cidr) ? 1 : rule.Remote is Remote.PrefixList ? 2 : 3)
                .Put(rule.Remote.ToString()!).Put(rule.DestinationPorts?.ToString() ?? "").Put(rule.PortListId ?? "")
                .Put(rule.SourcePorts?.ToString() ?? "").Put(rule.OwnSide?.ToString() ?? "").Put(rule.Description);
        }

        return head.Written();
    }

    private static byte[] Written(Vnic vnic)
    {
        using var hash = new Stream();
        hash.Put(vnic.Id).Put(vnic.InterfaceName).Put(vnic.Mac.ToString()).Put(vnic.VpcId).Put(vnic.Addresses.Length);
        foreach (IpPrefix address in vnic.Addresses)
        {
            hash.Put(address);
        }

        hash.Put(vnic.DelegatedPrefixes.Length);
        foreach (IpPrefix prefix in vnic.DelegatedPrefixes.Order())
        {
            hash.Put(prefix);
        }

        hash.Put(vnic.GroupIds.Length);
        foreach (string id in vnic.GroupIds.Order(StringComparer.Ordinal))
        {
            hash.Put(id);
        }

        hash.Put(vnic.Timeouts.TcpEstablishedSeconds).Put(vnic.Timeouts.TcpClosedAndTimeWaitSeconds)
            .Put(vnic.Timeouts.UdpSeconds)
            .Put((vnic.SourceDestinationCheck ? 1 : 0) | (vnic.MaxSessions is null ? 0 : 2));
        if (vnic.MaxSessions is int sessions)
        {
            hash.Put(sessions);
        }

        return hash.Written();
    }

    private static void Put(Stream hash, IEnumerable<Vpc> vpcs)
    {
        hash.Put(vpcs.Count());
        foreach (Vpc vpc in vpcs)
        {
            hash.Put(vpc.Id).Put(vpc.UplinkInterfaces.Count);
            foreach (string uplink in vpc.UplinkInterfaces)
            {
                hash.Put(uplink);
            }
        }
    }

    private static byte[] MemberSum(SecurityGroup group) => MemberSums.GetValue(group, static key =>
    {
        byte[] sum = new byte[SHA256.HashSizeInBytes];
        foreach (IpPrefix member in key.Members)
        {
            Add(sum, member, subtract: false);
        }

        return sum;
    });

    private static void Add(byte[] sum, IpPrefix member, bool subtract)
    {
        memberHashes++;
        Span<byte> bytes = stackalloc byte[18];
        bytes[0] = (byte)member.Family;
        bytes[1] = member.Length;
        BinaryPrimitives.WriteUInt128LittleEndian(bytes[2..], member.Bits);
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, digest);
        for (int lane = 0; lane < sum.Length; lane += 8)
        {
            ulong old = BinaryPrimitives.ReadUInt64LittleEndian(sum.AsSpan(lane));
            ulong part = BinaryPrimitives.ReadUInt64LittleEndian(digest[lane..]);
            BinaryPrimitives.WriteUInt64LittleEndian(sum.AsSpan(lane), unchecked(subtract ? old - part : old + part));
        }
    }

    private sealed class Stream : IDisposable
    {
        private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        private readonly ArrayBufferWriter<byte> unhashed = new();

        public Stream Put(int value)
        {
            BinaryPrimitives.WriteInt32LittleEndian(unhashed.GetSpan(sizeof(int)), value);
            unhashed.Advance(sizeof(int));
            return this;
        }

        public Stream Put(string value) => Put(Encoding.UTF8.GetBytes(value));

        public Stream Put(byte[] value)
        {
            Put(value.Length);
            unhashed.Write(value);
            return this;
        }

        public Stream Put(IpPrefix prefix) => Put(prefix.ToString());

        /// <summary>What was put into another one.</summary>
        public Stream Add(byte[] written)
        {
            Flush();
            hash.AppendData(written);
            return this;
        }

        /// <summary>What was put into this one; it has no hash then.</summary>
        public byte[] Written() => unhashed.WrittenSpan.ToArray();

        public byte[] Finish()
        {
            Flush();
            return hash.GetHashAndReset();
        }

        public void Dispose() => hash.Dispose();

        private void Flush()
        {
            hash.AppendData(unhashed.WrittenSpan);
            unhashed.ResetWrittenCount();
        }
    }
}
