using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Wording;

/// <summary>Packets in words.</summary>
internal static class TrafficWords
{
    /// <summary>"tcp 22 from 10.0.0.0/8 to 10.0.0.9": what is remote depends on the direction.</summary>
    public static string Of(
        Direction direction, ServiceSet services, ImmutableArray<AddressScope> remotes, AddressScope? own)
    {
        (string there, string here) = direction == Direction.Ingress ? ("from", "to") : ("to", "from");
        return $"{services} {there} {AddressScope.Text(remotes)}" + (own is null ? "" : $" {here} {own}");
    }
}
