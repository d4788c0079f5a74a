using System.Buffers.Binary;
using System.Globalization;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Writes a <see cref="RunProgram"/>: an interval map and a lookup for each run.</summary>
/// <remarks>
/// <code>
/// CHAIN: mark := place; meta nfproto F -> jump CHAIN_runF
///   CHAIN_runF: meta l4proto P -> goto CHAIN_runF_P          protocols whose ports rules name
///               @run_... (place . own address . protocol), one after the other
///   CHAIN_runF_P:  @run_... (place . own address . port . source port)
///   each comes back as soon as the mark is a decision
/// </code>
/// Ports are looked at only where there are some. A field that no box of a list narrows is not part of its keys. Maps
/// are named by their content, and never edited in place: a run that did not change keeps its map.
/// </remarks>
/// <param name="runs">What it writes.</param>
/// <param name="name">First part of the maps' names.</param>
internal sealed class RunEmitter(RunProgram runs, string name)
{
    private readonly ListMaps[] lists = [.. runs.Lists.Select(list => ListMaps.Of(list, runs.Family, name))];

    public IpFamily Family => runs.Family;

    /// <summary>Each once: runs of equal content share it.</summary>
    public IEnumerable<NftSet> Maps() => lists.SelectMany(list => list.Maps).DistinctBy(map => map.Name);

    /// <summary>Whether the chains do anything.</summary>
    public bool IsEmpty => lists.All(list => list.Maps.Length == 0);

    /// <param name="judge">The chain that jumps there.</param>
    /// <param name="family">Family.</param>
    public static string ChainName(string judge, IpFamily family) => $"{judge}_run{(int)family}";

    /// <param name="judge">The chain that jumps there.</param>
    /// <param name="remoteIsSource">The packet comes from the remote side.</param>
    /// <param name="mirrored">The packet is a reply: ports are looked up the other way round.</param>
    public IEnumerable<NftChain> Chains(string judge, bool remoteIsSource, bool mirrored)
    {
        string chain = ChainName(judge, Family);
        var rules = new List<NftRule>();
        foreach (ListMaps list in lists)
        {
            List<NftRule> steps = list.Steps(Family, remoteIsSource, mirrored);
            if (list.Protocol is not byte protocol)
            {
                rules.AddRange(steps);
                continue;
            }

            string own = string.Create(CultureInfo.InvariantCulture, $"{chain}_{protocol}");
            rules.Add(Exprs.Rule(Exprs.L4Proto(protocol), Exprs.Goto(own)));
            yield return new NftChain(own, Hook: null, steps.ToValueArray());
        }

        yield return new NftChain(chain, Hook: null, rules.ToValueArray());
    }

    /// <summary>The maps of one list, in order.</summary>
    private sealed record ListMaps(byte? Protocol, bool HasOwn, bool HasSource, NftSet[] Maps)
    {
        public static ListMaps Of(RunList list, IpFamily family, string name)
        {
            var shape = new ListMaps(list.Protocol, list.HasOwn(family), list.HasSource, []);
            return shape with { Maps = [.. list.Runs.Select(run => shape.Map(run, family, name))] };
        }

        public List<NftRule> Steps(IpFamily family, bool remoteIsSource, bool mirrored)
        {
            var rules = new List<NftRule>();
            foreach (NftSet map in Maps)
            {
                byte word = 1;
                IEnumerable<NftExpr> own = [];
                if (HasOwn)
                {
                    own = Exprs.LoadAddress(family, source: !remoteIsSource, word);
                    word += (byte)(AddressBytes(family) / sizeof(uint));
                }

                IEnumerable<NftExpr> port = Protocol is null ? Exprs.LoadL4Proto(word)
                    : Exprs.LoadPort(source: mirrored, word);
                IEnumerable<NftExpr> source = HasSource ? Exprs.LoadPort(source: !mirrored, (byte)(word + 1)) : [];
                rules.Add(Exprs.Rule(Exprs.MarkFrom(map.Name, Exprs.LoadMarkInWireOrder(), own, port, source)));
                if (map != Maps[^1])
                {
                    rules.Add(Exprs.Rule(
                        Exprs.MarkAnyOf(Decision.AcceptBit | Decision.DropBit), Exprs.Return()));
                }
            }

            return rules;
        }

        private NftSet Map(IReadOnlyList<RunBox> run, IpFamily family, string name)
        {
            NftType port = Protocol is null ? NftType.InetProto : NftType.InetService;
            ValueArray<NftType> key =
            [
                NftType.Mark, .. HasOwn ? [family == IpFamily.V4 ? NftType.Ipv4Addr : NftType.Ipv6Addr] : (NftType[])[],
                port, .. HasSource ? [NftType.InetService] : (NftType[])[],
            ];
            int half = NftSet.KeyLength(key);
            var rows = new NftElements.Builder(NftElements.RowLength(key, interval: true, NftSetKind.MarkMap));
            foreach (RunBox box in run)
            {
                Span<byte> row = rows.Add();
                Put(row, family, box.Place.First, box.Own.First, box.Port.First, box.Source.First);
                Put(row[half..], family, box.Place.Last, box.Own.Last, box.Port.Last, box.Source.Last);
                BitConverter.TryWriteBytes(row[(2 * half)..], box.Decision);
            }

            NftElements elements = rows.Build();
            return new NftSet(
                $"{name}_run_{PolicyEmitter.ContentName(elements, key)}", key, Interval: true, NftSetKind.MarkMap,
                Size: null, Counters: true, elements);
        }

        private void Put(
            Span<byte> bound, IpFamily family, UInt128 place, UInt128 own, UInt128 port, UInt128 source)
        {
            BinaryPrimitives.WriteUInt32BigEndian(bound, (uint)place);
            int at = sizeof(uint);
            if (HasOwn)
            {
                AddressClasses.PutAddress(bound[at..(at + AddressBytes(family))], family, own);
                at += AddressBytes(family);
            }

            if (Protocol is null)
            {
                bound[at] = (byte)port;
            }
            else
            {
                BinaryPrimitives.WriteUInt16BigEndian(bound[at..], (ushort)port);
            }

            if (HasSource)
            {
                BinaryPrimitives.WriteUInt16BigEndian(bound[(at + sizeof(uint))..], (ushort)source);
            }
        }

        private static int AddressBytes(IpFamily family) => IpPrefix.WidthOf(family) / 8;
    }
}
