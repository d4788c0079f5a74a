using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Nftables;
using Agent.Tests.Simulation;

namespace Agent.ErringDaemon;

/// <summary>
/// The real daemon with a fault in its compiler: whoever is in the group <c>sg-erring</c> would get all that is sent
/// to it. A proof that fails is nothing that anybody could bring about from outside. Likewise a loop that is stuck:
/// with somebody in <c>sg-hanging</c>, the compiler does not come back. And with somebody in <c>sg-leaking</c>,
/// each compilation keeps memory and a descriptor for ever.
/// </summary>
internal static class ErringDaemon
{
    private const string Group = "sg-erring";
    private const string HangingGroup = "sg-hanging";
    private const string LeakingGroup = "sg-leaking";
    private const int LeakedBytes = 1 << 20;

    private static readonly List<object> Leaked = [];

    public static async Task<int> Main(string[] args)
    {
        CommandLine command = CommandLine.Parse(args);
        ConfigResult read = command.ReadConfig();
        return read.Config is not null
            ? await AgentHost.RunAsync(
                read, command.ReadConfig, "erring", request => ErringCompiler.Compile(request, Err))
            : CommandLine.ConfigFaulty;
    }

    private static NftTable Err(CompileRequest request, NftTable table)
    {
        if (request.Policy.Vnics.Values.Any(vnic => vnic.GroupIds.Contains(HangingGroup)))
        {
            Thread.Sleep(Timeout.Infinite);
        }

        if (request.Policy.Vnics.Values.Any(vnic => vnic.GroupIds.Contains(LeakingGroup)))
        {
            Leak();
        }

        return Spoil(request, table);
    }

    private static void Leak()
    {
        byte[] kept = GC.AllocateUninitializedArray<byte>(LeakedBytes);
        Array.Fill(kept, (byte)1); // or it would take no memory
        Leaked.Add(kept);
        Leaked.Add(File.OpenHandle("/dev/null"));
    }

    private static NftTable Spoil(CompileRequest request, NftTable table) => request.Policy.Vnics.Values
        .Where(vnic => vnic.GroupIds.Contains(Group)).Select(CompiledRuleset.ProfileOf).Distinct()
        .Aggregate(table, (spoilt, profile) => ErringCompiler.Open(request, spoilt, profile));
}
