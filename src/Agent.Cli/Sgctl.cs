using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Reflection;
using Agent.Cli.Completion;
using Agent.Cli.Output;
using Agent.Cli.Verbs;

namespace Agent.Cli;

/// <summary>The tree of verbs, and how one of them is run.</summary>
internal static class Sgctl
{
    private const string About =
        "Talks to sg-agentd, which enforces security groups on this host, and works on policy files without it.";

    /// <summary>Asked by the scripts of completion, with a command line up to the cursor.</summary>
    private const string CompleteWord = "__complete";

    /// <summary>A file whose name begins with @ is a file, not a list of arguments.</summary>
    private static readonly ParserConfiguration Parser = new() { ResponseFileTokenReplacer = null };

    public static string Version { get; } =
        typeof(Sgctl).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()
            ?.InformationalVersion.Split('+')[0] ?? "0";

    public static async Task<int> RunAsync(string[] args, Surroundings around)
    {
        var options = new GlobalOptions(around);
        RootCommand root = Tree(options);
        if (args is [CompleteWord, string line])
        {
            Complete(root, line, around.Out);
            return ExitCode.Done;
        }

        ParseResult parsed = root.Parse(args, Parser);
        if (parsed.Action is ParseErrorAction)
        {
            if (args.Contains(options.Json.Name))
            {
                around.Out.Write(Mistakes.Document(parsed));
            }
            else
            {
                Mistakes.Print(new Screen(around.Error, around.ErrorWidth, color: false), parsed);
            }

            return ExitCode.Usage;
        }

        int code = await parsed.InvokeAsync(new InvocationConfiguration
        {
            Output = around.Out,
            Error = around.Error,
            EnableDefaultExceptionHandler = false,
        }).ConfigureAwait(false);
        options.Output.Show(); // behind the verb, whose end an interrupt would hurry
        return code;
    }

    public static RootCommand Build(Surroundings around) => Tree(new GlobalOptions(around));

    private static void Complete(RootCommand root, string line, TextWriter output)
    {
        foreach (Candidate one in new LineCompletion(root, Parser).Of(line))
        {
            output.WriteLine(one.Description.Length > 0 ? $"{one.Word}\t{one.Description}" : one.Word);
        }
    }

    private static RootCommand Tree(GlobalOptions options)
    {
        Surroundings around = options.Around;
        var root = new RootCommand(About)
        {
            options.Socket,
            options.Json,
            options.NoColor,
            options.NoPager,
            new AnalyzeVerb(options),
            new ApplyVerb(options),
            new CheckVerb(options),
            new CompileVerb(options),
            new CompletionVerb(options),
            new ConvertVerb(options),
            new DiffVerb(options),
            new DropsVerb(options),
            new ExplainVerb(options),
            new ExportSessionsVerb(options),
            new GetVerb(options),
            new GroupsVerb(options),
            new ImportSessionsVerb(options),
            new LogLevelVerb(options),
            new RulesVerb(options),
            new SessionsVerb(options),
            new StageVerb(options),
            new StagedVerb(options),
            new StatusVerb(options),
            new SupportDumpVerb(options),
            new TopVerb(options),
            new VerifyVerb(options),
            new VnicsVerb(options),
        };
        foreach (Argument argument in root.Subcommands.SelectMany(verb => verb.Arguments))
        {
            argument.HelpName ??= argument.Name; // otherwise help shows what completes it
        }

        foreach (Option option in root.Options)
        {
            if (option is HelpOption { Action: HelpAction plain } help)
            {
                plain.MaxWidth = around.OutWidth ?? int.MaxValue;
                help.Action = new HelpWithExamples(plain);
            }
            else if (option is VersionOption version)
            {
                version.Action = new PrintVersion();
            }
        }

        return root;
    }

    /// <summary>The library's help, then examples and exit codes.</summary>
    private sealed class HelpWithExamples(HelpAction plain) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            plain.Invoke(parseResult);
            TextWriter output = parseResult.InvocationConfiguration.Output;
            if (parseResult.CommandResult.Command is Verb verb)
            {
                output.WriteLine("Examples:");
                foreach (string example in verb.Examples)
                {
                    output.WriteLine($"  {example}");
                }

                output.WriteLine();
            }

            int? width = plain.MaxWidth == int.MaxValue ? null : plain.MaxWidth;
            new Screen(output, width, color: false).Lines(ExitCode.Help);
            return ExitCode.Done;
        }
    }

    private sealed class PrintVersion : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            parseResult.InvocationConfiguration.Output.WriteLine($"sgctl {Version}");
            return ExitCode.Done;
        }
    }
}
