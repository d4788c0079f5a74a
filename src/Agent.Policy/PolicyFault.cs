namespace Agent.Policy;

/// <summary>One thing wrong with an input. Validation returns all of them, and changes nothing.</summary>
/// <param name="Path">Where: <c>groups[sg-web].rules[r-1].priority</c>.</param>
/// <param name="Code">Alibaba Cloud's code where it has one (semantics.md 3.5), otherwise our own.</param>
/// <param name="Message">What is wrong, with the offending value.</param>
/// <param name="Remedy">What to do about it.</param>
public sealed record PolicyFault(string Path, string Code, string Message, string Remedy)
{
    public override string ToString() => $"{Path}: {Message} ({Code}). {Remedy}";
}
