namespace Agent.Daemon.Access;

/// <summary>Who is at the other end of a connection.</summary>
/// <param name="Name">For people, and to tell clients apart; empty: nobody is known.</param>
/// <param name="Role">What he may do.</param>
/// <param name="Remedy">What to set so that he may do more.</param>
internal sealed record Caller(string Name, Role Role, string Remedy)
{
    public bool IsKnown => Name.Length > 0;
}
