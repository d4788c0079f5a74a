using Agent.Soak.Judging;

namespace Agent.Soak.Sampling;

/// <summary>What was seen at a time.</summary>
/// <param name="Seconds">Since the run began.</param>
/// <param name="Life">Of the daemon; grows with each start.</param>
/// <param name="Values">What could be read.</param>
internal sealed record Sample(double Seconds, int Life, IReadOnlyDictionary<Quantity, double> Values);
