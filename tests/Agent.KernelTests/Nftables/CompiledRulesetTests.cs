using System.Text.Json;
using Agent.Compiler;
using Agent.Nftables;
using Agent.Tests.Compiler;

namespace Agent.KernelTests.Nftables;

/// <summary>A compiled policy with everything that the compiler has, in the kernel, as nft and as we read it.</summary>
public class CompiledRulesetTests
{
    private static readonly (NftFamily, string)[] Tables =
        [(NftFamily.Inet, "sg_agent"), (NftFamily.Netdev, "sg_agent")];

    public CompiledRulesetTests() => Namespace.MustBeThrowaway();

    /// <summary>As tables, or in runs.</summary>
    [Theory]
    [InlineData(1_000_000)]
    [InlineData(0)]
    public void What_was_committed_is_read_back_by_us_and_by_nft(int maxCells)
    {
        using NftConnection nft = Namespace.Clean();
        Ruleset wanted = Committed(nft, maxCells: maxCells);
        Assert.Equal(NftText.Print(wanted), NftText.Print(nft.ReadRuleset(Tables).Ruleset));
        Assert.Equal(wanted, nft.ReadRuleset(Tables).Ruleset);

        using var listing = JsonDocument.Parse(Namespace.Run("nft", "-j list ruleset"));
        JsonElement[] items = [.. listing.RootElement.GetProperty("nftables").EnumerateArray()];
        Assert.Equal(
            wanted.Tables.Select(table => $"{Family(table)} {table.Name}").Order(),
            Of(items, "table").Select(one => $"{Text(one, "family")} {Text(one, "name")}").Order());
        foreach (NftTable table in wanted.Tables)
        {
            AssertChains(table, items);
            if (table.Family == NftFamily.Netdev)
            {
                continue; // nft has other names for what guards look at; our own reading above covers them
            }

            AssertSets(table, items);
            // nft has no JSON for timeouts of other protocols than TCP and UDP; our own reading covers them.
            string[] counters = [.. table.Objects.OfType<NftObject.Counter>().Select(one => one.Name)];
            Assert.Equal(
                counters,
                Named(items, "counter", table).Select(one => Text(one, "name")).Order(StringComparer.Ordinal));
        }
    }

    /// <summary>Rule by rule. Guards load bytes by their place, for which nft has other words.</summary>
    [Theory]
    [InlineData(BridgeLayer.None, 1_000_000)]
    [InlineData(BridgeLayer.None, 0)]
    [InlineData(BridgeLayer.Open, 1_000_000)]
    [InlineData(BridgeLayer.Open, 0)]
    public void Nft_lists_a_compiled_policy_as_we_print_it(BridgeLayer bridge, int maxCells)
    {
        if (bridge == BridgeLayer.Open)
        {
            KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        }

        using NftConnection nft = Namespace.Clean();
        Ruleset committed = Committed(nft, bridge, maxCells);
        foreach (NftTable table in committed.Tables.Where(table => table.Family != NftFamily.Netdev))
        {
            string[] expected = Chains(NftText.Print(new Ruleset([table])));
            Assert.True(expected.Length > 30);
            Assert.Equal(expected, Chains(Namespace.Run("nft", $"-s list table {Family(table)} sg_agent")));
        }
    }

    /// <summary>nft lists hooked chains after the others.</summary>
    private static string[] Chains(string text) =>
        [.. TextTests.Rules(text).Split("chain ").Select(chain => chain.Trim()).Order(StringComparer.Ordinal)];

    [Fact]
    public void The_policy_uses_all_that_the_compiler_has()
    {
        NftTable inet = RulesetCompiler.Compile(RichPolicy.Request()).Ruleset.Tables[0];
        string[] parts =
            ["host4", "host6", "net4", "net6", "_class", "_own4", "_own6", "_port", "_range", "_proto", "_any"];
        Assert.All(parts, part => Assert.Contains(inet.Sets, set => set.Name.Contains(part, StringComparison.Ordinal)));
        Assert.Contains(inet.Sets, set => set.Key.Count == 4); // ports of both sides
        Assert.Contains(inet.Chains, chain => chain.Name == "infra_to");
    }

