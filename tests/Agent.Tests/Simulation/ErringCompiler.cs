using Agent.Compiler;
using Agent.Nftables;

namespace Agent.Tests.Simulation;

/// <summary>A compiler that errs: what proofs before a commit are for.</summary>
internal static class ErringCompiler
{
    /// <summary>Compiles, and spoils the inet table.</summary>
    /// <param name="request">What to compile.</param>
    /// <param name="fault">What becomes of the table that was right.</param>
    public static CompiledRuleset Compile(CompileRequest request, Func<CompileRequest, NftTable, NftTable> fault)
    {
        CompiledRuleset right = RulesetCompiler.Compile(request);
        var wrong = new Ruleset(right.Ruleset.Tables
            .Select(table => table.Family == NftFamily.Inet ? fault(request, table) : table).ToValueArray());
        return new CompiledRuleset(right.Request, wrong, right.Profiles, right.Classes, right.Guards, right.Drops)
        {
            Failed = right.Failed,
            Closed = right.Closed,
            Zones = right.Zones,
            CountedVnics = right.CountedVnics,
            UncountedRules = right.UncountedRules,
        };
    }

    /// <summary>Lets everything in to the vNICs of a profile, as long as that is not held back.</summary>
    public static NftTable Open(CompileRequest request, NftTable table, string profile) =>
        request.HeldBack.ContainsKey(profile) ? table
            : Prepend(table, profile + "_in", new NftExpr.VerdictIs(NftVerdict.Goto(Datapath.Admit)));

    public static NftTable Prepend(NftTable table, string chain, NftExpr expr) => table with
    {
        Chains = table.Chains.Select(one => one.Name != chain ? one
            : one with { Rules = one.Rules.Prepend(new NftRule([expr])).ToValueArray() }).ToValueArray(),
    };
}
