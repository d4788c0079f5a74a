using System.IO.Compression;
using Agent.Nftables;

namespace Agent.KernelTests;

/// <summary>Something that not every kernel has.</summary>
/// <param name="Name">As a skipped test names it.</param>
/// <param name="Since">The first release with it.</param>
/// <param name="Option">What a build can leave out; null if every build has it.</param>
internal sealed record KernelFeature(string Name, Version Since, string? Option)
{
    internal static readonly KernelFeature OwnerPersist = new("owner+persist tables", new Version(6, 9), null);

    internal static readonly KernelFeature NetdevHookByName =
        new("netdev hooks of absent devices", new Version(6, 16), null);

    internal static readonly KernelFeature BridgeConntrack =
        new("bridge conntrack", new Version(5, 3), "CONFIG_NF_CONNTRACK_BRIDGE");

    internal NftFeature In(NftFeatures features) => this switch
    {
        _ when this == OwnerPersist => features.OwnerPersist,
        _ when this == NetdevHookByName => features.NetdevHookByName,
        _ when this == BridgeConntrack => features.BridgeConntrack,
        _ => throw new InvalidOperationException($"{Name} is not probed"),
    };
}

/// <summary>What a kernel is, apart from what it can do.</summary>
/// <param name="Version">Its release.</param>
/// <param name="Configuration">The lines it was built with; null if nothing on this machine tells.</param>
internal sealed record KernelBuild(Version Version, IReadOnlySet<string>? Configuration)
{
    internal static KernelBuild Running()
    {
        string release = NftFeatures.KernelReleaseNow();
        return new KernelBuild(Parse(release), ReadConfiguration(release));
    }

    internal static Version Parse(string release) =>
        new(string.Join('.', release.Split('.', '-').Take(2)));

    internal bool Lacks(string option) =>
        Configuration is { } lines && !lines.Contains(option + "=y") && !lines.Contains(option + "=m");

    private static HashSet<string>? ReadConfiguration(string release)
    {
        if (File.Exists("/proc/config.gz"))
        {
            using GZipStream packed = new(File.OpenRead("/proc/config.gz"), CompressionMode.Decompress);
            using StreamReader reader = new(packed);
            return reader.ReadToEnd().Split('\n').ToHashSet();
        }

        string beside = $"/boot/config-{release}";
        return File.Exists(beside) ? File.ReadAllLines(beside).ToHashSet() : null;
    }
}

/// <summary>
/// A test is skipped only on a kernel that is too old or was built without what it needs, and the reason says which.
/// A kernel that ought to have it, and does not, fails the test: silence there would hide a regression of the probe.
/// </summary>
internal static class KernelNeeds
{
    private static readonly Lazy<NftFeatures> Found = new(NftFeatures.Probe);
    private static readonly Lazy<KernelBuild> Build = new(KernelBuild.Running);

    internal static bool Has(KernelFeature feature) => feature.In(Found.Value).Available;

    internal static void Feature(KernelFeature feature)
    {
        NftFeature found = feature.In(Found.Value);
        if (found.Available)
        {
            return;
        }

        string? excuse = Excuse(feature, Build.Value);
        Assert.True(excuse is not null, $"Linux {Build.Value.Version} ought to have {feature.Name}; {found.Detail}");
        Assert.Skip(excuse);
    }

    /// <summary>Why such a kernel may lack the feature; null if nothing excuses it.</summary>
    internal static string? Excuse(KernelFeature feature, KernelBuild build)
    {
        if (build.Version < feature.Since)
        {
            return $"needs {feature.Name}: since Linux {feature.Since}, this is {build.Version}";
        }

        return feature.Option is { } option && build.Lacks(option)
            ? $"needs {feature.Name}: this kernel was built without {option}"
            : null;
    }
}
