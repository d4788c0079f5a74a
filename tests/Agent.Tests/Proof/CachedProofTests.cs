using System.Runtime.CompilerServices;
using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Proof;

/// <summary>What a cache remembers never changes an answer, whatever has happened to the ruleset since.</summary>
public sealed class CachedProofTests
{
    [Theory]
    [InlineData(21, 60)]
    [InlineData(22, 60)]
    [InlineData(23, 60)]
    public void Answers_of_one_cache_are_those_of_full_proofs(int seed, int steps)
    {
        var random = new Random(seed);
        CompileRequest request = QuickProofTests.Host(vnics: 4, profiles: 2, rules: 5);
        Ruleset compiled = RulesetCompiler.Compile(request).Ruleset;
        Ruleset held = compiled;
        var cache = new ProofCache();
        int different = 0;
        for (int step = 0; step < steps; step++)
        {
            string what = "nothing";
            if (step % 4 == 3)
            {
                held = compiled;
            }
            else if (random.Next(4) > 0)
            {
                (held, what) = RulesetFaults.Seed(random, held);
            }
            else
            {
                request = Changed(request, random);
                compiled = RulesetCompiler.Compile(request).Ruleset;
                held = random.Next(2) == 0 ? compiled : held;
                what = "the policy";
            }

            string[] cached = QuickProofTests.Faulty(QuickProofTests.Prove(request, held, cache));
            string[] full = QuickProofTests.Faulty(
                QuickProofTests.Prove(request, held, new ProofCache { IsWithoutSymbols = true }));
            Assert.True(cached.SequenceEqual(full), $"step {step}, after a change of {what}: "
                + $"[{string.Join(' ', cached)}] are not proved, but by a full proof [{string.Join(' ', full)}]");
            different += full.Length > 0 ? 1 : 0;
        }

        Assert.InRange(different, steps / 5, steps * 4 / 5);
    }

