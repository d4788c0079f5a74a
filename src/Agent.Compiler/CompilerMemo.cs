using Agent.Nftables;

namespace Agent.Compiler;

/// <summary>What a compilation hands to the next one, besides its result.</summary>
/// <param name="Index">Of its vNICs.</param>
/// <param name="Layout">What follows from host and vNICs.</param>
/// <param name="Fixed">Chains of the datapath, by the table's family.</param>
internal sealed record CompilerMemo(
    VnicIndex Index, HostLayout Layout, IReadOnlyDictionary<NftFamily, FixedChains> Fixed);
