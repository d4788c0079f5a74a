using System.Collections.Immutable;
using Agent.Cli.Output;
using Agent.Cli.Verbs;
using Agent.Compiler;
using Agent.Contract;
using Agent.Evaluator.Explaining;
using Agent.Policy;

namespace Agent.Cli.Input;

/// <summary>A file read and validated as the agent would do it.</summary>
/// <param name="Name">The file, as messages name it.</param>
/// <param name="Policy">Null if there is any fault.</param>
/// <param name="Faults">All of them, with their places.</param>
/// <param name="Warnings">Accepted, but probably not meant.</param>
internal sealed record OfflineResult(
    string Name, PolicySnapshot? Policy, ImmutableArray<FileFault> Faults, ImmutableArray<string> Warnings);

/// <summary>Policy files for the verbs that need no agent.</summary>
internal static class OfflinePolicy
{
    public static OfflineResult TryRead(Call call, string path)
    {
        PolicyFileResult read = call.TryReadPolicy(path);
        if (read.File is not PolicyFile file)
        {
            return new OfflineResult(path == "-" ? InvalidInputException.StandardInput : path, null, read.Faults, []);
        }

        V1.Snapshot message = file.Message.Clone();
        message.Revision = Math.Max(1, message.Revision); // the agent would number it
        SnapshotResult result = SnapshotReader.Read(message, PolicyLimits.Default);
        return new OfflineResult(file.Name, result.Policy, [.. result.Faults.Select(file.Place)], result.Warnings);
    }

    /// <exception cref="InvalidInputException">With every fault of the file.</exception>
    public static PolicySnapshot Read(Call call, string path)
    {
        OfflineResult result = TryRead(call, path);
        PolicySnapshot policy = result.Policy ?? throw new InvalidInputException(path, result.Faults);
        if (!call.Json)
        {
            Warn(call.Error, result.Warnings);
        }

        return policy;
    }

    /// <summary>The ruleset that the policy becomes by default settings, on a host of which nothing is known.</summary>
    public static KernelView Compile(PolicySnapshot policy)
    {
        CompilerSettings settings = CompilerSettings.Default;
        uint firstEpoch = settings.EpochMask & ~(settings.EpochMask - 1);
        CompiledRuleset compiled = RulesetCompiler.Compile(
            new CompileRequest(policy, PolicySettings.Default, settings, HostFacts.Default, firstEpoch));
        return new KernelView(compiled.Ruleset, compiled.Zones, []);
    }

    public static void Warn(Screen screen, IEnumerable<string> warnings)
    {
        foreach (string warning in warnings)
        {
            screen.Line(("warning: ", Screen.Warning), (warning, Screen.Plain));
        }
    }
}
