using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Nftables;
using Agent.Tests.Simulation;

namespace Agent.ErringDaemon;

/// <summary>
/// The real daemon with a fault in its compiler: whoever is in the group <c>sg-erring</c> would get all that is sent
/// to it. A proof that fails is nothing that anybody could bring about from outside. Likewise a loop that is stuck: with
/// somebody in <c>sg-hanging</c>, the compiler does not come back.
/// </summary>
internal static class ErringDaemon
{
    private const string Group = "sg-erring";
    private const string HangingGroup = "sg-hanging";

    public static async Task<int> Main(string[] args)
    {
        CommandLine command = CommandLine.Parse(args);
        ConfigResult read = command.ReadConfig();
        return read.Config is not null
            ? await AgentHost.RunAsync(read, command.ReadConfig, "erring", request => ErringCompiler.Compile(request, Err))
            : CommandLine.ConfigFaulty;
    }

    private static NftTable Err(CompileRequest request, NftTable table)
    {
        if (request.Policy.Vnics.Values.Any(vnic => vnic.GroupIds.Contains(HangingGroup)))
        {
            Thread.Sleep(Timeout.Infinite);
        }

        return Spoil(request, table);
    }

    private static NftTable Spoil(CompileRequest request, NftTable table) => request.Policy.Vnics.Values
        .Where(vnic => vnic.GroupIds.Contains(Group)).Select(CompiledRuleset.ProfileOf).Distinct()
        .Aggregate(table, (spoilt, profile) => ErringCompiler.Open(request, spoilt, profile));
}
