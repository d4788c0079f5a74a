using Agent.Nftables;

namespace Agent.Compiler;

/// <summary>Rules that report packets to whoever listens at an nflog group; they decide nothing.</summary>
/// <remarks>
/// A set has an element per vNIC with a rate of its own, and looking an interface up that is beyond its rate is no
/// match: a flood of drops costs one lookup a packet, and a vNIC that floods takes nothing from another one.
/// </remarks>
/// <param name="Group">nflog group.</param>
/// <param name="Rate">Records a second, per vNIC and table.</param>
/// <param name="Burst">Records at once.</param>
internal sealed record DropLog(ushort Group, uint Rate, uint Burst)
{
    /// <returns>Null: nothing is reported in this family.</returns>
    public static DropLog? Of(CompilerSettings settings, HostFacts host, NftFamily family) =>
        settings.DropRate > 0 && host.LogFamilies.Contains(family)
            ? new DropLog(settings.LogGroup, settings.DropRate, settings.DropBurst) : null;

    // The kernel cannot change what elements are given: another rate is another set.
    private string SetName => $"log_{Rate}_{Burst}";

    private NftExpr.Limit Limit => new(Rate, UnitSeconds: 1, Burst, NftLimitType.Packets, Over: false);

    public NftSet Set(IEnumerable<string> interfaces) =>
        Datapath.InterfaceSet(SetName, interfaces) with { Limit = Limit };

    /// <summary>Reports packets of known interfaces.</summary>
    /// <param name="prefix">What is said of them.</param>
    /// <param name="incoming">Which interface of the packet.</param>
    /// <param name="where">Which packets.</param>
    public NftRule Rule(RecordPrefix prefix, bool incoming, params ReadOnlySpan<IEnumerable<NftExpr>> where) =>
        Exprs.Rule([.. where, Exprs.InterfaceIn(incoming, SetName), Log(Group, prefix)]);

    /// <summary>Reports packets of interfaces that nobody has named; those share one rate.</summary>
    public NftRule Unnamed(RecordPrefix prefix, bool incoming) => Exprs.Rule(
        Exprs.InterfaceNotIn(incoming, SetName), [Limit], Log(Group, prefix));

    public static IEnumerable<NftExpr> Log(ushort group, RecordPrefix prefix) =>
        [new NftExpr.Log(group, prefix.ToString(), SnapLength: 0, QueueThreshold: 0)];
}
