using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Policy;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Simulation;

/// <summary>A start compiles while the kernel is read, and takes over what the reading did not change.</summary>
public sealed class AnticipationTests
{
    private readonly SimulatedFirewall kernel = new();
    private readonly List<CompileRequest> asked = [];
    private readonly List<CompiledRuleset> made = [];

    [Fact]
    public void What_was_anticipated_is_taken_over_and_gives_way_to_what_is_enforced()
    {
        PolicySnapshot policy = SealTests.Policy(2, "192.0.2.0/25");
        uint epoch = Leave(policy);
        Enforcer next = New();
        next.Anticipate(policy, HostFacts.Default, lastEpoch: epoch + 0x0003_0000); // not what the kernel has
        Assert.True(next.Adopt(epoch));
        Assert.Equal(epoch, next.Epoch);
        EnforcementReport report = next.Enforce(policy, HostFacts.Default);
        Assert.Equal((0, 0), (report.Messages, report.Transactions));
        Assert.Equal(VerifyOutcome.Verified, report.Verification?.Outcome);
        Assert.Equal(2, asked.Count);
        Assert.Same(made[0], asked[1].Previous);

        next.Enforce(SealTests.Policy(3), HostFacts.Default);
        Assert.Same(made[1], asked[2].Previous);
    }

    [Fact]
    public void What_was_anticipated_of_another_policy_changes_nothing()
    {
        PolicySnapshot policy = SealTests.Policy(2, "192.0.2.0/25");
        uint epoch = Leave(policy);
        Enforcer next = New();
        next.Anticipate(SealTests.Policy(1, "192.0.2.0/25", "198.51.100.0/25"), HostFacts.Default, epoch);
        next.Adopt(epoch);
        Assert.Equal(0, next.Enforce(policy, HostFacts.Default).Messages);
        Assert.Equal(made[^1].Ruleset, kernel.Ruleset);
    }

    // A process that has moved the epoch, and ends.
    private uint Leave(PolicySnapshot policy)
    {
        Enforcer first = New();
        first.Adopt(0);
        first.Enforce(SealTests.Policy(1, "192.0.2.0/25", "198.51.100.0/25"), HostFacts.Default);
        first.Cleanup();
        first.Enforce(policy, HostFacts.Default);
        first.Cleanup();
        asked.Clear();
        made.Clear();
        return first.Epoch;
    }

    private Enforcer New() => new(
        kernel, CompilerSettings.Default, PolicySettings.Default, TimeProvider.System, NullLogger.Instance)
    {
        Compiler = request =>
        {
            asked.Add(request);
            made.Add(RulesetCompiler.Compile(request));
            return made[^1];
        },
    };
}