    private static Ruleset Committed(
        NftConnection nft, BridgeLayer bridge = BridgeLayer.None, int maxCells = 1_000_000)
    {
        // Guards name devices that are not there; a kernel before 6.16 wants them to exist.
        HostFacts host = HostFacts.Default with
        {
            NetdevHooksByName = NftFeatures.Probe().NetdevHookByName.Available,
            Bridge = bridge,
            Bridges = bridge == BridgeLayer.Open ? ["br0"] : [],
        };
        CompilerSettings layout = RichPolicy.Layout with { MaxCells = maxCells };
        Ruleset wanted = RulesetCompiler.Compile(RichPolicy.Request() with { Host = host, Settings = layout }).Ruleset;
        Assert.Equal(maxCells == 0, wanted.Tables[0].Sets.Any(
            set => set.Name.Contains("_run_", StringComparison.Ordinal)));
        Plan plan = Plan.Between(Ruleset.Empty, wanted);
        foreach (IReadOnlyList<NftOp> ops in (IReadOnlyList<NftOp>[])[plan.Prepare, plan.Switch, plan.Cleanup])
        {
            CommitOutcome outcome = nft.Commit(ops, nft.ReadGeneration());
            Assert.True(outcome is CommitOutcome.Committed, (outcome as CommitOutcome.Refused)?.Refusals[0].ToString());
        }

        return wanted;
    }

    private static void AssertChains(NftTable table, JsonElement[] items)
    {
        JsonElement[] chains = Named(items, "chain", table);
        Assert.Equal(
            table.Chains.Select(chain => chain.Name), chains.Select(one => Text(one, "name"))
                .Order(StringComparer.Ordinal));
        foreach (NftChain chain in table.Chains)
        {
            JsonElement listed = chains.Single(one => Text(one, "name") == chain.Name);
            Assert.Equal(chain.Hook is not null, listed.TryGetProperty("hook", out JsonElement hook));
            if (chain.Hook is { } attached)
            {
                Assert.Equal(attached.Hook.ToString().ToLowerInvariant(), hook.GetString());
                Assert.Equal(
                    (attached.Priority, "accept"), (listed.GetProperty("prio").GetInt32(), Text(listed, "policy")));
            }

            JsonElement[] rules = [.. Named(items, "rule", table).Where(one => Text(one, "chain") == chain.Name)];
            Assert.Equal(chain.Rules.Count, rules.Length);
            for (int i = 0; i < rules.Length; i++)
            {
                Assert.Equal(
                    chain.Rules[i].Comment, rules[i].TryGetProperty("comment", out JsonElement text)
                        ? text.GetString() : null);
                Assert.Equal(VerdictOf(chain.Rules[i]), VerdictOf(rules[i]));
            }
        }
    }

    /// <summary>The last expression, if it is a verdict: "goto admit".</summary>
    private static string? VerdictOf(NftRule rule) => rule.Exprs[^1] is NftExpr.VerdictIs { Verdict: { } verdict }
        ? $"{verdict.Code.ToString().ToLowerInvariant()} {verdict.Chain}".TrimEnd() : null;

    private static string? VerdictOf(JsonElement rule)
    {
        JsonProperty last = rule.GetProperty("expr").EnumerateArray().Last().EnumerateObject().Single();
        return last.Name switch
        {
            "accept" or "drop" or "return" => last.Name,
            "jump" or "goto" => $"{last.Name} {Text(last.Value, "target")}",
            _ => null,
        };
    }

