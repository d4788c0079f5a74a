using Agent.Nftables;

namespace Agent.Compiler;

/// <summary>The elements of a verdict map by interface name.</summary>
internal sealed class DispatchRows
{
    private readonly NftElements.Builder rows =
        new(NftElements.RowLength([NftType.IfName], interval: false, NftSetKind.VerdictMap));

    public void Goto(string name, string chain) => Add(name, NftVerdict.Goto(chain));

    public void Add(string name, NftVerdict verdict)
    {
        Span<byte> row = rows.Add();
        NftElements.PutName(row[..NftElements.InterfaceBytes], name);
        NftElements.PutVerdict(row[NftElements.InterfaceBytes..], verdict);
    }

    /// <param name="name">The map's name.</param>
    public NftSet Map(string name) => new(
        name, [NftType.IfName], Interval: false, NftSetKind.VerdictMap, Size: null, Counters: false, rows.Build());
}
