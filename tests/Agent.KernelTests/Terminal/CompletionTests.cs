using Agent.TestNet;

namespace Agent.KernelTests.Terminal;

/// <summary>The TAB key, in real shells.</summary>
public sealed class CompletionTests(TerminalLab lab) : IClassFixture<TerminalLab>
{
    private const string Zsh = "zsh -f -i";
    private const string Prompt = "$ ";
    private const int Attempts = 5;

    [Fact]
    public async Task Bash_completes_verbs_options_values_files_and_live_vnics()
    {
        await lab.ApplyRulesAsync();
        using Tmux terminal = lab.Terminal(100, 30);
        await TerminalLab.RunAsync(terminal, "source <(sgctl completion bash)");
        await TerminalLab.RunAsync(terminal, "cd $(mktemp -d); touch policy.yaml");
        foreach ((string typed, string becomes) in ((string, string)[])
        [
            ("sgctl vni", "sgctl vnics "),
            ("sgctl apply --dry", "sgctl apply --dry-run "),
            ("sgctl top --sort dr", "sgctl top --sort drops "),
            ("sgctl top --sort=dr", "sgctl top --sort=drops "),
            ("sgctl rules tap-e1", "sgctl rules tap-e1 "),
            ("sgctl rules eni", "sgctl rules eni-e"),
            ("sgctl verify eni-e1 eni-e2 eni", "sgctl verify eni-e1 eni-e2 eni-e3 "),
            ("sgctl explain eni-e1 in", "sgctl explain eni-e1 ingress "),
            ("sgctl apply pol", "sgctl apply policy.yaml "),
            ("sgctl explain --file pol", "sgctl explain --file policy.yaml "),
            ("sgctl explain --file=pol", "sgctl explain --file=policy.yaml "),
            ("sgctl drops --reason no", "sgctl drops --reason notsyn "),
            ("sgctl status pol", "sgctl status pol"),
        ])
        {
            await CompletesAsync(terminal, typed, becomes);
        }

        await ListsAsync(terminal, "sgctl sta", "stage", "staged", "status");
        await ListsAsync(terminal, "sgctl rules eni-e", "eni-e1", "eni-e2", "eni-e3");
    }

    [Fact]
    public async Task Zsh_completes_them_with_what_they_mean()
    {
        Need("zsh");
        await lab.ApplyRulesAsync();
        using Tmux terminal = lab.Terminal(110, 40, Zsh);
        await TerminalLab.RunAsync(terminal, "autoload -U compinit && compinit -u -D");
        await TerminalLab.RunAsync(terminal, "source <(sgctl completion zsh)");
        await TerminalLab.RunAsync(terminal, "cd $(mktemp -d); touch policy.yaml");
        foreach ((string typed, string becomes) in ((string, string)[])
        [
            ("sgctl vni", "sgctl vnics "),
            ("sgctl apply --dry", "sgctl apply --dry-run "),
            ("sgctl top --sort=dr", "sgctl top --sort=drops "),
            ("sgctl rules tap-e1", "sgctl rules tap-e1 "),
            ("sgctl apply pol", "sgctl apply policy.yaml "),
            ("sgctl explain --file=pol", "sgctl explain --file=policy.yaml "),
        ])
        {
            await CompletesAsync(terminal, typed, becomes);
        }

        await ListsAsync(terminal, "sgctl sta", "status  -- Show what the agent holds and enforces");
        await ListsAsync(terminal, "sgctl rules ", "eni-e1  -- tap-e1, enforced");
    }

    [Fact]
    public async Task Fish_completes_them_with_what_they_mean()
    {
        Need("fish");
        await lab.ApplyRulesAsync();
        DirectoryInfo place = ScratchDirectory.Create("fish");
        File.WriteAllText(Path.Combine(place.FullName, "policy.yaml"), "");
        foreach ((string typed, string candidate) in ((string, string)[])
        [
            ("sgctl vni", "vnics\tList the vNICs"),
            ("sgctl apply --dry", "--dry-run\tValidate, compile"),
            ("sgctl top --sort dr", "drops"),
            ("sgctl top --sort=dr", "--sort=drops"),
            ("sgctl rules ", "eni-e2\ttap-e2, enforced"),
            ("sgctl apply pol", "policy.yaml"),
            ("sgctl explain --file pol", "policy.yaml"),
        ])
        {
            string script = $"cd {place.FullName}; sgctl completion fish | source; complete -C '{typed}'";
            CommandOutcome run = new(0, "", "");
            for (int i = 0; i < Attempts && !Offers(run, candidate); i++)
            {
                run = SystemCommand.TryRun("env", null,
                    $"PATH={Path.GetDirectoryName(TerminalLab.Sgctl)}:{Environment.GetEnvironmentVariable("PATH")}",
                    $"SG_AGENT_SOCKET={lab.Lab.Daemon.SocketPath}", $"HOME={place.FullName}", "fish", "--no-config",
                    "-c", script);
            }

            Assert.True(run is { ExitCode: 0, Error: "" } && Offers(run, candidate), $"{typed}: {run}");
        }

        static bool Offers(CommandOutcome run, string candidate) =>
            run.Output.Split('\n').Any(line => line.StartsWith(candidate, StringComparison.Ordinal));

        place.Delete(recursive: true);
    }

    [Fact]
    public async Task Without_an_agent_there_are_no_names_and_no_complaint()
    {
        using Tmux terminal = lab.Terminal(100, 30);
        await TerminalLab.RunAsync(terminal, "source <(sgctl completion bash)");
        const string Line = "sgctl --socket /nonexistent rules eni";
        await CompletesAsync(terminal, Line, Line);
    }

    private static void Need(string shell)
    {
        if (!Tmux.IsThere(shell))
        {
            Assert.Skip($"there is no {shell}: apt-get install {shell}");
        }
    }

    // An agent that does not answer at once is passed over, and a person presses the key again.
    private static async Task CompletesAsync(Tmux terminal, string typed, string becomes)
    {
        string last = "";
        for (int i = 0; i < Attempts && last != becomes; i++)
        {
            await FreshAsync(terminal);
            terminal.Type(typed);
            terminal.Press("Tab");

            // Typed behind it, to see a blank and to know that the shell is through.
            terminal.Type("#");
            await TerminalLab.UntilAsync(terminal, $"{typed} -> {becomes}#", screen => screen.EndsWith('#'));
            last = terminal.Unbroken.Split('\n')[^1][Prompt.Length..^1];
        }

        Assert.Equal(becomes, last);
    }

    private static async Task ListsAsync(Tmux terminal, string typed, params string[] all)
    {
        bool there = false;
        for (int i = 0; i < Attempts && !there; i++)
        {
            await FreshAsync(terminal);
            terminal.Type(typed);
            terminal.Press("Tab", "Tab");
            terminal.Type("#");
            await TerminalLab.UntilAsync(terminal, typed, screen => screen.Contains('#'));
            there = all.All(one => terminal.Screen.Contains(one, StringComparison.Ordinal));
        }

        Assert.True(there, terminal.Screen);
    }

    /// <summary>An empty screen with a prompt, and the shell waits at it.</summary>
    private static async Task FreshAsync(Tmux terminal)
    {
        terminal.Press("C-u");
        terminal.Enter("");
        await TerminalLab.UntilAsync(terminal, "a prompt",
            screen => screen.EndsWith('$') && !screen.Contains('#'));
    }
}
