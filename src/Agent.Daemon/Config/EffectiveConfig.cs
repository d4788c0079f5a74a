using System.Collections.Immutable;

namespace Agent.Daemon.Config;

/// <summary>What the daemon runs with, and what it would run with after a restart.</summary>
internal sealed record EffectiveConfig
{
    public required DaemonConfig Config { get; init; }

    /// <summary>In force, by key.</summary>
    public required ImmutableArray<Setting> Settings { get; init; }

    /// <summary>Said by the configuration since the last reload, and in force after a restart.</summary>
    public ImmutableSortedDictionary<string, Setting> Pending { get; init; } =
        ImmutableSortedDictionary<string, Setting>.Empty;

    /// <summary>Why the last reload changed nothing; empty: it did what it could.</summary>
    public ImmutableArray<ConfigFault> Faults { get; init; } = [];

    /// <summary>When what is in force was read.</summary>
    public required DateTimeOffset ReadAt { get; init; }

    /// <summary>What a daemon begins with.</summary>
    public static EffectiveConfig Of(ConfigResult read, DateTimeOffset at) => new()
    {
        Config = read.Config!,
        Settings = read.Settings,
        ReadAt = at,
    };

    /// <summary>Takes what may change while the daemon runs; faults change nothing.</summary>
    /// <param name="read">What the configuration says now.</param>
    /// <param name="isFixed">Settings that this daemon cannot change, beside those that none can.</param>
    /// <param name="at">Now.</param>
    public EffectiveConfig After(ConfigResult read, Func<string, bool> isFixed, DateTimeOffset at)
    {
        if (read.Config is not DaemonConfig next)
        {
            return this with { Faults = read.Faults };
        }

        bool tlsStays = Config.Grpc.Tls is null == next.Grpc.Tls is null;
        var inForce = ImmutableArray.CreateBuilder<Setting>();
        ImmutableSortedDictionary<string, Setting> pending = ImmutableSortedDictionary<string, Setting>.Empty;
        Dictionary<string, Setting> before = Settings.ToDictionary(one => one.Key, StringComparer.Ordinal);
        foreach (Setting setting in read.Settings)
        {
            if (setting.Value == before[setting.Key].Value
                || (RuntimeSettings.Has(setting.Key, tlsStays) && !isFixed(setting.Key)))
            {
                inForce.Add(setting);
            }
            else
            {
                inForce.Add(before[setting.Key]);
                pending = pending.Add(setting.Key, setting);
            }
        }

        DaemonConfig merged = RuntimeSettings.Merge(Config, next);
        return new EffectiveConfig
        {
            Config = isFixed("drops.per_second") ? merged with { Compiler = Config.Compiler } : merged,
            Settings = inForce.ToImmutable(),
            Pending = pending,
            ReadAt = at,
        };
    }
}
