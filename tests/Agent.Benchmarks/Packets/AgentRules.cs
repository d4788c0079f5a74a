using Agent.Compiler;
using Agent.Nftables;
using Agent.Policy;
using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>The ruleset that the real compiler makes, committed as the agent commits it.</summary>
/// <param name="name">In the report.</param>
/// <param name="settings">How it is laid out.</param>
/// <param name="guarded">Whether guests are held to their addresses at their devices (the netdev table).</param>
internal sealed class AgentRules(string name, CompilerSettings settings, bool guarded = true) : IFirewall
{
    private const uint Epoch = 0x0001_0000;
    private const int OpsPerTransaction = 2000;

    public static readonly AgentRules Usual = new("sg-agent", CompilerSettings.Default);

    public static readonly AgentRules Unlimited =
        new("sg-agent, no session limit", CompilerSettings.Default with { MaxSessionsPerVnic = 0 });

    public static readonly AgentRules Silent =
        new("sg-agent, drops not reported", CompilerSettings.Default with { DropRate = 0 });

    public static readonly AgentRules Unguarded =
        new("sg-agent, no limit, no guard", CompilerSettings.Default with { MaxSessionsPerVnic = 0 }, guarded: false);

    public string Name => name;

    public bool HasPolicy => true;

    public IDisposable Load(NetNamespace host, TrafficPolicy policy)
    {
        NftConnection connection = host.Run(() => new NftConnection());
        try
        {
            Commit(connection, Plan.Between(Ruleset.Empty, RulesetOf(Compile(policy.Snapshot(), null))));
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>The ruleset of a policy, parts of an earlier one taken over.</summary>
    public CompiledRuleset Compile(PolicySnapshot policy, CompiledRuleset? before)
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(
            new CompileRequest(policy, PolicySettings.Default, settings, HostFacts.Default, Epoch)
            {
                Previous = before,
            });
        return compiled.Failed.IsEmpty ? compiled
            : throw new InvalidOperationException($"not compiled: {compiled.Failed.First()}");
    }

    /// <summary>What of it is enforced.</summary>
    public Ruleset RulesetOf(CompiledRuleset compiled) => guarded ? compiled.Ruleset
        : new Ruleset(compiled.Ruleset.Tables.Where(table => table.Family != NftFamily.Netdev).ToValueArray());

    /// <summary>Prepares, switches and cleans up.</summary>
    /// <returns>How many transactions that were.</returns>
    public static int Commit(NftConnection connection, Plan plan)
    {
        int transactions = 0;
        foreach (NftOp[] ops in plan.Prepare.Chunk(OpsPerTransaction).Append([.. plan.Switch])
            .Append([.. plan.Cleanup]).Where(ops => ops.Length > 0))
        {
            if (connection.Commit(ops, generation: null) is not CommitOutcome.Committed)
            {
                throw new InvalidOperationException("the kernel refused the ruleset");
            }

            transactions++;
        }

        return transactions;
    }
}
