using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Nftables;
using Agent.Tests.Simulation;

namespace Agent.ErringDaemon;

/// <summary>
/// The real daemon with a fault in its compiler: whoever is in the group <c>sg-erring</c> would get all that is sent
/// to it. A proof that fails is nothing that anybody could bring about from outside.
/// </summary>
internal static class ErringDaemon
{
    private const string Group = "sg-erring";

    public static async Task<int> Main(string[] args)
    {
        ConfigResult read = CommandLine.Parse(args).ReadConfig();
        return read.Config is DaemonConfig config
            ? await AgentHost.RunAsync(config, "erring", request => ErringCompiler.Compile(request, Err))
            : CommandLine.ConfigFaulty;
    }

    private static NftTable Err(CompileRequest request, NftTable table) => request.Policy.Vnics.Values
        .Where(vnic => vnic.GroupIds.Contains(Group)).Select(CompiledRuleset.ProfileOf).Distinct()
        .Aggregate(table, (spoilt, profile) => ErringCompiler.Open(request, spoilt, profile));
}