    [Fact]
    public void A_policy_epoch_that_passes_leaves_nothing_behind()
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(QuickProofTests.Host(vnics: 20, profiles: 2, rules: 5));
        var cache = new ProofCache();
        int[] sizes = Sizes(compiled, cache, epochs: 20, ruleset => ruleset);
        Assert.Equal(sizes[0], sizes[^1]);
        Assert.Equal(1, cache.Quick.Runs);
    }

    /// <summary>Where epochs keep their names, each makes circumstances that nobody asks for again.</summary>
    [Fact]
    public void What_is_remembered_is_bounded()
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(QuickProofTests.Host(vnics: 20, profiles: 2, rules: 5));
        int[] sizes = Sizes(compiled, new ProofCache(), epochs: 30, EpochNamesTests.WithMarkUser);

        // What a proof adds, three times, something to spare, and what the last one added.
        Assert.InRange(sizes.Max(), 150_000, 150_000 + 4 * sizes[0]);
        Assert.Equal(sizes[0], sizes.Skip(1).Min());
    }

    /// <summary>A set of so many members, with all that is known of them, is megabytes.</summary>
    [Fact]
    public void What_a_change_of_members_left_behind_is_let_go()
    {
        var cache = new ProofCache();
        WeakReference[] maps = [.. Enumerable.Range(0, 12).Select(i => ProveMembers(cache, i))];
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        Assert.InRange(maps.Count(map => map.IsAlive), 1, 6);
        GC.KeepAlive(cache);
    }

    // In a method of its own: nothing of it is left on the stack.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference ProveMembers(ProofCache cache, int without)
    {
        IEnumerable<IpPrefix> members = Enumerable.Range(0, 12_000).Where(i => i != 500 + without)
            .Select(i => IpPrefix.Host(IpFamily.V4, 0x0a40_0000u + 2 * (uint)i));
        CompileRequest request = QuickProofTests.Host(vnics: 4, profiles: 2, rules: 5);
        string group = request.Policy.Groups.Keys.First();
        request = request with
        {
            Policy = request.Policy with
            {
                Groups = request.Policy.Groups.SetItem(group, request.Policy.Groups[group] with
                {
                    Members = [.. members],
                }),
            },
        };
        Ruleset ruleset = RulesetCompiler.Compile(request).Ruleset;
        Assert.Empty(QuickProofTests.Faulty(QuickProofTests.Prove(request, ruleset, cache)));
        return new WeakReference(ruleset.Tables.SelectMany(table => table.Sets).MaxBy(set => set.Elements.Count)!);
    }

    private static int[] Sizes(
        CompiledRuleset compiled, ProofCache cache, int epochs, Func<Ruleset, Ruleset> readBack)
    {
        var sizes = new List<int>();
        for (uint epoch = 1; epoch <= epochs; epoch++)
        {
            compiled = compiled.WithEpoch(epoch << 16);
            Assert.Empty(QuickProofTests.Faulty(
                QuickProofTests.Prove(compiled.Request, readBack(compiled.Ruleset), cache)));
            sizes.Add(cache.Size);
        }

        return [.. sizes];
    }

    /// <summary>
    /// The same where policies have many kinds of addresses, so that what is remembered of one kind serves others.
    /// </summary>
    [Theory]
    [InlineData(31, 120)]
    [InlineData(32, 120)]
    public void Answers_of_a_warm_cache_are_those_of_a_cold_one(int seed, int steps)
    {
        var random = new Random(seed);
        CompileRequest request = QuickProofTests.Host(vnics: 3, profiles: 3, rules: 30);
        Ruleset compiled = RulesetCompiler.Compile(request).Ruleset;
        Ruleset held = compiled;
        var warm = new ProofCache();
        long swept = 0;
        int different = 0;
        for (int step = 0; step < steps; step++)
        {
            if (random.Next(3) > 0)
            {
                request = Changed(request, random);
                compiled = RulesetCompiler.Compile(request).Ruleset;
                held = random.Next(4) > 0 ? compiled : held;
            }

            string what = "the policy";
            if (random.Next(3) == 0)
            {
                (held, what) = RulesetFaults.Seed(random, held);
            }

            string[] cached = QuickProofTests.Faulty(QuickProofTests.Prove(request, held, warm));
            var cold = new ProofCache();
            string[] anew = QuickProofTests.Faulty(QuickProofTests.Prove(request, held, cold));
            Assert.True(cached.SequenceEqual(anew), $"step {step}, after a change of {what}: "
                + $"[{string.Join(' ', cached)}] are not proved, but of a cold cache [{string.Join(' ', anew)}]");
            different += anew.Length > 0 ? 1 : 0;
            swept += cold.Functions.Swept.Count;
        }

        Assert.InRange(different, steps / 5, steps * 4 / 5);
        Assert.True(warm.Functions.Swept.Count * 4 < swept,
            $"{warm.Functions.Swept.Count} rows were swept, and {swept} without a cache: nothing was remembered");
    }

    private static CompileRequest Changed(CompileRequest request, Random random)
    {
        PolicySnapshot policy = request.Policy;
        string id = $"sg-{random.Next(policy.Groups.Count)}";
        SecurityGroup group = policy.Groups[id];
        string vnic = $"eni-{random.Next(policy.Vnics.Count)}";
        return request with
        {
            Policy = random.Next(4) switch
            {
                0 => policy with
                {
                    Groups = policy.Groups.SetItem(id, group with
                    {
                        Members = group.Members.Add(IpPrefix.Parse($"10.90.0.{random.Next(256)}")),
                    }),
                },
                1 => policy with
                {
                    Groups = policy.Groups.SetItem(id, group with
                    {
                        Rules = [.. group.Rules.Skip(1), PolicyBuilder.Rule(
                            group.Rules[0].Id,
                            $"in {random.Next(1, 9)} accept tcp {random.Next(1, 99)}/200 10.0.0.0/9")],
                    }),
                },
                2 => policy with
                {
                    Vnics = policy.Vnics.SetItem(vnic, policy.Vnics[vnic] with
                    {
                        Addresses = [IpPrefix.Parse($"10.200.7.{random.Next(256)}")],
                    }),
                },
                _ => policy with
                {
                    Vnics = policy.Vnics.SetItem(vnic, policy.Vnics[vnic] with { GroupIds = [id] }),
                },
            },
        };
    }
}
