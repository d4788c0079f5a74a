using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Compiler;

/// <summary>Zones by VPC, idle times and limits: what the ruleset says, by the judge of rulesets.</summary>
public sealed class ZoneTests
{
    private const uint Epoch = 0x00010000;

    private static readonly string[] Open =
        ["in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0"];

    [Fact]
    public void A_number_stays_while_others_come_and_go_even_if_they_collide()
    {
        // Two ids that want the same number of a small range.
        CompilerSettings settings = CompilerSettings.Default with { ZoneFirst = 100, ZoneLast = 107 };
        string[] ids = [.. Enumerable.Range(0, 8).Select(i => $"vpc-{i}")];
        ImmutableSortedDictionary<string, ushort> all = ZoneNumbers.Of(Vpcs(ids), settings, ZoneNumbers.None);
        Assert.Equal(8, all.Values.Distinct().Count());
        Assert.All(all.Values, zone => Assert.InRange(zone, (ushort)100, (ushort)107));
        foreach (string gone in ids)
        {
            ImmutableSortedDictionary<string, ushort> rest =
                ZoneNumbers.Of(Vpcs([.. ids.Where(id => id != gone)]), settings, all);
            Assert.Equal(all.Remove(gone), rest);
        }

        Assert.Equal(8, ZoneNumbers.Of(Vpcs([.. ids, "vpc-8"]), settings, all).Count); // one is left over: it gets none
    }

    [Fact]
    public void A_vpc_without_a_zone_is_closed()
    {
        PolicySnapshot policy = Tenants() with { Vpcs = Vpcs(["vpc-a", "vpc-b"]).Vpcs };
        CompiledRuleset compiled = Compile(policy, CompilerSettings.Default with { ZoneFirst = 7, ZoneLast = 7 });
        Assert.Single(compiled.Zones);
        Assert.Equal(["b1"], compiled.Failed.Keys);
        Assert.Contains("no conntrack zone", compiled.Failed["b1"], StringComparison.Ordinal);
    }

    [Fact]
    public void Numbers_are_found_again_in_the_ruleset()
    {
        PolicySnapshot policy = Tenants() with { Vpcs = Vpcs(["vpc-a", "vpc-b"]).Vpcs };
        CompiledRuleset compiled = Compile(policy, known: ZoneNumbers.None.Add("vpc-a", 40001).Add("vpc-b", 40000));
        Assert.Equal(40001, compiled.Zones["vpc-a"]);
        Assert.Equal(compiled.Zones, ZoneNumbers.Find(compiled.Ruleset, policy, CompilerSettings.Default));
        PolicySnapshot moved = policy with
        {
            Vnics = policy.Vnics.SetItem("b1", policy.Vnics["b1"] with { VpcId = "vpc-a" }),
        };
        Assert.Equal(40001, ZoneNumbers.Find(compiled.Ruleset, moved, CompilerSettings.Default)["vpc-a"]);
    }

