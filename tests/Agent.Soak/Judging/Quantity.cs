namespace Agent.Soak.Judging;

/// <summary>Over what time something has to be flat.</summary>
internal enum Span
{
    /// <summary>The last life of the daemon: what a process has, it leaves with its end.</summary>
    Life,

    /// <summary>The whole run: what outlives a process.</summary>
    Run,
}

/// <summary>Something that is sampled, and how much it may grow.</summary>
/// <param name="Name">As the report has it.</param>
/// <param name="Unit">As the report has it.</param>
/// <param name="Span">Over what time.</param>
/// <param name="Part">It may grow by this part of what it was.</param>
/// <param name="Least">Or by this much, if that is more.</param>
internal sealed record Quantity(string Name, string Unit, Span Span, double Part, double Least)
{
    /// <summary>In a life that is shorter than a quarter of an hour.</summary>
    public double LeastWhenShort { get; init; } = Least;

    public static readonly Quantity Resident = Memory("resident memory");
    public static readonly Quantity Anonymous = Memory("anonymous memory");
    public static readonly Quantity Private = Memory("private memory");
    public static readonly Quantity Heap = Memory("GC heap");
    public static readonly Quantity Descriptors = new("descriptors", "", Span.Life, 0, 6);
    public static readonly Quantity Threads = new("threads", "", Span.Life, 0, 4);
    public static readonly Quantity Processor = new("processor a change", "ms", Span.Life, 0.25, 25)
    {
        LeastWhenShort = 1000,
    };

    public static readonly Quantity Proof = Time("proof", 100);
    public static readonly Quantity Commit = Time("commit", 1000);
    public static readonly Quantity Answer = Time("answer", 1000);
    public static readonly Quantity Tables = new("tables", "", Span.Run, 0, 0.5);
    public static readonly Quantity Chains = Kernel("chains", 4);
    public static readonly Quantity Rules = Kernel("rules", 20);
    public static readonly Quantity Sets = Kernel("sets", 4);
    public static readonly Quantity Elements = Kernel("elements", 100);
    public static readonly Quantity Counters = Kernel("counters", 20);
    public static readonly Quantity Timeouts = new("timeouts", "", Span.Run, 0, 10);
    public static readonly Quantity Flowtables = new("flowtables", "", Span.Run, 0, 0);
    public static readonly Quantity Sessions = new("sessions", "", Span.Run, 0.2, 60) { LeastWhenShort = 600 };

    /// <summary>A small state is written anew when there is a mebibyte of changes behind it, which is hours.</summary>
    public static readonly Quantity State = new("state directory", "KiB", Span.Run, 0.2, 1280);

    public static readonly Quantity Log = new("log", "KiB/s", Span.Run, 0.25, 2);

    public static readonly IReadOnlyList<Quantity> All =
    [
        Resident, Anonymous, Private, Heap, Descriptors, Threads, Processor, Proof, Commit, Answer, Tables, Chains,
        Rules, Sets,
        Elements, Counters, Timeouts, Flowtables, Sessions, State, Log,
    ];

    /// <summary>
    /// What the kernel holds for equal policies is equal. Not so timeouts: values that were used stay, a few.
    /// </summary>
    public static readonly IReadOnlyList<Quantity> SameAtRest =
        [Tables, Chains, Rules, Sets, Elements, Counters, Flowtables];

    private static readonly TimeSpan Short = TimeSpan.FromMinutes(15);

    /// <param name="level">What it was.</param>
    /// <param name="over">How long it was looked at.</param>
    public double Allowance(double level, TimeSpan over) =>
        Math.Max(Part * level, over < Short ? LeastWhenShort : Least);

    // What passes on a clock is the rest of the machine's, too: in a short run it says nothing.
    private static Quantity Time(string name, double least) => new(name, "ms", Span.Life, 1, least)
    {
        LeastWhenShort = double.PositiveInfinity,
    };

    // At first the policy grows to its middle size; what leaks is found at rest, to the piece.
    private static Quantity Kernel(string name, double least) => new(name, "", Span.Run, 0.1, least)
    {
        LeastWhenShort = double.PositiveInfinity,
    };

    private static Quantity Memory(string name) => new(name, "MiB", Span.Life, 0.1, 8) { LeastWhenShort = 48 };
}
