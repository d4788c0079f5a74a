using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;

namespace Agent.Tests.Nftables;

/// <summary>Golden bytes come from nft: golden/make-golden.sh.</summary>
public class GoldenTests
{
    private static string Folder => Path.Combine(RepositoryRoot(), "tests/Agent.Tests/golden");

    [Fact]
    public void Our_bytes_of_a_rule_are_the_bytes_nft_sends()
    {
        string[] texts = File.ReadAllLines(Path.Combine(Folder, "rules.nft"));
        string[] golden = File.ReadAllLines(Path.Combine(Folder, "rules.hex"));
        NftRule[] rules = [.. GoldenRules().Select(one => one.Rule)];
        Assert.Equal(rules.Length, texts.Length);
        Assert.Equal(rules.Length, golden.Length);
        for (int i = 0; i < rules.Length; i++)
        {
            Assert.Equal($"{texts[i]}\n{Words(golden[i])}", $"{texts[i]}\n{Words(Hex(rules[i]))}");
        }
    }

    [Fact]
    public void What_nft_sends_is_read_as_the_rule()
    {
        string[] golden = File.ReadAllLines(Path.Combine(Folder, "rules.hex"));
        foreach ((NftRule rule, string hex) in GoldenRules().Select(one => one.Rule).Zip(golden))
        {
            Assert.Equal(rule.Exprs, NftExpr.ReadList(new NlAttrs(Convert.FromHexString(hex))));
        }
    }

    [Fact]
    public void The_golden_texts_are_the_texts_we_print()
    {
        NftTable table = Samples.Everything().Tables[0];
        string[] texts = File.ReadAllLines(Path.Combine(Folder, "rules.nft"));
        Assert.Equal(string.Join('\n', texts), string.Join('\n', GoldenRules().Select(one => NftText.Print(table, one.Rule))));
    }

    [Fact]
    public void The_objects_of_the_golden_rules_are_the_samples()
    {
        Ruleset samples = Samples.Everything();
        NftTable table = samples.Tables[0] with { Chains = samples.Tables[0].Chains.Select(c => c with { Rules = [] }).ToValueArray() };
        Assert.Equal(File.ReadAllText(Path.Combine(Folder, "objects.nft")), NftText.Print(new Ruleset([table])));
    }

    /// <summary>
    /// Without those that nft lowers otherwise: it adds steps to a MAC address in an inet table and to intervals.
    /// The comment is not part of the expressions.
    /// </summary>
    internal static IEnumerable<(string Text, NftRule Rule)> GoldenRules() =>
        Samples.InetRules().Where(one => !one.Text.Contains("@bindings", StringComparison.Ordinal)
            && !one.Text.Contains("@boxes", StringComparison.Ordinal) && one.Rule.Comment is null);

    internal static string RepositoryRoot()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Agent.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("not inside the repository");
        }

        return folder;
    }

    private static string Hex(NftRule rule)
    {
        var writer = new NlWriter();
        NftExpr.WriteList(writer, NftaRule.Expressions, rule.Exprs);
        return Convert.ToHexStringLower(writer.Written[NlWriter.AttrHeaderBytes..]);
    }

    /// <summary>Four bytes a line, as nft --debug=mnl prints them.</summary>
    private static string Words(string hex) => string.Join('\n', hex.Chunk(8).Select(one => new string(one)));
}
