namespace Agent.Cli;

/// <summary>What scripts look at; documented in --help and README.</summary>
internal static class ExitCode
{
    public const int Done = 0;

    /// <summary>The agent refused, or could not enforce all of it, or answered with an error.</summary>
    public const int Failed = 1;

    /// <summary>As diff(1) has it: the answer is that there is something.</summary>
    public const int Differs = 1;
    public const int Usage = 2;
    public const int Unreachable = 3;

    /// <summary>A file that cannot be read or has faults.</summary>
    public const int InputInvalid = 4;

    /// <summary>Neither done nor refused: it removes too much, and waits to be confirmed.</summary>
    public const int Held = 5;

    /// <summary>128 and SIGINT, as shells count.</summary>
    public const int Interrupted = 130;

    public const string Help =
        """
        Exit codes:
          0    done (explain: answered, whatever the verdict)
          1    the agent refused, could not enforce all of it, or answered with an error; diff: something differs;
               analyze: something was found
          2    the command line was not understood
          3    the agent cannot be reached
          4    a file cannot be read, or has faults
          5    apply: held, because it would remove too much; sgctl staged shows it, and it waits to be confirmed
          130  interrupted
        """;
}
