using System.Globalization;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>
/// A table as one vNIC looks at it: judgements of its policy, and tests for its own addresses, are symbols, and names
/// of chains and sets are gone. So the chains of one vNIC are those of another, unless they do something else.
/// </summary>
/// <remarks>
/// Each replacement is exact for this vNIC: a condition becomes a symbol only if it is the very function that the
/// policy gives this vNIC. A chain that was written for another vNIC keeps its conditions, and is another node.
/// </remarks>
/// <param name="table">As it is.</param>
/// <param name="nodes">Where templates live.</param>
/// <param name="judgements">Of the vNIC's groups.</param>
/// <param name="vnic">The vNIC.</param>
internal sealed class VnicView(ProgramNodes.Table table, ProgramNodes nodes, Judgements judgements, Vnic vnic)
    : ChainSource
{
    private const int NameBytes = 16;

    private readonly Dictionary<string, ChainNode?> views = new(StringComparer.Ordinal);
    private readonly AddressFunction own4 = Expectation.OwnOf(vnic, IpFamily.V4);
    private readonly AddressFunction own6 = Expectation.OwnOf(vnic, IpFamily.V6);
    private readonly byte[] name = NameOf(vnic);

    /// <summary>Whether the vNIC has addresses of its own.</summary>
    public (bool V4, bool V6) HasOwn =>
        (!own4.Equals(AddressFunction.Zero), !own6.Equals(AddressFunction.Zero));

    public override ChainNode? ChainOf(string? name)
    {
        if (name is null)
        {
            return null;
        }

        if (!views.TryGetValue(name, out ChainNode? view))
        {
            views.Add(name, null);
            views[name] = view = table.ChainOf(name) is ChainNode node ? Of(node) : null;
        }

        return view;
    }

    private ChainNode Of(ChainNode node)
    {
        if (!node.MayNeedView)
        {
            return node;
        }

        return judgements.Of(node, table) is PacketField field
            ? nodes.Template(Symbols.Judge(field), _ => null, _ => null, _ => null) : Template(node);
    }

    private ChainNode Template(ChainNode node)
    {
        var chainNames = new Dictionary<string, string>(StringComparer.Ordinal);
        var setNames = new Dictionary<string, string>(StringComparer.Ordinal);
        var rules = new NftRule[node.Chain.Rules.Count];
        bool changed = false;
        for (int i = 0; i < rules.Length; i++)
        {
            ValueArray<NftExpr> from = node.Chain.Rules[i].Exprs;
            List<NftExpr> exprs = WithSymbols(from, node);
            changed |= exprs.Count != from.Count;
            for (int at = 0; at < exprs.Count; at++)
            {
                changed |= exprs[at] is NftExpr.Opaque; // none of the ruleset's own: MayNeedView
                exprs[at] = Renamed(exprs[at], chainNames, setNames);
            }

            rules[i] = new NftRule(exprs.ToValueArray());
        }

        // What looks most up is likely to be a judgement, and the first one says how forms are best cut.
        foreach (string target in chainNames.Keys.OrderByDescending(name => node.Chains[name]?.Sets.Count ?? 0))
        {
            changed |= !ReferenceEquals(ChainOf(target), node.Chains[target]);
        }

        if (!changed)
        {
            return node;
        }

        Dictionary<string, SetNode?> sets = setNames.ToDictionary(
            pair => pair.Value, pair => node.Sets[pair.Key], StringComparer.Ordinal);
        Dictionary<string, ChainNode?> chains = chainNames.ToDictionary(
            pair => pair.Value, pair => ChainOf(pair.Key), StringComparer.Ordinal);
        return nodes.Template(new NftChain("", Hook: null, rules.ToValueArray()),
            set => sets[set], chain => chains[chain], item => node.Objects.GetValueOrDefault(item));
    }

    /// <summary>The expression with numbers in place of names, which it adds as they come.</summary>
    internal static NftExpr Renamed(
        NftExpr expr, Dictionary<string, string> chainNames, Dictionary<string, string> setNames)
    {
        switch (expr)
        {
            case NftExpr.VerdictIs { Verdict: { Chain: string chain } verdict }:
                return new NftExpr.VerdictIs(verdict with { Chain = Number(chainNames, chain) });
            case NftExpr.Lookup e:
                return e with { Set = Number(setNames, e.Set) };
            case NftExpr.LookupData e:
                return e with { Map = Number(setNames, e.Map) };
            case NftExpr.LookupVerdict e:
                return e with { Map = Number(setNames, e.Map) };
            case NftExpr.ObjectMap e:
                return e with { Map = Number(setNames, e.Map) };
            default:
                return expr;
        }
    }

    private static string Number(Dictionary<string, string> numbers, string name)
    {
        if (!numbers.TryGetValue(name, out string? number))
        {
            // No chain of a kernel has such a name: what a verdict map names is not looked for among these.
            numbers.Add(name, number = string.Create(CultureInfo.InvariantCulture, $"\0{numbers.Count}"));
        }

        return number;
    }

    private List<NftExpr> WithSymbols(ValueArray<NftExpr> exprs, ChainNode node)
    {
        var result = new List<NftExpr>(exprs.Count);
        for (int i = 0; i < exprs.Count; i++)
        {
            if (exprs[i] is NftExpr.Payload { Base: NftPayloadBase.Network } && OwnTest(exprs, i, node) is
                (NftExpr.Opaque symbol, int length))
            {
                result.Add(symbol);
                i += length - 1;
                continue;
            }

            result.Add(exprs[i] is NftExpr.Cmp { Data: { Count: NameBytes } data } && data.Items.AsSpan()
                .SequenceEqual(name) ? Symbols.Either : exprs[i]);
        }

        return result;
    }

    /// <summary>
    /// "Not this address, nor that one ...", or "not in this set", where these are the vNIC's own, at the end of a rule
    /// that reads no register any more.
    /// </summary>
    private (NftExpr.Opaque Symbol, int Length)? OwnTest(ValueArray<NftExpr> exprs, int start, ChainNode node)
    {
        var load = (NftExpr.Payload)exprs[start];
        if ((load.Offset, load.Length) is not ((12, 4) or (16, 4) or (8, 16) or (24, 16)))
        {
            return null;
        }

        IpFamily family = load.Length == 4 ? IpFamily.V4 : IpFamily.V6;
        AddressFunction? tested = null;
        var prefixes = new List<IpPrefix>();
        int at = start;
        for (; at + 1 < exprs.Count && exprs[at] is NftExpr.Payload again && again == load && tested is null;)
        {
            IpPrefix? masked = exprs[at + 1] is NftExpr.Bitwise mask ? PrefixOf(mask, load, family) : null;
            int test = masked is null ? at + 1 : at + 2;
            if (test < exprs.Count && exprs[test] is NftExpr.Cmp { Op: NftCmpOp.Neq } cmp && cmp.Sreg == load.Dreg
                && cmp.Data.Count == load.Length)
            {
                UInt128 address = SetNode.Number(cmp.Data.Items.AsSpan());
                var prefix = new IpPrefix(family, address, masked?.Length ?? IpPrefix.WidthOf(family));
                if (prefix.Bits != address)
                {
                    return null;
                }

                prefixes.Add(prefix);
            }
            else if (masked is null && prefixes.Count == 0
                && exprs[test] is NftExpr.Lookup { Negated: true } lookup && lookup.Sreg == load.Dreg)
            {
                tested = node.Sets[lookup.Set]?.AddressesOf(family);
                if (tested is null)
                {
                    return null;
                }
            }
            else
            {
                break;
            }

            at = test + 1;
        }

        tested ??= prefixes.Count > 0 ? AddressFunction.Of(family, prefixes) : null;
        for (int rest = at; rest < exprs.Count; rest++)
        {
            tested = exprs[rest] is NftExpr.VerdictIs or NftExpr.Counter or NftExpr.ObjectRef ? tested : null;
        }

        if (tested is null || !tested.Equals(family == IpFamily.V4 ? own4 : own6) || !vnic.SourceDestinationCheck)
        {
            return null;
        }

        PacketField field = load.Offset is 12 or 8 ? PacketField.OwnSource : PacketField.OwnDestination;
        return (Symbols.Expr(field, holds: false, family), at - start);
    }

    // The prefix of the mask's length; its address is said by the comparison that follows.
    private static IpPrefix? PrefixOf(NftExpr.Bitwise mask, NftExpr.Payload load, IpFamily family)
    {
        if (mask.Sreg != load.Dreg || mask.Dreg != load.Dreg || mask.Mask.Count != load.Length
            || mask.Xor.Count != load.Length || mask.Xor.Items.AsSpan().ContainsAnyExcept((byte)0))
        {
            return null;
        }

        UInt128 host = IpPrefix.Ceiling(family) ^ SetNode.Number(mask.Mask.Items.AsSpan());
        return host == IpPrefix.Ceiling(family) || (host & host + 1) != 0 ? null
            : new IpPrefix(family, 0, IpPrefix.WidthOf(family) - (int)UInt128.PopCount(host));
    }

    private static byte[] NameOf(Vnic vnic)
    {
        byte[] field = new byte[NameBytes];
        NftElements.PutName(field, vnic.InterfaceName);
        return field;
    }
}
