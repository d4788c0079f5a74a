using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator.Proof;
using Agent.Policy;
using Agent.Tests.Evaluator;
using Microsoft.Extensions.Time.Testing;
using Prometheus;

namespace Agent.Tests.Daemon;

/// <summary>Which revision each vNIC and group has got to, and how long that took.</summary>
public sealed class RealisationTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 29, 12, 0, 0, TimeSpan.Zero);

    private readonly FakeTimeProvider clock = new(Noon);
    private readonly CollectorRegistry registry = Metrics.NewCustomRegistry();
    private readonly RealisationBook book;
    private HostRealisation known = HostRealisation.None;
    private PolicySnapshot desired = PolicySnapshot.Empty;

    public RealisationTests()
    {
        var metrics = new RealisationMetrics(Metrics.WithCustomRegistry(registry));
        metrics.Follow(registry, () => known, clock);
        book = new RealisationBook(clock, metrics, proves: true);
    }

    [Fact]
    public async Task A_revision_is_measured_from_its_senders_time_to_enforced_and_to_proved()
    {
        Accept(Policy(1, Noon.AddSeconds(-2)));
        Pass(1);
        CompiledRuleset first = Enforce();
        Pass(4);
        Prove(first);
        Assert.Equal((1ul, Noon.AddSeconds(1), 1ul, Noon.AddSeconds(5)), Of("a"));
        Assert.Equal((Noon.AddSeconds(-2), TimeSpan.FromSeconds(3)), (known.IssuedAt, known.EnforcedAfter));
        Assert.Equal((1, 3.0), await SumAsync("enforced"));
        Assert.Equal((1, 7.0), await SumAsync("proved"));

        // Once more into force, and proved once more: that is no new realisation.
        Pass(10);
        Prove(Enforce());
        Assert.Equal((1ul, Noon.AddSeconds(1), 1ul, Noon.AddSeconds(5)), Of("a"));
        Assert.Equal(TimeSpan.FromSeconds(3), known.EnforcedAfter);
        Assert.Equal((1, 3.0), await SumAsync("enforced"));
        Assert.Equal((1, 7.0), await SumAsync("proved"));
    }

    [Fact]
    public async Task What_was_overtaken_is_as_real_as_what_overtook_it()
    {
        Accept(Policy(1, Noon));
        Pass(1);
        Enforce(); // its proof does not come
        Accept(Policy(2, Noon.AddSeconds(1)));
        Accept(Policy(3, issued: null)); // revision 2 never got into the kernel by itself
        Pass(1);
        CompiledRuleset third = Enforce();
        Assert.Equal((2, 1.0 + 1.0), await SumAsync("enforced"));
        Assert.Equal((0, 0.0), await SumAsync("proved"));
        Assert.Equal((null, null), (known.IssuedAt, known.EnforcedAfter));
        Pass(2);
        Prove(third);
        Assert.Equal((2, 4.0 + 3.0), await SumAsync("proved"));
        Assert.Equal((3ul, 3ul), (Of("a").Item1, Of("a").Item3));
    }

    [Fact]
    public async Task A_sender_whose_clock_is_ahead_is_counted_and_its_revision_took_no_time()
    {
        Accept(Policy(1, Noon.AddMinutes(5)));
        Enforce();
        Assert.Equal((1, 0.0), await SumAsync("enforced"));
        Assert.Equal(1.0, await ReadAsync("sg_agent_issued_ahead_total"));
        Assert.Equal(TimeSpan.Zero, known.EnforcedAfter);
        Assert.Equal(0.0, await ReadAsync("sg_agent_intent_age_seconds"));
        Accept(Policy(1, Noon.AddMinutes(5))); // sent again after a reconnect
        Assert.Equal(1.0, await ReadAsync("sg_agent_issued_ahead_total"));
        Enforce();
        Assert.Equal((1, 0.0), await SumAsync("enforced"));
    }

    [Fact]
    public async Task The_age_is_that_of_what_is_in_force_by_its_senders_clock_or_ours()
    {
        Assert.Equal(0.0, await ReadAsync("sg_agent_intent_age_seconds"));
        book.Begin(Noon.AddHours(-1)); // found at the start
        desired = Policy(1, issued: null);
        Enforce();
        Assert.Equal(3600.0, await ReadAsync("sg_agent_intent_age_seconds"));
        Accept(Policy(2, Noon.AddSeconds(-5)));
        Pass(1);
        Assert.Equal(3601.0, await ReadAsync("sg_agent_intent_age_seconds")); // not yet in force
        Enforce();
        Assert.Equal(6.0, await ReadAsync("sg_agent_intent_age_seconds"));
    }

    [Fact]
    public void A_vnic_that_fails_keeps_what_it_had_and_a_closed_one_has_nothing()
    {
        Accept(Policy(1, Noon));
        Prove(Enforce());
        Accept(Policy(2, Noon));
        Pass(1);
        string profile = CompiledRuleset.ProfileOf(desired.Vnics["a"]);
        CompiledRuleset held = Enforce(request => request with
        {
            HeldBack = request.HeldBack.Add(profile, (Policy(1, Noon), "refused")),
            ClosedVnics = request.ClosedVnics.Add("c", "refused"),
        });
        Prove(held);
        Assert.Equal(2ul, known.Enforced!.Revision); // of everybody else
        Assert.Equal((1ul, Noon, 1ul, Noon), Of("a"));
        Assert.Equal((2ul, Noon.AddSeconds(1), 2ul, Noon.AddSeconds(1)), Of("b"));
        Assert.Equal(new VnicRealisation(null, null), known.Of("c"));
        Assert.Equal(
            [("none", (1ul, 0, 2ul, 2ul)), ("one", (1ul, 1, 1ul, 1ul)), ("two", (1ul, 2, 0ul, 0ul))], Groups());

        Pass(1);
        Enforce(); // it worked when it was tried again
        Assert.Equal((2ul, Noon.AddSeconds(2), 1ul, Noon), Of("a"));
        Assert.Equal((2ul, Noon.AddSeconds(1), 2ul, Noon.AddSeconds(1)), Of("b"));
    }

    [Fact]
    public async Task What_a_proof_leaves_open_is_not_proved_whatever_was_before()
    {
        Accept(Policy(1, Noon));
        Prove(Enforce());
        Accept(Policy(2, Noon));
        CompiledRuleset second = Enforce();
        Assert.Equal(1ul, known.Of("a").Proved!.Revision); // it goes on in the background
        known = book.Proved(known, ProofOf(second) with { IsPending = true });
        Assert.Equal(1ul, known.Of("a").Proved!.Revision);
        ProofResult open = ProofOf(second);
        known = book.Proved(known, open with
        {
            Vnics = open.Vnics.SetItem("a", new VnicProof.Unknown("no idea")),
        });
        Assert.Equal((2ul, null), (known.Of("a").Enforced!.Revision, known.Of("a").Proved));
        Assert.Equal(2ul, known.Of("b").Proved!.Revision);
        Assert.Null(known.Proved);
        Assert.Equal((1, 0.0), await SumAsync("proved"));
    }

    [Fact]
    public void A_group_changes_with_its_rules_and_members_and_with_nothing_else()
    {
        Accept(Policy(1, Noon));
        Enforce();
        PolicySnapshot again = Policy(2, Noon); // a snapshot that says the same with other objects
        SecurityGroup two = again.Groups["two"];
        Accept(again with
        {
            Groups = again.Groups.SetItem("two", two with { Members = two.Members.Add(IpPrefix.Parse("10.9.9.9")) })
                .Remove("none"),
        });
        Enforce();
        Assert.Equal([("one", (1ul, 1, 2ul, 0ul)), ("two", (2ul, 2, 2ul, 0ul))], Groups());
        Accept(Policy(3, Noon));
        Enforce();
        Assert.Equal(
            [("none", (3ul, 0, 3ul, 0ul)), ("one", (1ul, 1, 3ul, 0ul)), ("two", (3ul, 2, 3ul, 0ul))], Groups());
    }

    private static PolicySnapshot Policy(ulong revision, DateTimeOffset? issued) => new PolicyBuilder()
        .Basic("one", "in 1 accept tcp 80/80 0.0.0.0/0").Basic("two").Basic("none")
        .Nic("a", "10.0.0.1", "one").Nic("b", "10.0.0.2", "two").Nic("c", "10.0.0.3", "two")
        .Build(revision) with
    {
        IssuedAt = issued,
    };

    private void Pass(int seconds) => clock.Advance(TimeSpan.FromSeconds(seconds));

    private void Accept(PolicySnapshot policy)
    {
        known = book.Accepted(known, desired, policy);
        desired = policy;
    }

    private CompiledRuleset Enforce(Func<CompileRequest, CompileRequest>? change = null)
    {
        var request = new CompileRequest(
            desired, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, 1u << 16);
        CompiledRuleset compiled = RulesetCompiler.Compile(change?.Invoke(request) ?? request);
        known = book.Enforced(known, compiled, proof: null);
        return compiled;
    }

    private ProofResult ProofOf(CompiledRuleset compiled) => new(
        compiled, clock.GetUtcNow(), TimeSpan.Zero,
        compiled.Request.Policy.Vnics.Keys.ToImmutableSortedDictionary(
            id => id, VnicProof (_) => new VnicProof.Proved(), StringComparer.Ordinal),
        new VnicProof.Proved());

    private void Prove(CompiledRuleset compiled) => known = book.Proved(known, ProofOf(compiled));

    private (ulong, DateTimeOffset, ulong, DateTimeOffset) Of(string vnic) => known.Of(vnic) is
        ({ } enforced, { } proved) ? (enforced.Revision, enforced.Time, proved.Revision, proved.Time) : default;

    private IEnumerable<(string, (ulong, int, ulong, ulong))> Groups() => known.Groups(desired)
        .Select(group => (group.GroupId, (group.Realisation.Changed, group.Realisation.Vnics,
            group.Realisation.Enforced, group.Realisation.Proved)));

    private async Task<(int Count, double Sum)> SumAsync(string stage) => (
        (int)await ReadAsync($"sg_agent_realisation_seconds_count{{stage=\"{stage}\"}}"),
        await ReadAsync($"sg_agent_realisation_seconds_sum{{stage=\"{stage}\"}}"));

    private async Task<double> ReadAsync(string series)
    {
        using var page = new MemoryStream();
        await registry.CollectAndExportAsTextAsync(page, TestContext.Current.CancellationToken);
        return double.Parse(
            Encoding.UTF8.GetString(page.ToArray()).Split('\n')
                .Single(line => line.StartsWith(series + " ", StringComparison.Ordinal)).Split(' ')[1],
            CultureInfo.InvariantCulture);
    }
}