    [Fact]
    public void Packets_get_the_zone_of_their_interface_before_conntrack()
    {
        CompiledRuleset compiled = Compile(Tenants() with { Vpcs = Vpcs(["vpc-a"]).Vpcs });
        ushort zone = compiled.Zones["vpc-a"];
        Assert.Equal(zone, Run(compiled, NftHook.Prerouting, "tap-a1", "").Zone);
        Assert.Equal(zone, Run(compiled, NftHook.Prerouting, "up-vpc-a", "").Zone);
        Assert.Null(Run(compiled, NftHook.Prerouting, "tap-b1", "").Zone);
        Assert.Equal(zone, Run(compiled, NftHook.Output, "", "tap-a1", before: true).Zone);
        Assert.DoesNotContain(
            Compile(Tenants()).Ruleset.Tables[0].Chains, chain => chain.Hook?.Hook == NftHook.Prerouting);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void No_session_of_another_zone_reaches_a_vnic_not_even_a_live_one(bool live)
    {
        CompiledRuleset compiled = Compile(Tenants() with { Vpcs = Vpcs(["vpc-a", "vpc-b"]).Vpcs });
        Assert.Equal(
            HookVerdict.Accept,
            Forward(compiled, "up-vpc-b", "tap-b1", compiled.Zones["vpc-b"], live).Verdict);
        foreach (ushort zone in (ushort[])[0, compiled.Zones["vpc-a"]])
        {
            Trace trace = Forward(compiled, "up-vpc-a", "tap-b1", zone, live);
            Assert.Equal(HookVerdict.Drop, trace.Verdict);
            Assert.Contains(trace.Steps, step => step.Chain == "drop_to_zone");
        }

        CompiledRuleset half = Compile(Tenants() with { Vpcs = Vpcs(["vpc-a"]).Vpcs });
        Assert.Equal(HookVerdict.Drop, Forward(half, "up-vpc-a", "tap-b1", half.Zones["vpc-a"], live).Verdict);
        Assert.Equal(HookVerdict.Accept, Forward(half, "eth0", "tap-b1", 0, live).Verdict);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_guest_reaches_its_own_vpc_and_nobody_elses(bool listed)
    {
        CompiledRuleset compiled = Compile(
            listed ? Tenants() with { Vpcs = Vpcs(["vpc-a", "vpc-b"]).Vpcs } : Tenants());
        ushort zone = listed ? compiled.Zones["vpc-a"] : (ushort)0;
        Assert.Equal(HookVerdict.Accept, Forward(compiled, "tap-a1", "tap-a2", zone).Verdict);
        Assert.Equal(HookVerdict.Accept, Forward(compiled, "tap-a1", "up-vpc-a", zone).Verdict);
        Assert.Equal(HookVerdict.Drop, Forward(compiled, "tap-a1", "tap-b1", zone).Verdict);
        Assert.Equal(
            listed ? HookVerdict.Drop : HookVerdict.Accept,
            Forward(compiled, "tap-a1", "up-vpc-b", zone).Verdict);
    }

    [Fact]
    public void Only_a_packet_that_opens_a_session_is_counted_and_gets_times()
    {
        CompiledRuleset compiled = Compile(Tenants());
        var opening = new CtInput(CtState.New);
        Assert.Equal("times_udp_30", Forward(compiled, "eth0", "tap-a1", opening, over: false).CtTimeout);
        Trace over = Forward(compiled, "eth0", "tap-a1", opening, over: true);
        Assert.Contains(over.Steps, step => step.Chain == "drop_to_limit");
        Assert.Contains(
            Forward(compiled, "tap-a1", "eth0", opening, over: true).Steps,
            step => step.Chain == "drop_from_limit");
        const uint confirmed = 8;
        Trace second = Forward(compiled, "eth0", "tap-a1", opening with { Status = confirmed }, over: true);
        Assert.Equal((HookVerdict.Accept, null), (second.Verdict, second.CtTimeout));
        Trace stale =
            Forward(compiled, "eth0", "tap-a1", new CtInput(CtState.Established, Status: confirmed), over: true);
        Assert.Equal((HookVerdict.Accept, null), (stale.Verdict, stale.CtTimeout));
    }

    [Fact]
    public void The_defaults_are_the_documented_times()
    {
        Dictionary<string, NftObject.CtTimeout> times = Compile(Tenants()).Ruleset.Tables[0].Objects
            .OfType<NftObject.CtTimeout>().ToDictionary(item => item.Name);
        Assert.Equal(
            ["times_gre", "times_icmp", "times_icmpv6", "times_tcp_910_3", "times_udp_30"],
            times.Keys.Order());
        Assert.Equal(
            [30u, 30, 910, 120, 60, 30, 3, 3, 30, 910, 910],
            times["times_tcp_910_3"].Seconds.Select(state => state.Seconds));
        Assert.All(times.Where(item => item.Key != "times_tcp_910_3").SelectMany(item => item.Value.Seconds),
            state => Assert.Equal(30u, state.Seconds));
    }

    [Fact]
    public void A_kernel_without_them_gets_neither_times_nor_limits()
    {
        HostFacts host = HostFacts.Default with { TimeoutProtocols = [], SessionLimits = false };
        CompiledRuleset compiled = RulesetCompiler.Compile(
            new CompileRequest(Tenants(), PolicySettings.Default, CompilerSettings.Default, host, Epoch));
        Assert.DoesNotContain(compiled.Ruleset.Tables[0].Objects, item => item is NftObject.CtTimeout);
        Assert.DoesNotContain(compiled.Ruleset.Tables[0].Chains, chain => chain.Rules.SelectMany(rule => rule.Exprs)
            .Any(expr => expr is NftExpr.ConnLimit or NftExpr.ObjectRef { Type: 7 }));
        Assert.Equal(HookVerdict.Accept, Forward(compiled, "eth0", "tap-a1", 0).Verdict);
    }

    [Fact]
    public void Times_in_use_by_old_sessions_are_kept_and_other_names_mean_nothing()
    {
        CompiledRuleset first = Compile(Tenants());
        PolicySnapshot changed = Tenants();
        changed = changed with
        {
            Vnics = changed.Vnics.Values.ToImmutableSortedDictionary(
                vnic => vnic.Id, vnic => vnic with { Timeouts = new SessionTimeouts { UdpSeconds = 10 } },
                StringComparer.Ordinal),
        };
        CompileRequest request = new(
            changed, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, Epoch)
        {
            KeptTimes = SessionTimes.Find(first.Ruleset, CompilerSettings.Default)
                .Union(["times_udp_x", "times_tcp_1", "seal"]),
        };
        CompiledRuleset second = RulesetCompiler.Compile(request);
        Assert.Equal(
            ["times_udp_10", "times_udp_30"],
            second.Ruleset.Tables[0].Objects.Select(item => item.Name)
                .Where(name => name.StartsWith("times_udp", StringComparison.Ordinal)));
        Assert.False(Restriction.Between(first, second)); // new sessions only
        Assert.DoesNotContain(Plan.Between(first.Ruleset, second.Ruleset).Cleanup, op => op is NftOp.DeleteObject);
    }

    [Fact]
    public void Leaving_a_zone_and_meeting_a_stranger_judge_sessions_again()
    {
        CompiledRuleset unlisted = Compile(Tenants());
        CompiledRuleset listed = Compile(Tenants() with { Vpcs = Vpcs(["vpc-a"]).Vpcs });
        Assert.True(Restriction.Between(unlisted, listed));
        Assert.True(Restriction.Between(listed, unlisted));
        Assert.False(Restriction.Between(listed, Compile(Tenants() with { Vpcs = Vpcs(["vpc-a"]).Vpcs })));
        PolicySnapshot without = Tenants() with { Vnics = Tenants().Vnics.Remove("b1") };
        Assert.True(Restriction.Between(Compile(without), unlisted));
        without = Tenants() with { Vnics = Tenants().Vnics.Remove("a2") };
        Assert.True(Restriction.Between(Compile(without), unlisted)); // b1 was there
        PolicySnapshot alone = without with { Vnics = without.Vnics.Remove("b1") };
        PolicySnapshot both = alone with { Vnics = alone.Vnics.Add("a2", Tenants().Vnics["a2"]) };
        Assert.False(Restriction.Between(Compile(alone), Compile(both)));
    }

    [Fact]
    public void Rules_read_as_nft_prints_them()
    {
        NftTable table = Compile(
            Tenants() with { Vpcs = Vpcs(["vpc-a"]).Vpcs },
            known: ZoneNumbers.None.Add("vpc-a", 40000))
            .Ruleset.Tables[0];
        string[] texts =
        [
            .. table.Chains.SelectMany(
                chain => chain.Rules.Select(rule => $"{chain.Name}: {NftText.Print(table, rule)}")),
        ];
        Assert.Contains("sg_zone_prerouting: ct zone set iifname map @zones", texts);
        Assert.Contains("sent_tap-a1: ct state related,new ct status ! confirmed jump limit_tap-a1", texts);
        Assert.Contains("limit_tap-a1: ct count over 16384 goto over_tap-a1", texts);
        Assert.Contains("times_910_3_30: meta l4proto tcp ct timeout set \"times_tcp_910_3\" return", texts);
        Assert.Contains(texts, text => text.EndsWith(": ct zone != 40000 goto drop_to_zone", StringComparison.Ordinal));
    }

    [Fact]
    public void A_new_epoch_changes_the_fixed_chains_only()
    {
        CompiledRuleset compiled = Compile(Tenants() with { Vpcs = Vpcs(["vpc-a", "vpc-b"]).Vpcs });
        CompiledRuleset renewed = compiled.WithEpoch(Epoch * 2);
        Assert.Equal(compiled.Zones, renewed.Zones);
        CompileRequest request = compiled.Request with { Epoch = Epoch * 2 };
        Assert.Equal(RulesetCompiler.Compile(request).Ruleset, renewed.Ruleset);
    }

    /// <summary>a1 and a2 in vpc-a, b1 in vpc-b; everything is allowed.</summary>
    internal static PolicySnapshot Tenants()
    {
        PolicySnapshot policy = new PolicyBuilder().Basic("ga", Open).Basic("gb", Open)
            .Nic("a1", "10.0.0.5", "ga", vnic => vnic with { VpcId = "vpc-a" })
            .Nic("a2", "10.0.0.6", "ga", vnic => vnic with { VpcId = "vpc-a" })
            .Nic("b1", "10.0.1.5", "gb", vnic => vnic with { VpcId = "vpc-b" }).Build();
        return policy with
        {
            Groups = policy.Groups.SetItem("ga", policy.Groups["ga"] with { VpcId = "vpc-a" })
                .SetItem("gb", policy.Groups["gb"] with { VpcId = "vpc-b" }),
        };
    }

    internal static PolicySnapshot Vpcs(string[] ids) => PolicySnapshot.Empty with
    {
        Vpcs = ids.ToImmutableSortedDictionary(
            id => id, id => new Vpc { Id = id, UplinkInterfaces = [$"up-{id}"] }, StringComparer.Ordinal),
    };

    private static CompiledRuleset Compile(
        PolicySnapshot policy, CompilerSettings? settings = null,
        ImmutableSortedDictionary<string, ushort>? known = null) =>
        RulesetCompiler.Compile(
            new CompileRequest(
                policy, PolicySettings.Default, settings ?? CompilerSettings.Default, HostFacts.Default, Epoch)
            {
                KnownZones = known ?? ZoneNumbers.None,
            });

    private static Trace Forward(
        CompiledRuleset compiled, string from, string to, ushort zone, bool live = false) =>
        Forward(
            compiled, from, to,
            live ? new CtInput(CtState.Established, Mark: Epoch, Zone: zone) : new CtInput(CtState.New, Zone: zone),
            over: false);

    private static Trace Forward(CompiledRuleset compiled, string from, string to, CtInput ct, bool over) =>
        RulesetEvaluator.Evaluate(
            compiled.Ruleset,
            Input(NftHook.Forward, from, to) with { Ct = ct, SessionLimitExceeded = over });

    private static Trace Run(CompiledRuleset compiled, NftHook hook, string from, string to, bool before = false) =>
        RulesetEvaluator.Evaluate(
            before ? OnlyRaw(compiled.Ruleset) : compiled.Ruleset,
            Input(hook, from, to) with { Ct = new CtInput(CtState.New) });

    // In output, the filter chain judges behind conntrack, and would have to know what conntrack made of the zone.
    private static Ruleset OnlyRaw(Ruleset ruleset) => new(ruleset.Tables.Select(table => table with
    {
        Chains = table.Chains.Where(chain => chain.Hook is null or { Priority: < -400 }).ToValueArray(),
    }).ToValueArray());

    private static string AddressOf(string device) => device switch
    {
        "tap-a1" => "10.0.0.5",
        "tap-a2" => "10.0.0.6",
        _ => "10.0.1.5",
    };

    private static HookInput Input(NftHook hook, string from, string to) => new()
    {
        Family = NftFamily.Inet,
        Hook = hook,
        Packet = PacketBytes.Of(PacketTuple.Of("10.0.0.5", AddressOf(to), IpProtocol.Udp, 4000, 5000)),
        InInterface = from,
        OutInterface = to,
        InIndex = from.Length == 0 ? 0u : 3,
        OutIndex = to.Length == 0 ? 0u : 4,
    };
}
