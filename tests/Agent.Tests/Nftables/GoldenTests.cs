using Agent.Compiler;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.Tests.Compiler;

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
        var other = new List<string>();
        for (int i = 0; i < rules.Length; i++)
        {
            (string nft, string ours) = (Essence(golden[i]), Essence(Hex(rules[i])));
            if (nft != ours)
            {
                other.Add($"{texts[i]}\nnft sends\n{Words(nft)}\nwe send\n{Words(ours)}");
            }
        }

        Assert.True(other.Count == 0, string.Join("\n\n", other));
    }

    [Fact]
    public void What_nft_sends_is_read_as_the_rule()
    {
        string[] golden = File.ReadAllLines(Path.Combine(Folder, "rules.hex"));
        foreach ((NftRule rule, string hex) in GoldenRules().Select(one => one.Rule).Zip(golden))
        {
            Assert.Equal(rule.Exprs, NftExpr.ReadList(new NlAttrs(Convert.FromHexString(Essence(hex)))));
        }
    }

    [Fact]
    public void The_golden_texts_are_the_texts_we_print()
    {
        NftTable table = Samples.Everything().Tables[0];
        Matches("rules.nft", string.Concat(GoldenRules().Select(one => NftText.Print(table, one.Rule) + "\n")));
    }

    [Fact]
    public void The_objects_of_the_golden_rules_are_the_samples()
    {
        Ruleset samples = Samples.Everything();
        NftTable table = samples.Tables[0];
        table = table with { Chains = table.Chains.Select(chain => chain with { Rules = [] }).ToValueArray() };
        Matches("objects.nft", NftText.Print(new Ruleset([table])));
    }

    /// <summary>
    /// Every expression of a compiled policy, by what shapes its bytes: only numbers and names may differ.
    /// </summary>
    [Fact]
    public void Everything_that_the_compiler_writes_is_in_the_golden_rules()
    {
        HashSet<string> golden = [.. GoldenRules().SelectMany(one => one.Rule.Exprs).Select(Shape)];
        IEnumerable<string> written = RulesetCompiler.Compile(RichPolicy.Request()).Ruleset.Tables
            .SelectMany(table => table.Chains).SelectMany(chain => chain.Rules).SelectMany(rule => rule.Exprs)
            .Select(Shape);
        string[] missing = [.. written.Distinct().Where(shape => !golden.Contains(shape)).Order()];
        Assert.True(missing.Length == 0, string.Join('\n', missing));
    }

    private static string Shape(NftExpr expr) => expr switch
    {
        NftExpr.Cmp cmp => $"cmp {cmp.Sreg} {cmp.Op} {cmp.Data.Count} bytes",
        NftExpr.Bitwise bits => $"bitwise {bits.Sreg} {bits.Dreg} {bits.Mask.Count} bytes",
        NftExpr.Immediate value => $"immediate {value.Dreg} {value.Data.Count} bytes",
        NftExpr.VerdictIs verdict => $"verdict {verdict.Verdict.Code}",
        NftExpr.Payload load => $"payload {load.Base} {load.Dreg}",
        NftExpr.Range range => $"range {range.Sreg}", // nft itself sends it for "!=" only
        NftExpr.Log { SnapLength: 0, QueueThreshold: 0 } => "log with a prefix",
        NftExpr.ConnLimit limit => $"connlimit {limit.Over}",
        NftExpr.Lookup lookup => $"lookup {lookup.Sreg} {lookup.Negated}",
        NftExpr.LookupData lookup => $"map {lookup.Sreg} {lookup.Dreg}",
        NftExpr.LookupVerdict lookup => $"verdict map {lookup.Sreg}",
        NftExpr.ObjectRef reference => $"object of type {reference.Type}",
        NftExpr.ObjectMap map => $"object map {map.Sreg}",
        _ => expr.ToString(),
    };

    /// <summary>`make golden` writes the files, and then asks nft.</summary>
    private static void Matches(string file, string text)
    {
        string path = Path.Combine(Folder, file);
        if (Environment.GetEnvironmentVariable("SG_WRITE_GOLDEN") == "1")
        {
            File.WriteAllText(path, text);
        }

        Assert.Equal(File.ReadAllText(path), text);
    }

    /// <summary>
    /// Without those that nft lowers otherwise: it adds steps to a MAC address in an inet table and to the protocol in
    /// an interval key; for `notrack`, which the compiler does not use, it leaves the empty list out. The comment is
    /// not part of the expressions. Two more differences have no rule here: nft loads neighbouring fields (two ports)
    /// at once and a prefix of whole bytes as that many bytes; the compiler loads each field by itself, and masks. Both
    /// are accepted, mean the same, and are listed by nft as written.
    /// </summary>
    internal static IEnumerable<(string Text, NftRule Rule)> GoldenRules() =>
        Samples.InetRules().Where(one => !one.Text.Contains("@bindings", StringComparison.Ordinal)
            && !one.Text.Contains("@boxes", StringComparison.Ordinal) && one.Text != "notrack"
            && one.Rule.Comment is null);

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

    /// <summary>Without two attributes that say nothing.</summary>
    /// <remarks>
    /// nft names a set twice: by name, and by a number that means something for sets of the same transaction only
    /// (NFTA_LOOKUP_SET_ID, NFTA_OBJREF_SET_ID). The agent names it once; the kernel never reports the number.
    /// nft names the operation of a bitwise step that stands in the text, and leaves it to the default (the same one)
    /// where it makes the step of a prefix or a state itself. The agent always names it.
    /// </remarks>
    private static string Essence(string hex)
    {
        var writer = new NlWriter();
        foreach (NlAttr element in new NlAttrs(Convert.FromHexString(hex)))
        {
            ushort? mute = NameOf(element) switch { "lookup" => 4, "objref" => 5, "bitwise" => 6, _ => null };
            if (mute is null)
            {
                writer.PutNestBytes(element.Type, element.Payload);
                continue;
            }

            NlMark list = writer.BeginNest(element.Type);
            writer.PutText(NftaExpr.Name, NameOf(element));
            NlMark data = writer.BeginNest(NftaExpr.Data);
            foreach (NlAttr part in element.Nested)
            {
                foreach (NlAttr attr in part.Type == NftaExpr.Data ? part.Nested : default)
                {
                    if (attr.Type != mute)
                    {
                        writer.PutBytes(attr.Type, attr.Payload);
                    }
                    else if (mute == 6)
                    {
                        Assert.Equal(0u, attr.U32Be());
                    }
                }
            }

            writer.EndNest(data);
            writer.EndNest(list);
        }

        return Convert.ToHexStringLower(writer.Written);
    }

    private static string NameOf(NlAttr element)
    {
        foreach (NlAttr part in element.Nested)
        {
            if (part.Type == NftaExpr.Name)
            {
                return part.Text();
            }
        }

        return "";
    }

    /// <summary>Four bytes a line, as nft --debug=mnl prints them.</summary>
    private static string Words(string hex) => string.Join('\n', hex.Chunk(8).Select(one => new string(one)));
}
