using System.Reflection;
using System.Text.RegularExpressions;
using Agent.Tests.Nftables;

namespace Agent.Tests;

/// <summary>The rules of layout that no analyzer checks.</summary>
public partial class TidyTests
{
    private const int LineMax = 120;
    private const int MethodMax = 60;
    private const int FileMax = 500;

    /// <summary>Longer than a method may be, for a reason.</summary>
    private static readonly HashSet<string> LongMethods = [];

    private static readonly string Root = GoldenTests.RepositoryRoot();

    [Fact]
    public void Lines_are_short() => None(Files("*.cs", "*.proto", "*.md", "*.csproj", "*.props", "*.sh", "Makefile")
        .SelectMany(file => File.ReadLines(file).Select((line, i) => (File: file, Line: line, Number: i + 1)))
        .Where(one => one.Line.Length > LineMax && !IsTable(one))
        .Select(one => $"{Name(one.File)}:{one.Number}: {one.Line.Length} characters"));

    [Fact]
    public void Files_are_short() => None(Files("*.cs")
        .Select(file => (Name: Name(file), Lines: File.ReadLines(file).Count()))
        .Where(one => one.Lines > FileMax).Select(one => $"{one.Name}: {one.Lines} lines"));

    [Fact]
    public void Methods_are_short() => None(Files("*.cs").SelectMany(LongOnes).Except(LongMethods));

    [Fact]
    public void Links_in_texts_lead_somewhere()
    {
        var dead = new List<string>();
        foreach (string file in Files("*.md"))
        {
            foreach (Match match in Link().Matches(File.ReadAllText(file)))
            {
                string target = match.Groups[1].Value;
                string path = Path.Combine(Path.GetDirectoryName(file)!, target.Split('#')[0]);
                bool elsewhere = target.Contains("://", StringComparison.Ordinal) || target.StartsWith('#');
                if (!elsewhere && !File.Exists(path) && !Directory.Exists(path))
                {
                    dead.Add($"{Name(file)}: {target}");
                }
            }
        }

        None(dead);
    }

    /// <summary>Types, members and projects, as far as they are written as code.</summary>
    [Fact]
    public void Names_in_the_architecture_exist()
    {
        string text = File.ReadAllText(Path.Combine(Root, "src/ARCHITECTURE.md"));
        HashSet<string> known = [.. Directory.EnumerateDirectories(Path.Combine(Root, "src")).Select(Name)
            .Select(name => name["src/".Length..])];
        foreach (Type type in Assemblies().SelectMany(assembly => assembly.GetTypes()))
        {
            known.Add(type.Name.Split('`')[0]);
        }

        const BindingFlags Any =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance
            | BindingFlags.DeclaredOnly;
        foreach (Type type in Assemblies().SelectMany(assembly => assembly.GetTypes()))
        {
            known.UnionWith(type.GetMembers(Any).Select(member => $"{type.Name}.{member.Name}"));
        }

        string[] parts = text.Split("```"); // every other one is a picture: there only names of several words are sure
        IEnumerable<string> inPictures = parts.Where((_, i) => i % 2 == 1)
            .SelectMany(part => Compound().Matches(part)).Select(match => match.Value);
        string[] named = [.. parts.Where((_, i) => i % 2 == 0).SelectMany(part => Code().Matches(part))
            .Select(match => match.Groups[1].Value).Where(name => TypeName().IsMatch(name))
            .Select(name => name.Split('(')[0])
            .Concat(inPictures).Distinct()];
        Assert.True(named.Length > 10, "the architecture names hardly anything");
        None(named.Except(known));
    }

    /// <summary>Each claim of the threat model names tests that there are.</summary>
    [Fact]
    public void Tests_in_the_threat_model_exist()
    {
        string tests = string.Concat(Files("*Tests*.cs").Select(File.ReadAllText));
        string[] parts = File.ReadAllText(Path.Combine(Root, "src/THREATS.md")).Split("```");
        string[] named = [.. parts.Where((_, i) => i % 2 == 0).SelectMany(part => Code().Matches(part))
            .Select(match => match.Groups[1].Value).Where(name => TestName().IsMatch(name)).Distinct()];
        Assert.True(named.Length > 30, "the threat model names hardly any test");
        None(named.Where(name => name.Split('.') is var path
            && (!tests.Contains($"class {path[0]}", StringComparison.Ordinal)
                || (path.Length > 1 && !tests.Contains($" {path[1]}(", StringComparison.Ordinal)))));
    }

