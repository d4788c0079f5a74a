using Agent.Nftables;
using Agent.Tests.Nftables;

namespace Agent.KernelTests.Nftables;

public class ConnectionTests
{
    private static readonly (NftFamily, string)[] Tables =
        [(NftFamily.Inet, Samples.Table), (NftFamily.Netdev, Samples.Table), (NftFamily.Bridge, Samples.Table)];

    public ConnectionTests() => Namespace.MustBeThrowaway();

    [Fact]
    public void What_is_committed_is_read_back()
    {
        using NftConnection nft = Namespace.Clean();
        Ruleset wanted = Samples.Everything();
        uint before = nft.ReadGeneration();
        CommitOutcome outcome = nft.Commit(Samples.Build(wanted), before);
        CommitOutcome.Committed done = Assert.IsType<CommitOutcome.Committed>(outcome);
        (Ruleset read, uint generation) = nft.ReadRuleset(Tables);
        Assert.Equal(done.Generation, generation);
        Assert.Equal(Describe(wanted), Describe(read));
        Assert.Equal(wanted, read);
    }

    internal static string Describe(Ruleset ruleset) => string.Join('\n', ruleset.Tables.SelectMany(table =>
        table.Chains.SelectMany(
            chain => chain.Rules.Select(rule => $"{chain.Name} {chain.Hook}: {string.Join(" ; ", rule.Exprs)}"))
            .Concat(table.Sets.SelectMany(set => Enumerable.Range(0, set.Elements.Count)
                .Select(i =>
                    $"{set.Name} {set.Unexpected} {set.Kind} {set.Size} {Convert.ToHexString(set.Elements[i])}")))
            .Concat(table.Objects.Select(one => one.ToString()))));
}
