using System.Collections.Immutable;
using Agent.Netlink.Route;

namespace Agent.Daemon.Enforcement;

/// <summary>The network devices of the host, as far as enforcement depends on them.</summary>
/// <param name="Indexes">Name to ifindex: a device that was made anew has another one.</param>
internal sealed record HostLinks(ImmutableSortedDictionary<string, int> Indexes)
{
    public static readonly HostLinks None = new(ImmutableSortedDictionary.Create<string, int>(StringComparer.Ordinal));

    /// <summary>Names of all devices.</summary>
    public ImmutableSortedSet<string> Names { get; } = [.. Indexes.Keys];

    /// <summary>Names of the bridges.</summary>
    public ImmutableSortedSet<string> Bridges { get; init; } = [];

    /// <summary>Names of the devices that are ports of a bridge.</summary>
    public ImmutableSortedSet<string> BridgePorts { get; init; } = [];

    public static HostLinks Of(IReadOnlyCollection<LinkState> links)
    {
        HashSet<int> bridges = [.. links.Where(link => link.Kind == "bridge").Select(link => link.Index)];
        return new HostLinks(
            links.ToImmutableSortedDictionary(link => link.Name, link => link.Index, StringComparer.Ordinal))
        {
            Bridges = Names(links.Where(link => bridges.Contains(link.Index))),
            BridgePorts = Names(links.Where(link => link.MasterIndex is int master && bridges.Contains(master))),
        };

        static ImmutableSortedSet<string> Names(IEnumerable<LinkState> some) =>
            some.Select(link => link.Name).ToImmutableSortedSet(StringComparer.Ordinal);
    }

    public bool Equals(HostLinks? other) => other is not null && Indexes.SequenceEqual(other.Indexes)
        && Bridges.SetEquals(other.Bridges) && BridgePorts.SetEquals(other.BridgePorts);

    public override int GetHashCode() => Indexes.Count;
}
