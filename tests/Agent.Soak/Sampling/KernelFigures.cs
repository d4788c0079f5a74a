using Agent.Nftables;
using Agent.Soak.Judging;
using Agent.TestNet;

namespace Agent.Soak.Sampling;

/// <summary>What the kernel holds for the agent.</summary>
internal sealed class KernelFigures(NetNamespace host) : IDisposable
{
    private static readonly (NftFamily, string)[] Ours =
    [
        .. from family in (NftFamily[])[NftFamily.Inet, NftFamily.Netdev, NftFamily.Bridge]
           from table in (string[])["sg_agent", "sg_agent_staged"]
           orderby family, table
           select (family, table),
    ];

    private readonly NftConnection kernel = host.Run(() => new NftConnection());

    public void Read(Dictionary<Quantity, double> into)
    {
        Ruleset ruleset = kernel.ReadRuleset(Ours).Ruleset;
        into[Quantity.Tables] = ruleset.Tables.Count;
        into[Quantity.Chains] = ruleset.Tables.Sum(table => table.Chains.Count);
        into[Quantity.Rules] = ruleset.Tables.Sum(table => table.Chains.Sum(chain => chain.Rules.Count));
        into[Quantity.Sets] = ruleset.Tables.Sum(table => table.Sets.Count);
        into[Quantity.Elements] = ruleset.Tables.Sum(table => table.Sets.Sum(set => (double)set.Elements.Count));
        into[Quantity.Counters] = ruleset.Tables.Sum(table => table.Objects.Count(one => one is NftObject.Counter));
        into[Quantity.Timeouts] = ruleset.Tables.Sum(table => table.Objects.Count(one => one is NftObject.CtTimeout));
        into[Quantity.Sessions] = SessionTable.Count(host);
    }

    /// <summary>The agent has none; nft says so, as it knows kinds of objects that we do not read.</summary>
    public void ReadFlowtables(Dictionary<Quantity, double> into) => into[Quantity.Flowtables] =
        host.Exec("nft", "list", "flowtables").Split('\n')
            .Count(line => line.Contains("flowtable ", StringComparison.Ordinal));

    public void Dispose() => kernel.Dispose();
}
