using System.Globalization;
using Agent.Compiler;
using Agent.Contract;
using Agent.Daemon.Enforcement;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Contract;
using Microsoft.Extensions.Logging.Abstractions;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Simulation;

/// <summary>One seed decides what is asked, what others write, what is refused, and when the process dies.</summary>
public class SimulationTests
{
    /// <summary>SG_SIM_SEED runs one seed again.</summary>
    public static TheoryData<int> Seeds => Environment.GetEnvironmentVariable("SG_SIM_SEED") is string one
        ? [int.Parse(one, CultureInfo.InvariantCulture)] : [.. Enumerable.Range(1, 40)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Whatever_happens_the_kernel_ends_up_with_the_policy(int seed) => new Run(seed).Go();

    private sealed class Run(int seed)
    {
        private readonly Random random = new(seed);
        private readonly SimulatedFirewall kernel = new();
        private readonly List<string> story = [];
        private Snapshot state = new() { Revision = 1 };
        private PolicySnapshot policy = PolicySnapshot.Empty;
        private Enforcer enforcer = null!;
        private bool written;

        public void Go()
        {
            try
            {
                Start();
                state = RandomStates.Next(random, 1);
                policy = DeltaTests.Read(state);
                for (int step = 0; step < 40; step++)
                {
                    Step();
                }

                Settle();
                AssertHolds();
            }
            catch (Exception e) when (e is not CrashException)
            {
                throw new InvalidOperationException($"seed {seed}:\n{string.Join('\n', story)}", e);
            }
        }

        private void Step()
        {
            kernel.Refuses = _ => null;
            kernel.BeforeCommit = () => { };
            switch (random.Next(10))
            {
                case 0: Restart("restart"); break;
                case 1: WriteForeign(); break;
                case 2: RefuseOne(); break;
                case 3: CrashSoon(); break;
                case 4: InterfereOnce(); break;
                default: break;
            }

            Snapshot next = state.Clone();
            next.Revision++;
            for (int change = random.Next(0, 4); change > 0; change--)
            {
                RandomStates.Change(next, random);
            }

            policy = DeltaReader.Apply(policy, RandomStates.Between(state, next, random), PolicyLimits.Unlimited)
                .Policy!;
            state = next;
            Enforce();
        }

        private void Enforce()
        {
            story.Add($"enforce revision {policy.Revision}");
            CompiledRuleset? before = enforcer.Enforced;
            uint epoch = enforcer.Epoch;
            try
            {
                Drift? drift = enforcer.Enforce(policy, HostFacts.Default).Drift;
                Assert.True(drift is null || written, drift?.ToString());
                written = false;
                if (before is not null && Restriction.Between(before, enforcer.Enforced!))
                {
                    Assert.NotEqual(epoch, enforcer.Epoch);
                }

                Assert.Equal(enforcer.Epoch, EpochReader.Find(kernel.Ruleset, CompilerSettings.Default));
                if (random.Next(4) > 0)
                {
                    enforcer.Cleanup();
                }
            }
            catch (CrashException)
            {
                kernel.BeforeCommit = () => { };
                Restart("crash");
            }
        }

        private void Settle()
        {
            kernel.Refuses = _ => null;
            kernel.BeforeCommit = () => { };
            enforcer.Distrust();
            Enforce();
            enforcer.Cleanup();
            enforcer.Distrust();
            enforcer.Enforce(policy, HostFacts.Default);
            enforcer.Cleanup();
        }

        private void Restart(string why)
        {
            story.Add(why);
            Start();
        }

        private void Start()
        {
            enforcer = new Enforcer(
                kernel, CompilerSettings.Default, PolicySettings.Default, TimeProvider.System, NullLogger.Instance);
            enforcer.Adopt(0);
        }

        private void WriteForeign()
        {
            NftTable? table = kernel.Ruleset.Find(NftFamily.Inet, "sg_agent");
            NftChain[] chains = [.. (table?.Chains ?? []).Where(chain => chain.Rules.Count > 0)];
            NftSet[] sets = [.. (table?.Sets ?? []).Where(set => set.Elements.Count > 0)];
            if (chains.Length > 0 && random.Next(2) == 0)
            {
                string chain = chains[random.Next(chains.Length)].Name;
                story.Add($"somebody flushes {chain}");
                kernel.Foreign(new NftOp.FlushChain(NftFamily.Inet, "sg_agent", chain));
            }
            else if (sets.Length > 0)
            {
                NftSet set = sets[random.Next(sets.Length)];
                story.Add($"somebody empties {set.Name}");
                kernel.Foreign(new NftOp.DeleteElements(NftFamily.Inet, "sg_agent", set, set.Elements));
            }

            written = true;
            enforcer.Distrust(); // as the audit does when the generation is not ours
        }

        private void RefuseOne()
        {
            string[] profiles = [.. policy.Vnics.Values.Select(CompiledRuleset.ProfileOf).Distinct()];
            if (profiles.Length > 0)
            {
                string refused = profiles[random.Next(profiles.Length)];
                story.Add($"objects of {refused} are refused");
                kernel.Refuses = op => op.ObjectName.StartsWith(refused, StringComparison.Ordinal)
                    && op is NftOp.AddSet or NftOp.AddChain or NftOp.AddRule ? "refused" : null;
            }
        }

        private void CrashSoon()
        {
            int left = random.Next(3);
            story.Add($"the process will die before commit {left}");
            kernel.BeforeCommit = () =>
            {
                if (left-- == 0)
                {
                    throw new CrashException();
                }
            };
        }

        private void InterfereOnce()
        {
            int left = random.Next(3);
            story.Add($"somebody commits before commit {left}");
            kernel.BeforeCommit = () =>
            {
                if (left-- == 0)
                {
                    kernel.Foreign();
                }
            };
        }

        private void AssertHolds()
        {
            Ruleset expected = RulesetCompiler.Compile(new CompileRequest(
                policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, enforcer.Epoch)).Ruleset;
            Assert.Equal(NftText.Print(expected), NftText.Print(kernel.Ruleset));
            Assert.Equal(expected, kernel.Ruleset);
            Assert.Empty(enforcer.Enforced!.Failed);
        }
    }
}
