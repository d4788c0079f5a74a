using System.CommandLine;
using Agent.Cli.Output;

namespace Agent.Cli.Verbs;

/// <summary>Prints what makes a shell complete command lines of sgctl.</summary>
internal sealed class CompletionVerb : Verb
{
    private static readonly string[] Shells = ["bash", "zsh", "fish"];

    private readonly Argument<string> shell = new("SHELL") { Description = string.Join(", ", Shells) };

    public CompletionVerb(GlobalOptions options) : base(options, "completion",
        "Print a shell's completion script. The TAB key then completes verbs, options, their values, files, and vNICs "
        + "of the running agent. The package installs the scripts; needs no agent.")
    {
        shell.AcceptOnlyFromAmong(Shells);
        Arguments.Add(shell);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "source <(sgctl completion bash)            for this shell; in ~/.bashrc for all",
        "source <(sgctl completion zsh)             in ~/.zshrc, behind compinit",
        "sgctl completion fish | source",
    ];

    /// <summary>The script as it is in the sources.</summary>
    internal static string Script(string shell)
    {
        using Stream text = typeof(CompletionVerb).Assembly.GetManifestResourceStream($"sgctl.{shell}")!;
        return new StreamReader(text).ReadToEnd();
    }

    protected override Task<int> RunAsync(Call call)
    {
        string name = call.Parsed.GetRequiredValue(shell);
        call.Out.Raw(call.Json ? Json.Document(json =>
        {
            json.WriteString("shell", name);
            json.WriteString("script", Script(name));
        }) : Script(name));
        return Task.FromResult(ExitCode.Done);
    }
}
