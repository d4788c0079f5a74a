using System.Collections.Immutable;
using Agent.Evaluator.Wording;
using Agent.Policy;

namespace Agent.Evaluator.Differences;

/// <summary>Packets of a vNIC whose verdict changes in one way.</summary>
/// <param name="Direction">Of their sessions.</param>
/// <param name="Before">The verdict; afterwards it is the other one.</param>
/// <param name="Services">Their protocols and ports.</param>
/// <param name="Remotes">The addresses at the other end; one scope a family.</param>
/// <param name="Own">The guest's own addresses; null: all that the vNIC has before or after.</param>
/// <param name="DecidedBefore">Names of what decided, ascending.</param>
/// <param name="DecidedAfter">Names of what decides now, ascending.</param>
internal sealed record DifferenceLine(
    Direction Direction, Verdict Before, ServiceSet Services, ImmutableArray<AddressScope> Remotes, AddressScope? Own,
    ImmutableArray<string> DecidedBefore, ImmutableArray<string> DecidedAfter)
{
    public Verdict After => Before == Verdict.Accept ? Verdict.Drop : Verdict.Accept;

    /// <summary>"tcp 22 from 10.0.0.0/8 to 10.0.0.9": what happens, without the verdicts.</summary>
    public string Traffic => TrafficWords.Of(Direction, Services, Remotes, Own);

    /// <summary>Equal for lines that say the same.</summary>
    public string Key => string.Join('|',
        Direction, Before, string.Join(';', Services.Boxes), Services.AllBut,
        string.Join(';', Remotes.Select(All)), Own is null ? "" : All(Own),
        string.Join(';', DecidedBefore), string.Join(';', DecidedAfter));

    // The whole scope, where its text would end with "and 20 more".
    private static string All(AddressScope scope) =>
        $"{scope.Family} {string.Join(',', scope.Include)} but {string.Join(',', scope.Exclude)}";
}
