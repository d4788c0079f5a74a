using System.Buffers.Binary;
using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>The addresses of one family that a guest may call its own, as a condition of a rule.</summary>
/// <remarks>
/// A few are compared one after the other, which costs a packet less than a set; delegated prefixes may be hundreds,
/// and are then a set. Its name says its shape, because the kernel cannot change the shape of a set that exists.
/// </remarks>
internal sealed class OwnAddresses
{
    private const int ComparedMax = 4;

    private readonly IpFamily family;
    private readonly ImmutableArray<IpPrefix> prefixes;

    private OwnAddresses(IpFamily family, IEnumerable<IpPrefix> own, string interfaceName)
    {
        this.family = family;
        IpPrefix[] all = [.. own.Where(prefix => prefix.Family == family).Distinct().Order()];
        prefixes = [.. all.Where(one => !all.Any(other => other != one && other.Contains(one)))];
        string shape = prefixes.All(prefix => prefix.IsHost) ? "own" : "net";
        Set = prefixes.Length > ComparedMax ? MakeSet($"{shape}{(int)family}_{interfaceName}") : null;
    }

    /// <summary>Addresses, delegated prefixes, and the link-local address that the MAC makes.</summary>
    public static OwnAddresses Of(Vnic vnic, IpFamily family) => new(
        family, vnic.Addresses.Concat(vnic.DelegatedPrefixes).Append(VnicGuard.LinkLocal(vnic.Mac)),
        Names.OfInterface(vnic.InterfaceName));

    /// <summary>Null: there are few.</summary>
    public NftSet? Set { get; }

    /// <summary>Matches a packet with another address at this place; without own addresses, every packet.</summary>
    public IEnumerable<NftExpr> IsNotAt(NftPayloadBase from, uint offset)
    {
        uint length = family == IpFamily.V4 ? 4u : 16u;
        return Set is not null
            ? Exprs.BytesIn(from, offset, length, Set.Name, negated: true)
            : prefixes.SelectMany(prefix => Exprs.AddressIn(
                prefix, new NftExpr.Payload(from, offset, length, NftReg.R0), NftCmpOp.Neq));
    }

    private NftSet MakeSet(string name)
    {
        bool interval = !prefixes.All(prefix => prefix.IsHost);
        NftType type = family == IpFamily.V4 ? NftType.Ipv4Addr : NftType.Ipv6Addr;
        int width = NftSet.FieldLength(type);
        var rows = new NftElements.Builder(NftElements.RowLength([type], interval, NftSetKind.Set));
        foreach (IpPrefix prefix in prefixes)
        {
            Span<byte> row = rows.Add();
            Put(row[..width], prefix.First);
            if (interval)
            {
                Put(row[width..], prefix.Last);
            }
        }

        return new NftSet(name, [type], interval, NftSetKind.Set, Size: null, Counters: false, rows.Build());
    }

    private static void Put(Span<byte> field, UInt128 address)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, address);
        bytes[(16 - field.Length)..].CopyTo(field);
    }
}