    /// <summary>
    /// The list is on each project of src, it is an error, and what it bans is not suppressed anywhere.
    /// </summary>
    [Fact]
    public void What_is_banned_is_banned()
    {
        string props = File.ReadAllText(Path.Combine(Root, "src/Directory.Build.props"));
        Assert.Contains("Microsoft.CodeAnalysis.BannedApiAnalyzers", props);
        Assert.Contains("BannedSymbols.txt", props);
        Assert.Contains(
            "dotnet_diagnostic.RS0030.severity = error", File.ReadAllText(Path.Combine(Root, ".editorconfig")));
        Assert.Contains("BannedSymbols.Agent.txt", props);
        foreach (string line in Files("BannedSymbols*.txt").SelectMany(File.ReadLines))
        {
            // A symbol that does not exist bans nothing, and the analyzer does not say so.
            string name = line.Split(';')[0][2..].Split('(')[0];
            string type = line.StartsWith("T:", StringComparison.Ordinal) ? name : name[..name.LastIndexOf('.')];
            Type? found = AppDomain.CurrentDomain.GetAssemblies().Select(one => one.GetType(type))
                .FirstOrDefault(one => one is not null)
                ?? typeof(System.Diagnostics.Process).Assembly.GetType(type);
            Assert.True(found is not null, line);
            Assert.True(name == type || found.GetMember(name[(type.Length + 1)..]).Length > 0, line);
        }

        None(Files("*.cs", "*.csproj")
            .Where(file => Name(file).StartsWith("src/", StringComparison.Ordinal))
            .Where(file => File.ReadAllText(file).Contains("RS0030", StringComparison.Ordinal)).Select(Name));
    }

    private static void None(IEnumerable<string> faults)
    {
        string[] found = [.. faults];
        Assert.True(found.Length == 0, string.Join('\n', found.Prepend($"{found.Length} faults")));
    }

    private static IEnumerable<Assembly> Assemblies() =>
        Directory.EnumerateFiles(AppContext.BaseDirectory, "*.dll")
            .Where(path => Path.GetFileName(path) is var name
                && (name.StartsWith("Agent.", StringComparison.Ordinal) || name is "sg-agentd.dll" or "sgctl.dll")
                && name != "Agent.Tests.dll")
            .Select(Assembly.LoadFrom);

    /// <summary>
    /// Methods and their like: from a line that opens a body, indented once or twice, to the brace that closes it.
    /// </summary>
    private static IEnumerable<string> LongOnes(string file)
    {
        string[] lines = File.ReadAllLines(file);
        for (int i = 1; i < lines.Length; i++)
        {
            int indent = lines[i].TakeWhile(c => c == ' ').Count();
            if (lines[i].Trim() != "{" || indent is not (4 or 8) || !Opens().IsMatch(Head(lines, i)))
            {
                continue;
            }

            int end = Array.FindIndex(
                lines, i, line => line.StartsWith(new string(' ', indent) + "}", StringComparison.Ordinal)
                && line.Trim() is "}" or "};");
            if (end - i - 1 > MethodMax)
            {
                yield return $"{Name(file)}: {Head(lines, i)}";
            }
        }
    }

    /// <summary>What stands above a brace, back to the line that begins it.</summary>
    private static string Head(string[] lines, int brace)
    {
        int indent = lines[brace].TakeWhile(c => c == ' ').Count();
        int from = brace - 1;
        while (from > 0 && lines[from].TakeWhile(c => c == ' ').Count() > indent)
        {
            from--;
        }

        return string.Join(' ', lines[from..brace].Select(line => line.Trim()));
    }

    /// <summary>A row of a table cannot be broken.</summary>
    private static bool IsTable((string File, string Line, int Number) one) =>
        one.File.EndsWith(".md", StringComparison.Ordinal) && one.Line.StartsWith('|');

    private static IEnumerable<string> Files(params string[] patterns) => patterns
        .SelectMany(pattern => Directory.EnumerateFiles(Root, pattern, SearchOption.AllDirectories))
        .Where(file => Name(file).Split('/') is var parts && !parts.Contains("artifacts") && !parts.Contains(".git")
            && !parts.Contains("obj"));

    private static string Name(string file) => Path.GetRelativePath(Root, file);

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Code();

    /// <summary>A name with a small letter in it: not an abbreviation, not a program, not a value.</summary>
    [GeneratedRegex(@"^[A-Z][A-Za-z]*[a-z][A-Za-z]*(\.[A-Z][A-Za-z]+)*(\(.*\))?$")]
    private static partial Regex TypeName();

    [GeneratedRegex(@"^[A-Z][A-Za-z0-9]*Tests(\.\w+)?$")]
    private static partial Regex TestName();

    [GeneratedRegex(@"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b")]
    private static partial Regex Compound();

    /// <summary>A method or constructor: it has parameters, and it is no type.</summary>
    [GeneratedRegex(
        @"^(?!new )(?!.*\b(class|record|struct|interface|enum|namespace)\b)(?!.* = new\(\)$).*\)(\s*(where|:)\s.*)?$")]
    private static partial Regex Opens();
}
