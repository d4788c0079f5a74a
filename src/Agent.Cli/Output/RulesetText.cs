using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Cli.Output;

/// <summary>The ruleset that a policy becomes on this host by default settings, as nft reads it.</summary>
internal static class RulesetText
{
    private const string Devices = "/sys/class/net";

    /// <param name="policy">Valid.</param>
    /// <param name="allDevices">Also guards of devices that this host does not have.</param>
    /// <returns>The text, and why vNICs are closed in it, by id.</returns>
    public static (string Text, IReadOnlyDictionary<string, string> Failed) Of(PolicySnapshot policy, bool allDevices)
    {
        CompilerSettings settings = CompilerSettings.Default;
        var host = new HostFacts
        {
            NetdevHooksByName = allDevices,
            PresentInterfaces = Present(),
            TimeoutProtocols = [],
        };
        uint firstEpoch = settings.EpochMask & ~(settings.EpochMask - 1);
        CompiledRuleset compiled = RulesetCompiler.Compile(
            new CompileRequest(policy, PolicySettings.Default, settings, host, firstEpoch));
        return (NftText.Print(compiled.Ruleset), compiled.Failed);
    }

    private static ImmutableSortedSet<string> Present() => !Directory.Exists(Devices) ? []
        : Directory.EnumerateFileSystemEntries(Devices).Select(path => Path.GetFileName(path))
            .ToImmutableSortedSet(StringComparer.Ordinal);
}
