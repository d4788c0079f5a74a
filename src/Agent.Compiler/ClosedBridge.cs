using Agent.Nftables;

namespace Agent.Compiler;

/// <summary>
/// What stands in the bridge family where nothing is judged there: a vNIC that becomes a port of a bridge is closed
/// from its first frame on, until it is judged there or leaves again.
/// </summary>
internal static class ClosedBridge
{
    private const string VnicSet = "vnics";

    public static NftSet Vnics(IEnumerable<string> interfaces) =>
        Datapath.InterfaceSet(VnicSet, interfaces);

    public static IEnumerable<NftChain> Chains(CompilerSettings settings, DropLog? log)
    {
        NftRule[] from = [.. Drops(settings, log, incoming: true)];
        NftRule[] to = [.. Drops(settings, log, incoming: false)];
        yield return Datapath.Hooked("sg_forward", NftHook.Forward, [.. from, .. to], Datapath.BridgePriority);
        yield return Datapath.Hooked("sg_input", NftHook.Input, from, Datapath.BridgePriority);
        yield return Datapath.Hooked("sg_output", NftHook.Output, to, Datapath.BridgePriority);
    }

    private static IEnumerable<NftRule> Drops(CompilerSettings settings, DropLog? log, bool incoming)
    {
        string counter = Datapath.ClosedCounter(from: incoming);
        if (log is not null)
        {
            yield return log.Rule(new RecordPrefix(incoming, DropReason.Closed), incoming);
        }

        yield return Exprs.Rule(Exprs.InterfaceIn(incoming, VnicSet), Exprs.CountIn(counter), Exprs.Drop());
        foreach (string pattern in settings.ManagedInterfaces)
        {
            yield return Exprs.Rule(Exprs.InterfaceIs(incoming, pattern), Exprs.CountIn(counter), Exprs.Drop());
        }
    }
}