    private static void AssertSets(NftTable table, JsonElement[] items)
    {
        JsonElement[] sets = [.. Named(items, "set", table), .. Named(items, "map", table)];
        Assert.Equal(
            table.Sets.Select(set => set.Name), sets.Select(one => Text(one, "name")).Order(StringComparer.Ordinal));
        foreach (NftSet set in table.Sets)
        {
            JsonElement listed = sets.Single(one => Text(one, "name") == set.Name);
            Assert.Equal(string.Join(" . ", set.Key.Select(TypeName)), TypeOf(listed.GetProperty("type")));
            Assert.Equal(
                set.Kind switch
                {
                    NftSetKind.MarkMap => "mark",
                    NftSetKind.VerdictMap => "verdict",
                    NftSetKind.CounterMap => "counter",
                    _ => null,
                },
                listed.TryGetProperty("map", out JsonElement data) ? data.GetString() : null);
            Assert.Equal(set.Interval, listed.TryGetProperty("flags", out JsonElement flags)
                && flags.EnumerateArray().Any(flag => flag.GetString() == "interval"));
            Assert.Equal(set.Size, listed.TryGetProperty("size", out JsonElement size) ? size.GetUInt32() : null);
            Assert.Equal(set.Counters || set.Limit is not null, listed.TryGetProperty("stmt", out _));
            JsonElement[] elements = listed.TryGetProperty("elem", out JsonElement list)
                ? [.. list.EnumerateArray()] : [];
            Assert.Equal(set.Elements.Count, elements.Length);
            Assert.Equal(
                Wanted(set).Order(StringComparer.Ordinal), elements.Select(one => Listed(set, one))
                    .Order(StringComparer.Ordinal));
        }
    }

    /// <summary>Each element as "key : data"; addresses, ranges and prefixes as "first-last".</summary>
    private static IEnumerable<string> Wanted(NftSet set)
    {
        for (int i = 0; i < set.Elements.Count; i++)
        {
            byte[] row = set.Elements[i].ToArray();
            string key = ElementText.Key(set, row);
            yield return set.Kind switch
            {
                NftSetKind.MarkMap => $"{key} : {BitConverter.ToUInt32(row.AsSpan()[^4..])}",
                NftSetKind.VerdictMap => $"{key} : {NftElements.GetVerdict(row.AsSpan(set.KeyBytes)).Chain}",
                NftSetKind.CounterMap => $"{key} : {NftElements.GetName(row.AsSpan(set.KeyBytes))}",
                _ => key,
            };
        }
    }

    private static string Listed(NftSet set, JsonElement element)
    {
        bool map = set.Kind != NftSetKind.Set;
        string key = ElementText.Key(set, map ? element[0] : element);
        return !map ? key
            : set.Kind == NftSetKind.MarkMap ? $"{key} : {element[1].GetUInt32()}"
            : set.Kind == NftSetKind.CounterMap ? $"{key} : {element[1].GetString()}"
            : $"{key} : {Text(element[1].GetProperty("goto"), "target")}";
    }

    private static string TypeOf(JsonElement type) => type.ValueKind == JsonValueKind.String ? type.GetString()!
        : string.Join(" . ", type.EnumerateArray().Select(one => one.GetString()));

    private static string TypeName(NftType type) => type switch
    {
        NftType.Mark => "mark",
        NftType.Ipv4Addr => "ipv4_addr",
        NftType.Ipv6Addr => "ipv6_addr",
        NftType.InetProto => "inet_proto",
        NftType.InetService => "inet_service",
        NftType.IfName => "ifname",
        _ => type.ToString(),
    };

    private static string Family(NftTable table) => table.Family.ToString().ToLowerInvariant();

    private static IEnumerable<JsonElement> Of(JsonElement[] items, string kind) =>
        items.Where(item => item.TryGetProperty(kind, out _)).Select(item => item.GetProperty(kind));

    private static JsonElement[] Named(JsonElement[] items, string kind, NftTable table) =>
        [.. Of(items, kind).Where(one => Text(one, "family") == Family(table) && Text(one, "table") == table.Name)];

    private static string Text(JsonElement item, string name) => item.GetProperty(name).GetString()!;
}
