using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Reflection;
using Agent.Cli.Verbs;

namespace Agent.Cli;

/// <summary>The tree of verbs, and how one of them is run.</summary>
internal static class Sgctl
{
    private const string About =
        "Talks to sg-agentd, which enforces security groups on this host, and works on policy files without it.";

    /// <summary>A file whose name begins with @ is a file, not a list of arguments.</summary>
    private static readonly ParserConfiguration Parser = new() { ResponseFileTokenReplacer = null };

    public static string Version { get; } =
        typeof(Sgctl).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()
            ?.InformationalVersion.Split('+')[0] ?? "0";

    public static async Task<int> RunAsync(string[] args, Surroundings around)
    {
        ParseResult parsed = Build(around).Parse(args, Parser);
        if (parsed.Action is ParseErrorAction)
        {
            Mistakes.Print(around.Error, parsed);
            return ExitCode.Usage;
        }

        return await parsed.InvokeAsync(new InvocationConfiguration
        {
            Output = around.Out,
            Error = around.Error,
            EnableDefaultExceptionHandler = false,
        }).ConfigureAwait(false);
    }

    public static RootCommand Build(Surroundings around)
    {
        var options = new GlobalOptions(around);
        var root = new RootCommand(About)
        {
            options.Socket,
            options.Json,
            options.NoColor,
            new AnalyzeVerb(options),
            new ApplyVerb(options),
            new CheckVerb(options),
            new CompileVerb(options),
            new ConvertVerb(options),
            new DiffVerb(options),
            new DropsVerb(options),
            new ExplainVerb(options),
            new GetVerb(options),
            new GroupsVerb(options),
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

            output.WriteLine(ExitCode.Help);
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
