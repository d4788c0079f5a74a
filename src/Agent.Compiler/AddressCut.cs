using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>The addresses of one family with the numbers of their classes, as the kernel's maps have them.</summary>
/// <param name="family">Of the addresses.</param>
/// <param name="hosts">Single addresses: address, number.</param>
/// <param name="nets">Disjoint ranges: first, last, number. An address that is a host too has the host's.</param>
internal sealed class AddressCut(IpFamily family, NftElements hosts, NftElements nets)
{
    private readonly int width = WidthOf(family);

    public IpFamily Family => family;

    public NftElements Hosts => hosts;

    public NftElements Nets => nets;

    public static int WidthOf(IpFamily family) => family == IpFamily.V4 ? 4 : 16;

    public static AddressCut Of(IpFamily family, AddressSpace space, IReadOnlyDictionary<Signature, uint> numbers) =>
        new(family, Rows(family, space.Hosts, numbers, interval: false),
            Rows(family, space.Nets, numbers, interval: true));

    public UInt128 FirstOf(NftElements rows, int row) => NumberAt(rows[row]);

    public UInt128 LastOf(NftElements rows, int row) =>
        ReferenceEquals(rows, nets) ? NumberAt(rows[row][width..]) : NumberAt(rows[row]);

    public static uint MarkOf(NftElements rows, int row) => BitConverter.ToUInt32(rows[row][^sizeof(uint)..]);

    /// <summary>The class number of a single address; null: it is none of the hosts.</summary>
    public uint? HostAt(UInt128 address)
    {
        Span<byte> key = stackalloc byte[16];
        AddressClasses.PutAddress(key, family, address);
        int row = hosts.IndexOfKey(key[..width]);
        return row < 0 ? null : MarkOf(hosts, row);
    }

    /// <summary>The class number of the range around an address; null: there is none.</summary>
    public uint? NetAt(UInt128 address)
    {
        int low = 0;
        int high = nets.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            if (LastOf(nets, middle) < address)
            {
                low = middle + 1;
            }
            else if (FirstOf(nets, middle) > address)
            {
                high = middle - 1;
            }
            else
            {
                return MarkOf(nets, middle);
            }
        }

        return null;
    }

    /// <summary>Whether any address has the number.</summary>
    public bool Has(uint number) => Has(nets, number) || Has(hosts, number);

    /// <summary>The same with other numbers for some single addresses.</summary>
    /// <param name="moves">Address, number before and after; null: it is none of the hosts.</param>
    public AddressCut With(IEnumerable<(UInt128 Address, uint? Old, uint? New)> moves)
    {
        var removed = new NftElements.Builder(hosts.RowBytes);
        var added = new NftElements.Builder(hosts.RowBytes);
        foreach ((UInt128 address, uint? old, uint? fresh) in moves)
        {
            Put(removed, address, old);
            Put(added, address, fresh);
        }

        return new AddressCut(family, hosts.Edited(removed.Build(), added.Build()), nets);

        void Put(NftElements.Builder rows, UInt128 address, uint? number)
        {
            if (number is uint mark)
            {
                Span<byte> row = rows.Add();
                AddressClasses.PutAddress(row, family, address);
                BitConverter.TryWriteBytes(row[width..], mark);
            }
        }
    }

    private static bool Has(NftElements rows, uint number)
    {
        for (int row = 0; row < rows.Count; row++)
        {
            if (MarkOf(rows, row) == number)
            {
                return true;
            }
        }

        return false;
    }

    private UInt128 NumberAt(ReadOnlySpan<byte> row) => family == IpFamily.V4
        ? System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(row)
        : System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(row);

    private static NftElements Rows(
        IpFamily family, IReadOnlyList<Segment> segments, IReadOnlyDictionary<Signature, uint> numbers, bool interval)
    {
        int addressBytes = WidthOf(family);
        int keyBytes = interval ? 2 * addressBytes : addressBytes;
        var rows = new NftElements.Builder(keyBytes + sizeof(uint));
        Span<byte> row = stackalloc byte[keyBytes + sizeof(uint)];
        foreach (Segment segment in segments)
        {
            AddressClasses.PutAddress(row, family, segment.First);
            if (interval)
            {
                AddressClasses.PutAddress(row[addressBytes..], family, segment.Last);
            }

            BitConverter.TryWriteBytes(row[keyBytes..], numbers[segment.Signature]);
            rows.Add(row);
        }

        return rows.Build();
    }
}
