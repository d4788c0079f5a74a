using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator.Proof;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;
using Nfnl = Agent.Nftables.Wire.Nfnl;

namespace Agent.Tests.Fuzz;

/// <summary>
/// A ruleset as the kernel lists it: ours, or somebody else's. What was read is written again, printed, compared, and
/// judged for what it does to packets.
/// </summary>
internal sealed class NftablesTarget : NetlinkTarget
{
    private static readonly PolicySnapshot Policy = new PolicyBuilder()
        .Advanced("sg", "in 1 accept tcp 22/22 0.0.0.0/0").Nic("n", "10.0.0.8", "sg").Build();

    private static readonly ProofFacts Facts =
        Verifier.FactsOf(RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(Policy)));

    private ReadTables tables = new();

    public NftablesTarget() : base(NfMessage.HeaderBytes)
    {
    }

    public override string Name => "nftables";

    public override string Read(byte[] input)
    {
        tables = new ReadTables();
        string came = base.Read(input);
        Ruleset ruleset = tables.Build();
        string text = NftText.Print(ruleset);
        _ = Plan.Between(ruleset, Ruleset.Empty);
        FuzzException.Unless(ruleset == tables.Build(), "a ruleset is not itself");
        return $"{came} {text.Split('\n').Count(line => line.Contains("# not printable", StringComparison.Ordinal))}";
    }

    public override void ReadDeeply(byte[] input)
    {
        base.Read(input);
        Ruleset ruleset = tables.Build();
        ImmutableArray<ForeignHook> hooks = new ForeignHooks(
            Policy, PolicySettings.Default, Facts, ["uplink0"]).In(ruleset.Tables);
        foreach (NftChain chain in ruleset.Tables.SelectMany(table => table.Chains)
            .Where(chain => chain.Hook is { Hook: NftHook.Forward } && chain.Rules.Any(DropsAll)))
        {
            FuzzException.Unless(
                hooks.Any(hook => hook.Chain == chain.Name) || ruleset.Tables.All(table => table.Dormant),
                $"chain '{chain.Name}' drops, and nothing is said of it");
        }
    }

    protected override string Read(NlMessage message)
    {
        ushort op = (ushort)(message.Type - (Nfnl.SubsysNftables << 8) & 0xffff);
        NlAttrs attrs = message.Attrs(NfMessage.HeaderBytes);
        var family = (NftFamily)message.Payload[0];
        family = Enum.IsDefined(family) ? family : NftFamily.Inet;
        switch (op)
        {
            case NftMsg.NewChain: return tables.Chain(attrs, family);
            case NftMsg.NewRule: return tables.Rule(attrs, family);
            case NftMsg.NewSet: return tables.Set(attrs, family);
            case NftMsg.NewSetElem: return tables.Elements(attrs);
            case NftMsg.NewObj: return tables.Object(attrs, family);
            default: return "of another kind";
        }
    }

    private static bool DropsAll(NftRule rule) =>
        rule.Exprs is [NftExpr.VerdictIs { Verdict.Code: NftVerdictCode.Drop }, ..];
}
