using Agent.Nftables;

namespace Agent.Compiler;

/// <summary>
/// Counters of drops, one per interface, side and reason, and maps that lead from an interface to its counter.
/// </summary>
/// <remarks>
/// They are objects with names, not elements that count: one dump reads those of all tables, where a dump reads the
/// elements of one set.
/// </remarks>
internal sealed class DropCounters
{
    private readonly string[] vnics;
    private readonly string[] uplinks;

    private DropCounters(string[] vnics, string[] uplinks)
    {
        (this.vnics, this.uplinks) = (vnics, uplinks);
        List<NftSet> maps = [];
        List<NftObject> objects = [];
        foreach (bool from in (bool[])[true, false])
        {
            foreach (string reason in from ? DropReason.From : DropReason.To)
            {
                var rows = new NftElements.Builder(
                    NftElements.RowLength([NftType.IfName], interval: false, NftSetKind.CounterMap));
                foreach (string device in Counted(from, reason))
                {
                    string name = Name(from, reason, device);
                    objects.Add(new NftObject.Counter(name));
                    Span<byte> row = rows.Add();
                    NftElements.PutName(row[..NftElements.InterfaceBytes], device);
                    NftElements.PutName(row[NftElements.InterfaceBytes..], name);
                }

                maps.Add(new NftSet(
                    Map(from, reason), [NftType.IfName], Interval: false, NftSetKind.CounterMap, Size: null,
                    Counters: false, rows.Build()));
            }
        }

        Maps = maps;
        Objects = [.. objects.OrderBy(one => one.Name, StringComparer.Ordinal)];
    }

    /// <summary>Of vNICs, then of uplinks.</summary>
    public IEnumerable<string> Interfaces => vnics.Concat(uplinks);

    public IReadOnlyList<NftSet> Maps { get; }

    /// <summary>In the order of their names.</summary>
    public IReadOnlyList<NftObject> Objects { get; }

    /// <param name="vnics">Interfaces of all vNICs.</param>
    /// <param name="uplinks">Uplinks of listed VPCs: no vNIC of another VPC may send there either.</param>
    /// <param name="earlier">What is used again if it is of the same interfaces.</param>
    public static DropCounters Of(string[] vnics, string[] uplinks, DropCounters? earlier) =>
        earlier is not null && earlier.vnics.AsSpan().SequenceEqual(vnics)
            && earlier.uplinks.AsSpan().SequenceEqual(uplinks) ? earlier : new DropCounters(vnics, uplinks);

    /// <summary>The map that a drop chain looks into.</summary>
    public static string Map(bool from, string reason) =>
        $"n_{(from ? Datapath.DropFrom(reason) : Datapath.DropTo(reason))}";

    /// <summary>The counter of an interface.</summary>
    public static string Name(bool from, string reason, string device) =>
        $"n_{reason}_{(from ? "out" : "in")}_{Names.OfInterface(device)}";

    /// <summary>The expressions of <c>counter name iifname map @name</c>; an interface without a counter ends the rule.
    /// </summary>
    public static IEnumerable<NftExpr> Count(bool from, string reason) =>
        Exprs.CountedIn(incoming: from, Map(from, reason));

    private IEnumerable<string> Counted(bool from, string reason) =>
        !from && reason == DropReason.Zone ? Interfaces : vnics;
}
