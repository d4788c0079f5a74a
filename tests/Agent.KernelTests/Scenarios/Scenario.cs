using Agent.V1;

namespace Agent.KernelTests.Scenarios;

/// <summary>One row of semantics.md section 8, as data.</summary>
/// <param name="Id">C01 and so on.</param>
/// <param name="Text">What it says.</param>
/// <param name="Script">What to apply and ask, in order.</param>
public sealed record Scenario(string Id, string Text, Func<AddressPlan, ScenarioStep[]> Script)
{
    /// <summary>A case that is about one family, or about both at once, is asked once.</summary>
    public bool OneFamily { get; init; }
}

public abstract record ScenarioStep
{
    private ScenarioStep()
    {
    }

    /// <summary>The whole desired state from here on.</summary>
    public sealed record Apply(Snapshot State) : ScenarioStep;

    /// <summary>All at once.</summary>
    public sealed record Ask(params Question[] Questions) : ScenarioStep;

    /// <summary>Establishes a TCP session and keeps it for later steps; it must succeed.</summary>
    public sealed record Open(string Name, Question Session) : ScenarioStep;

    /// <summary>Both ends of a kept session send, one after the other.</summary>
    public sealed record Both(string Name, bool Passes) : ScenarioStep;
}

public enum ProbeKind
{
    Tcp,
    Udp,
    Echo,
    Protocol,
    TooBigForUdp,
    TooBigForTcp,
}

/// <summary>A packet, or an exchange, and whether it must come through.</summary>
/// <param name="Kind">With what.</param>
/// <param name="From">"e1", "e2", "e3" or "out": whose wire it leaves.</param>
/// <param name="Source">Its source address, its own or not.</param>
/// <param name="To">At whose wire it must arrive.</param>
/// <param name="Target">The address that is called.</param>
public sealed record Question(ProbeKind Kind, string From, string Source, string To, string Target)
{
    public int Port { get; init; }

    /// <summary>0: any.</summary>
    public int SourcePort { get; init; }

    public byte Protocol { get; init; }

    public string Router { get; init; } = "";

    public bool Passes { get; init; } = true;

    public Question Dropped() => this with { Passes = false };

    public override string ToString() =>
        $"{Kind} {From} {Source}{Suffix(SourcePort)} -> {To} {Target}{Suffix(Port)}{Suffix(Protocol)}";

    private static string Suffix(int number) => number == 0 ? "" : $" {number}";
}
