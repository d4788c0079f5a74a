using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>The chains of a judging table that no policy and no vNIC changes, in the order of their names.</summary>
internal sealed class FixedChains
{
    private readonly (CompilerSettings, PolicySettings, uint Epoch, Layer Layer, DropLog?) basis;

    private FixedChains(CompileRequest request, NftFamily family, FixedChains? earlier)
    {
        basis = BasisOf(request, family);
        Datapath datapath = RulesetCompiler.DatapathOf(request, family);
        OfEpoch = [.. datapath.EpochChains().Select(chain => RulesetCompiler.Shaped(family, chain))];
        if (earlier is not null && earlier.basis with { Epoch = basis.Epoch } == basis)
        {
            Chains = Renewed(earlier.Chains);
            return;
        }

        Dictionary<string, NftChain> known = earlier is null || earlier.basis.Layer.Family != family ? []
            : earlier.Chains.ToDictionary(chain => chain.Name, StringComparer.Ordinal);
        Chains = NameOrder.Of(
            datapath.Chains().Select(chain => RulesetCompiler.Shaped(family, chain))
                .Select(chain => known.GetValueOrDefault(chain.Name) is { } same && same == chain ? same : chain),
            chain => chain.Name);
    }

    public NftChain[] Chains { get; }

    /// <summary>Those that name the epoch.</summary>
    private NftChain[] OfEpoch { get; }

    /// <param name="request">Says the epoch.</param>
    /// <param name="family">Of the table.</param>
    /// <param name="earlier">
    /// Taken if nothing has changed; otherwise those of its chains that are equal, so that who compares need not look.
    /// </param>
    public static FixedChains Of(CompileRequest request, NftFamily family, FixedChains? earlier) =>
        earlier is not null && earlier.basis == BasisOf(request, family) ? earlier
            : new FixedChains(request, family, earlier);

    /// <summary>A table's chains under this epoch.</summary>
    public NftChain[] Renewed(IEnumerable<NftChain> chains)
    {
        NftChain[] renewed = [.. chains];
        for (int i = 0; i < renewed.Length; i++)
        {
            foreach (NftChain one in OfEpoch)
            {
                renewed[i] = one.Name == renewed[i].Name ? one : renewed[i];
            }
        }

        return renewed;
    }

    private static (CompilerSettings, PolicySettings, uint, Layer, DropLog?) BasisOf(
        CompileRequest request, NftFamily family) => (
        request.Settings, request.PolicySettings, request.Epoch, RulesetCompiler.LayerOf(request, family),
        RulesetCompiler.LogOf(request, family));
}
