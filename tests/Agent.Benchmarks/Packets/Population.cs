namespace Agent.Benchmarks.Packets;

/// <summary>Hosts that are measured together, by firewall and size.</summary>
internal sealed class Population : IDisposable
{
    private readonly List<PacketBed> beds = [];

    private Population(IEnumerable<PacketBed> some) => beds.AddRange(some);

    /// <param name="kinds">Those without a policy are built once, at the first size.</param>
    /// <param name="sizes">Policies.</param>
    public Population(IEnumerable<IFirewall> kinds, IReadOnlyList<TrafficPolicy> sizes)
    {
        foreach (IFirewall kind in kinds)
        {
            foreach (TrafficPolicy policy in kind.HasPolicy ? sizes : sizes.Take(1))
            {
                beds.Add(PacketBed.Build(kind, policy));
            }
        }
    }

    public IEnumerable<IFirewall> Kinds => beds.Select(bed => bed.Kind).Distinct();

    /// <summary>The same hosts but those of some firewalls; they stay the whole population's.</summary>
    public Population Without(params IFirewall[] kinds) => new(beds.Where(bed => !kinds.Contains(bed.Kind)));

    /// <summary>Takes turns.</summary>
    /// <param name="rounds">How many each has.</param>
    /// <param name="make">Makes the case for a host.</param>
    /// <returns>By firewall, in the order of the sizes.</returns>
    public Dictionary<IFirewall, Samples[]> Measure(int rounds, Func<PacketBed, Func<double>> make)
    {
        (PacketBed Bed, Samples Samples)[] all = [.. beds.Select(bed => (bed, new Samples()))];
        Turns.Take(rounds, [.. all.Select(one => (one.Samples, make(one.Bed)))]);
        return all.GroupBy(one => one.Bed.Kind)
            .ToDictionary(kind => kind.Key, kind => kind.Select(one => one.Samples).ToArray());
    }

    public void Dispose() => beds.ForEach(bed => bed.Dispose());
}
