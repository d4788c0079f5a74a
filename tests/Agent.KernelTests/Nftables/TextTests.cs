using Agent.Nftables;
using Agent.Tests.Nftables;

namespace Agent.KernelTests.Nftables;

/// <summary>nft itself judges our text.</summary>
public class TextTests
{
    private static readonly (NftFamily, string)[] Tables =
        [(NftFamily.Inet, Samples.Table), (NftFamily.Netdev, Samples.Table), (NftFamily.Bridge, Samples.Table)];

    public TextTests() => Namespace.MustBeThrowaway();

    [Fact]
    public void Nft_accepts_our_text()
    {
        using NftConnection nft = Namespace.Clean();
        Ruleset everything = Samples.Everything();
        Assert.DoesNotContain("not printable", NftText.Print(everything));
        if (!KernelTakesWhatNftMakesOfProtocolBoxes())
        {
            everything = Without(everything, rule => rule.Exprs.Any(one => one is NftExpr.Lookup { Set: "boxes" }));
        }

        Namespace.Run("nft", "-c -f -", NftText.Print(everything));
    }

    /// <summary>
    /// nft 1.0.6 adds a byte order step to the one byte of a protocol in an interval key, which our own rules do
    /// without; Linux 6.12.117 refuses such a step (EOPNOTSUPP), and with it what nft makes of any such text.
    /// </summary>
    private static bool KernelTakesWhatNftMakesOfProtocolBoxes() => Namespace.TryRun("nft", "-c -f -", """
        table inet probe {
            set boxes { type ipv4_addr . inet_proto; flags interval; }
            chain c { ip saddr . meta l4proto @boxes accept; }
        }
        """).Code == 0;

    [Fact]
    public void Nft_lists_what_we_committed_as_we_print_it()
    {
        using NftConnection nft = Namespace.Clean();
        Ruleset wanted = Samples.Everything();
        Assert.IsType<CommitOutcome.Committed>(nft.Commit(Samples.Build(wanted), nft.ReadGeneration()));
        string listed = Namespace.Run("nft", "-s list ruleset");
        Namespace.Run("nft", "-j list ruleset");

        // The two known differences of NftText, and two of nft: it cannot name a MAC address in an inet table, and it
        // leaves out a test of the family that `icmp` stands for.
        string expected = NftText.Print(wanted).Replace("ether saddr", "@ll,48,48")
            .Replace("meta nfproto ipv4 icmp", "icmp");
        Assert.Equal(Rules(expected), Rules(listed));
    }

    [Fact]
    public void Our_text_loaded_by_nft_is_the_ruleset_again()
    {
        using NftConnection nft = Namespace.Clean();
        Ruleset wanted = Samples.Everything();

        // nft adds a byte order step to fields in concatenated intervals and `meta iiftype` to a MAC address.
        wanted = Without(wanted, rule => rule.Exprs.Any(one => one is NftExpr.Lookup { Set: "bindings" or "boxes" }));
        Namespace.Run("nft", "-f -", NftText.Print(wanted));
        Ruleset read = nft.ReadRuleset(Tables).Ruleset;
        Assert.Equal(ConnectionTests.Describe(wanted), ConnectionTests.Describe(read));
    }

    private static Ruleset Without(Ruleset ruleset, Func<NftRule, bool> drop) =>
        new(ruleset.Tables.Select(table => table with
        {
            Chains = table.Chains.Select(
            chain => chain with { Rules = chain.Rules.Where(rule => !drop(rule)).ToValueArray() })
            .ToValueArray(),
            Sets = table.Sets.Where(set => set.Name != "runs").ToValueArray(),
        }).ToValueArray());

    /// <summary>Lines inside chains, without blanks.</summary>
    internal static string Rules(string text)
    {
        var lines = new List<string>();
        bool inside = false;
        foreach (string line in text.Split('\n').Select(one => one.Trim()))
        {
            inside = line.StartsWith("chain ", StringComparison.Ordinal) || (inside && line != "}");
            if (inside)
            {
                lines.Add(line);
            }
        }

        return string.Join('\n', lines);
    }
}
