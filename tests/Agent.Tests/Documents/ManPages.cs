using System.CommandLine;
using System.Text.RegularExpressions;
using Agent.Cli;
using Agent.Cli.Live;
using Agent.Cli.Verbs;

namespace Agent.Tests.Documents;

/// <summary>The manual pages: of what the programs say of themselves, and of README.md.</summary>
internal static partial class ManPages
{
    private const string Config = "/etc/sg-agent/config.json";

    /// <summary>By the names of their files.</summary>
    public static IReadOnlyDictionary<string, string> All { get; } = new Dictionary<string, string>
    {
        ["sgctl.1"] = Sgctl(),
        ["sg-agentd.8"] = Daemon(),
        ["sg-agent.json.5"] = Settings(),
    };

    private static string Sgctl()
    {
        var around = new Surroundings { Out = TextWriter.Null, Error = TextWriter.Null, OpenInput = () => Stream.Null };
        RootCommand root = Agent.Cli.Sgctl.Build(around);
        var page = new Roff("sgctl", 1, "look at and change the security groups that a host enforces");
        page.Section("SYNOPSIS");
        page.Paragraph("`sgctl` [*options*] *verb* [*argument*...]".Replace("*", ""));
        page.Paragraph("`sgctl` *verb* `--help`".Replace("*", ""));
        page.Section("DESCRIPTION");
        page.Paragraph($"{root.Description} The daemon is sg-agentd(8).");
        page.Paragraph("`FILE` is a policy file, JSON or YAML of agent.v1.Snapshot, or - for standard input. "
            + "A vNIC is named by its id or by its interface.");
        page.Section("OPTIONS");
        page.Paragraph("Every verb takes these:");
        Options(page, root.Options);
        page.Section("VERBS");
        foreach (Verb verb in root.Subcommands.OfType<Verb>().Where(verb => !verb.Hidden)
            .OrderBy(verb => verb.Name, StringComparer.Ordinal))
        {
            Describe(page, verb);
        }

        page.Section("EXIT STATUS");
        Terms(page, ExitCode.Help.Split('\n')[1..]);
        Output(page);
        page.Section("SEE ALSO");
        page.Paragraph("`sg-agentd`(8), `sg-agent.json`(5), `nft`(8)");
        return page.ToString();
    }

    private static void Output(Roff page)
    {
        page.Section("OUTPUT");
        page.Paragraph("A table that is wider than the terminal is printed as blocks, one a row, and long lines are "
            + "broken at words. Where the output is no terminal, nothing is broken, coloured or paged.");
        page.Paragraph("What is longer than the terminal is shown with a pager; `q` leaves it. A reader that ends "
            + "early, such as `head`(1), is no error.");
        page.Paragraph("With `--json` there is one JSON document on standard output whatever happens, and nothing on "
            + "standard error; `top` and `drops --follow` print a document a line. The schemas of all answers "
            + "(JSON Schema, draft 2020-12) are in `/usr/share/sg-agent/schema`, one a verb. Fields are only ever "
            + "added.");
        page.Section("ENVIRONMENT");
        page.Term($"`{GlobalOptions.SocketVariable}`", $"The agent's socket; else `{GlobalOptions.DefaultSocket}`.");
        page.Term($"`{Pager.OwnVariable}`, `{Pager.Variable}`", "The pager, a shell command: the first that is set; "
            + "else `less`. Empty or `cat`: none. `LESS` is set to FRX if it is not set.");
        page.Term("`NO_COLOR`", "If it is set and not empty: no colours.");
        page.Term("`TERM`", "`dumb`: no colours, no pager, no line that moves, no live view.");
        page.Section("FILES");
        page.Term($"`{GlobalOptions.DefaultSocket}`", "The socket of a daemon with default settings.");
    }

    private static void Describe(Roff page, Verb verb)
    {
        string arguments = string.Concat(verb.Arguments.Select(argument => argument.Arity switch
        {
            { MinimumNumberOfValues: 0, MaximumNumberOfValues: 1 } => $" [{argument.Name}]",
            { MaximumNumberOfValues: 1 } => $" {argument.Name}",
            _ => $" [{argument.Name}...]",
        }));
        page.Subsection($"sgctl {verb.Name}{(verb.Options.Count > 0 ? " [options]" : "")}{arguments}");
        page.Paragraph(verb.Description ?? "");
        foreach (Argument argument in verb.Arguments)
        {
            page.Term($"`{argument.Name}`", argument.Description ?? "");
        }

        Options(page, verb.Options);
        page.Paragraph(verb.Examples.Count == 1 ? "Example:" : "Examples:");
        page.Code(verb.Examples);
    }

    private static void Options(Roff page, IEnumerable<Option> options)
    {
        foreach (Option option in options.Where(option => !option.Hidden))
        {
            string names = string.Join(", ", option.Aliases.Append(option.Name)
                .Where(name => name.StartsWith('-')).OrderBy(name => name.Length).Select(name => $"`{name}`"));
            string value = option.Arity.MaximumNumberOfValues > 0 && option.ValueType != typeof(bool)
                ? $" {option.HelpName ?? "VALUE"}" : "";
            page.Term(names + value, option.Description + Default(option));
        }
    }

