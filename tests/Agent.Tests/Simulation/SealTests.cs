using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Policy;
using Agent.Tests.Evaluator;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Simulation;

/// <summary>
/// Between new rules and the new policy epoch there is a seal in the kernel: who dies there leaves it to the next.
/// </summary>
public sealed class SealTests
{
    private static readonly CompilerSettings Settings = CompilerSettings.Default;
    private readonly SimulatedFirewall kernel = new();

    /// <summary>What was read in between still had the seal of the change before, which was removed then.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void It_is_there_whatever_was_read_before_the_last_one_was_removed(bool reads)
    {
        var enforcer = new Enforcer(
            kernel, Settings, PolicySettings.Default, TimeProvider.System, NullLogger.Instance);
        enforcer.Adopt(0);
        enforcer.Enforce(Policy(1, "192.0.2.0/25", "198.51.100.0/25", "203.0.113.0/25"), HostFacts.Default);
        enforcer.Cleanup();
        enforcer.Enforce(Policy(2, "192.0.2.0/25", "198.51.100.0/25"), HostFacts.Default);
        Assert.True(enforcer.CleanupDue && SealMark.IsOn(kernel.Ruleset, Settings));
        if (reads)
        {
            enforcer.Verify();
        }

        Assert.True(enforcer.Cleanup());
        Assert.False(SealMark.IsOn(kernel.Ruleset, Settings));
        uint old = enforcer.Epoch;
        var seals = new List<bool>();
        kernel.AfterCommit = () => seals.AddRange(EpochReader.Find(kernel.Ruleset, Settings) == old
            ? [SealMark.IsOn(kernel.Ruleset, Settings)] : []);
        enforcer.Enforce(Policy(3, "192.0.2.0/25"), HostFacts.Default);
        Assert.NotEmpty(seals);
        Assert.All(seals, Assert.True);
        Assert.NotEqual(old, enforcer.Epoch);
    }

    internal static PolicySnapshot Policy(ulong revision, params string[] prefixes) => new PolicyBuilder()
        .Basic("web", Verdict.Drop, [.. prefixes.Select(prefix => $"in 1 accept tcp 443/443 {prefix}")])
        .Nic("one", "10.0.0.1", "web").Build(revision);
}