    private static string Default(Option option) =>
        !option.HasDefaultValue || option.Name == "--socket" || option.ValueType == typeof(bool) ? ""
        : option.GetDefaultValue() is { } value && $"{value}" is { Length: > 0 } text ? $" (default: {text})" : "";

    private static string Daemon()
    {
        string help = Agent.Daemon.CommandLine.Parse(["--help"]).Message!;
        string[] lines = help.Split('\n');
        var page = new Roff("sg-agentd", 8, "enforce security groups on this host's virtual NICs");
        page.Section("SYNOPSIS");
        page.Paragraph("`sg-agentd`" + lines.Single(line => line.StartsWith("Usage:", StringComparison.Ordinal))
            .Split("sg-agentd", 2)[1]);
        page.Section("DESCRIPTION");
        page.Paragraph("`sg-agentd` takes the desired state (groups, rules, members, and which virtual NIC is in which "
            + "groups) over gRPC, compiles it to nftables, and keeps the kernel there: stateful, IPv4 and IPv6 alike. "
            + "It needs CAP_NET_ADMIN, and the kernel of the network namespace that the guests' interfaces are in. "
            + "`sgctl`(1) is the tool for people; `sg-agent.json`(5) lists the settings.");
        page.Section("OPTIONS");
        Terms(page, lines);
        page.Section("EXIT STATUS");
        page.Paragraph(After(help, "Exit codes: "));
        page.Section("ENVIRONMENT");
        page.Paragraph(After(help, "Environment: "));
        page.Section("FILES");
        page.Term($"`{Config}`", "The configuration, if no other is named.");
        page.Term("`/var/lib/sg-agent`", "What was accepted last, totals of counters, and the lease.");
        page.Term($"`{GlobalOptions.DefaultSocket}`", "Where `sgctl` asks.");
        page.Section("LOGS AND TRACES");
        page.Markdown(ReadmeText.Section("Logs and traces"));
        page.Section("STATE AND RESTARTS");
        page.Markdown(ReadmeText.Section("State and restarts"));
        page.Section("LIMITS");
        page.Markdown(ReadmeText.Section("Limits"));
        page.Section("SEE ALSO");
        page.Paragraph("`sgctl`(1), `sg-agent.json`(5), `nft`(8), `journalctl`(1)");
        return page.ToString();
    }

    private static string Settings()
    {
        var page = new Roff("sg-agent.json", 5, "settings of sg-agentd");
        page.Section("DESCRIPTION");
        page.Markdown(ReadmeText.Section("Configuration"));
        page.Paragraph("A dot in a key is an object in the file:");
        page.Code(
        [
            "{", "  \"managed_interfaces\": [\"tap*\"],", "  \"grpc\": { \"socket_group\": \"sg-operators\" },",
            "  \"drops\": { \"per_second\": 5 } // a comment", "}",
        ]);
        page.Section("SETTINGS");
        foreach (string[] row in ReadmeText.Rows("Configuration"))
        {
            page.Term(row[0], (row[2].Length > 0 ? row[2] : "See README.md.")
                + (row[1].Length > 0 ? $" (default: {row[1].Trim('`')})" : ""));
        }

        page.Section("FILES");
        page.Term($"`{Config}`", "Where it is read from, unless `--config` or `SG_AGENT_CONFIG` name another.");
        page.Section("SEE ALSO");
        page.Paragraph("`sg-agentd`(8), `sgctl`(1)");
        return page.ToString();
    }

    /// <summary>Rows of a help text: a term, two blanks, its meaning, which may go on below.</summary>
    private static void Terms(Roff page, IEnumerable<string> lines)
    {
        (string Term, string Meaning)? row = null;
        foreach (string line in lines)
        {
            if (Row().Match(line) is { Success: true } match)
            {
                Flush();
                row = (match.Groups[1].Value, match.Groups[2].Value);
            }
            else if (row is { } open && line.StartsWith("     ", StringComparison.Ordinal))
            {
                row = (open.Term, $"{open.Meaning} {line.Trim()}");
            }
        }

        Flush();

        void Flush()
        {
            if (row is { } done)
            {
                page.Term($"`{done.Term}`", done.Meaning);
            }
        }
    }

    private static string After(string help, string label)
    {
        string rest = help[(help.IndexOf(label, StringComparison.Ordinal) + label.Length)..];
        return End().Split(rest, 2)[0];
    }

    [GeneratedRegex(@"^  (\S.*?) {2,}(\S.*)$")]
    private static partial Regex Row();

    /// <summary>Of a labelled paragraph of a help text: an empty line, or the next label.</summary>
    [GeneratedRegex(@"\n(?=\n|[A-Z][a-z ]+: |$)")]
    private static partial Regex End();
}
