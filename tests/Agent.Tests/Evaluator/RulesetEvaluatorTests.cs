using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using static Agent.Tests.Evaluator.ProgramBuilder;

namespace Agent.Tests.Evaluator;

public class RulesetEvaluatorTests
{
    [Fact]
    public void Accept_ends_one_base_chain_and_a_later_one_still_drops()
    {
        NftTable early = Table("a", [Base("f", NftHook.Forward, 0, Rule(Accept))]);
        NftTable late = Table("b", [Base("f", NftHook.Forward, 10, Rule(Drop))]);
        Assert.Equal(HookVerdict.Drop, RulesetEvaluator.Evaluate(Program(early, late), Packet()).Verdict);
    }

    [Fact]
    public void Drop_is_final_and_later_chains_do_not_run()
    {
        NftChain[] chains =
        [
            Base("second", NftHook.Forward, 10, Rule(Accept)),
            Base("first", NftHook.Forward, -10, Rule(Drop)),
        ];
        Trace trace = RulesetEvaluator.Evaluate(Program(chains), Packet());
        Assert.Equal(HookVerdict.Drop, trace.Verdict);
        Assert.Equal("t first #0: drop", Assert.Single(trace.Steps).ToString());
    }

    [Fact]
    public void Jump_comes_back_and_goto_does_not()
    {
        NftChain[] chains =
        [
            Forward(Rule(Jump("outer")), Rule(Load(1, 0, 0, 0), new NftExpr.MetaSet(NftMetaKey.Mark, NftReg.R0))),
            Chain("outer", Rule(Goto("inner")), Rule(Drop)),
            Chain("inner", Rule(Return)),
        ];
        Trace trace = RulesetEvaluator.Evaluate(Program(chains), Packet());
        Assert.Equal(HookVerdict.Accept, trace.Verdict);
        Assert.Equal(
            ["forward #0", "outer #0", "inner #0", "forward #1"], trace.Steps.Select(s => $"{s.Chain} #{s.Rule}"));
        Assert.Equal(BitConverter.ToUInt32([1, 0, 0, 0]), trace.Mark);
    }

    [Fact]
    public void A_jump_without_end_or_target_is_unknown()
    {
        Assert.Equal(HookVerdict.Unknown, Verdict([Rule(Jump("forward"))], Packet()));
        Assert.Equal(HookVerdict.Unknown, Verdict([Rule(Goto("forward"))], Packet()));
        Assert.Equal(HookVerdict.Unknown, Verdict([Rule(Jump("gone"))], Packet()));
    }

    [Fact]
    public void What_cannot_be_read_is_unknown_only_when_it_is_reached()
    {
        NftExpr opaque = new NftExpr.Opaque("fib", []);
        Assert.Equal(HookVerdict.Unknown, Verdict([Rule(opaque), Rule(Accept)], Packet()));
        Assert.Equal(HookVerdict.Accept,
            Verdict([Rule(Meta(NftMetaKey.L4Proto), Is(IpProtocol.Udp), opaque), Rule(Accept)], Packet()));
        Assert.Equal(HookVerdict.Drop, Verdict([Rule(Drop), Rule(opaque)], Packet()));
    }

    [Fact]
    public void A_register_that_the_rule_did_not_write_is_unknown() =>
        Assert.Equal(HookVerdict.Unknown, Verdict([Rule(Load(1)), Rule(Is(1), Accept)], Packet()));

    [Theory]
    [InlineData(NftMetaKey.IifName, "7461702d6531")]
    [InlineData(NftMetaKey.OifName, "7461702d6532")]
    [InlineData(NftMetaKey.NfProto, "02")]
    [InlineData(NftMetaKey.L4Proto, "06")]
    [InlineData(NftMetaKey.Protocol, "0800")]
    [InlineData(NftMetaKey.PktType, "00")]
    public void Meta_loads_bytes_padded_with_zeros_behind(NftMetaKey key, string hex)
    {
        byte[] expected = Convert.FromHexString(hex);
        Array.Resize(ref expected, key is NftMetaKey.IifName or NftMetaKey.OifName ? 16 : 4);
        Assert.True(Matches(Packet(), Meta(key), Is(expected)));
    }

    [Fact]
    public void Marks_and_indices_are_in_host_order()
    {
        HookInput input = Packet() with { Mark = 0x01020304, Ct = new CtInput(CtState.Established, true, 5, 300) };
        Assert.True(Matches(input, Meta(NftMetaKey.Mark), Is(Host(0x01020304))));
        Assert.True(Matches(input, Meta(NftMetaKey.Iif), Is(Host(7))));
        Assert.True(Matches(input, Meta(NftMetaKey.Oif), Is(Host(8))));
        Assert.True(Matches(input, new NftExpr.Ct(NftCtKey.Mark, NftReg.R0), Is(Host(5))));
        Assert.True(Matches(input, new NftExpr.Ct(NftCtKey.State, NftReg.R0), Is(Host(2))));
        Assert.True(Matches(input, new NftExpr.Ct(NftCtKey.Direction, NftReg.R0), Is(1, 0, 0, 0)));
        Assert.True(Matches(input, new NftExpr.Ct(NftCtKey.Zone, NftReg.R0), Is(BitConverter.GetBytes((ushort)300))));
    }

    [Fact]
    public void Ct_state_is_a_bit_mask_and_the_rest_needs_an_entry()
    {
        HookInput input = Packet() with { Ct = new CtInput(CtState.Related) };
        Assert.True(Matches(input, CtStateIs(CtState.Related | CtState.Established)));
        Assert.False(Matches(input, CtStateIs(CtState.New | CtState.Invalid)));
        HookInput invalid = Packet() with { Ct = CtInput.None };
        Assert.True(Matches(invalid, CtStateIs(CtState.Invalid)));
        Assert.False(Matches(invalid, new NftExpr.Ct(NftCtKey.Mark, NftReg.R0), Is(Host(0))));
    }

    [Fact]
    public void Before_conntrack_there_is_no_entry_and_a_zone_or_notrack_is_reported()
    {
        NftSet zones = Set("z", [NftType.IfName], false, NftSetKind.ZoneMap,
            [.. Name("tap-e1", 16), .. BitConverter.GetBytes((ushort)77)]);
        NftChain raw = Base("raw", NftHook.Prerouting, -300,
            Rule([.. CtStateIs(CtState.New), Drop]),
            Rule(Meta(NftMetaKey.IifName), new NftExpr.LookupData("z", NftReg.R0, NftReg.R0),
                new NftExpr.CtSet(NftCtKey.Zone, NftReg.R0)),
            Rule(new NftExpr.NoTrack()));
        Trace trace = RulesetEvaluator.Evaluate(
            Program([raw], [zones]), Packet() with { Hook = NftHook.Prerouting, OutInterface = "" });
        Assert.Equal((HookVerdict.Accept, (ushort?)77, false), (trace.Verdict, trace.Zone, trace.NoTrack));
        Trace other = RulesetEvaluator.Evaluate(
            Program([raw], [zones]), Packet() with { Hook = NftHook.Prerouting, InInterface = "eth0" });
        Assert.Equal((null, true), (other.Zone, other.NoTrack));
    }

    [Fact]
    public void The_connection_mark_is_written_to_the_entry_with_mask()
    {
        NftRule stamp = Rule(
            new NftExpr.Ct(NftCtKey.Mark, NftReg.R0),
            new NftExpr.Bitwise(NftReg.R0, NftReg.R0, Host(0xffff0000).ToValueArray(), Host(5).ToValueArray()),
            new NftExpr.CtSet(NftCtKey.Mark, NftReg.R0));
        HookInput input = Packet() with { Ct = new CtInput(CtState.New, Mark: 0x7fff0009) };
        Assert.Equal(0x7fff0005u, RulesetEvaluator.Evaluate(Program([Forward(stamp)]), input).CtMark);
        HookInput invalid = input with { Ct = CtInput.None };
        Assert.Equal(0u, RulesetEvaluator.Evaluate(Program([Forward(Rule(Load(Host(5)),
            new NftExpr.CtSet(NftCtKey.Mark, NftReg.R0)))]), invalid).CtMark);
    }

    [Fact]
    public void Payload_loads_from_every_base()
    {
        var shape =
            new PacketShape { SourceMac = new MacAddress(0x020000000001), DestinationMac = new MacAddress(0x02fe) };
        HookInput input = Packet(shape: shape);
        Assert.True(
            Matches(input, new NftExpr.Payload(NftPayloadBase.LinkLayer, 6, 6, NftReg.R0), Is(2, 0, 0, 0, 0, 1)));
        Assert.True(Matches(input, SourceAddress, Is(Ip("192.0.2.1"))));
        Assert.True(Matches(input, DestinationAddress, Is(Ip("10.0.0.1"))));
        Assert.True(Matches(input, DestinationPort(), Is(Port(80))));
        Assert.True(Matches(input, new NftExpr.Payload(NftPayloadBase.Transport, 13, 1, NftReg.R0), Is(2)));
        HookInput v6 = Packet(source: "fd00::1", destination: "fd00::2");
        Assert.True(Matches(v6, new NftExpr.Payload(NftPayloadBase.Network, 8, 16, NftReg.R0), Is(Ip("fd00::1"))));
        Assert.True(Matches(v6, DestinationPort(), Is(Port(80))));
        HookInput icmp = Packet(IpProtocol.Icmpv6, source: "fd00::1", destination: "fd00::2");
        Assert.True(Matches(icmp, new NftExpr.Payload(NftPayloadBase.Transport, 0, 1, NftReg.R0), Is(128)));
    }

    [Theory]
    [InlineData(4, true)]
    [InlineData(3, false)]
    [InlineData(0, false)]
    public void A_load_beyond_a_short_packet_fails_to_match_even_negated(int bytes, bool matches)
    {
        HookInput input = Packet(132, 0, shape: new PacketShape { TransportBytes = bytes });
        Assert.Equal(matches, Matches(input, DestinationPort(), Is(NftCmpOp.Neq, 0xff, 0xff)));
        Assert.False(Matches(Packet(), new NftExpr.Payload(NftPayloadBase.LinkLayer, 0, 6, NftReg.R0)));
    }

    [Fact]
    public void A_packet_without_upper_layer_header_has_no_l4proto()
    {
        HookInput input = Packet();
        input = input with { Packet = input.Packet with { TransportOffset = -1 } };
        Assert.False(Matches(input, Meta(NftMetaKey.L4Proto)));
        Assert.False(Matches(input, DestinationPort()));
    }

    [Theory]
    [InlineData(NftCmpOp.Eq, false, true, false)]
    [InlineData(NftCmpOp.Neq, true, false, true)]
    [InlineData(NftCmpOp.Lt, true, false, false)]
    [InlineData(NftCmpOp.Lte, true, true, false)]
    [InlineData(NftCmpOp.Gt, false, false, true)]
    [InlineData(NftCmpOp.Gte, false, true, true)]
    public void Cmp_compares_as_big_endian_bytes(NftCmpOp op, bool below, bool equal, bool above)
    {
        Assert.Equal(below, Matches(Packet(port: 0x01ff), DestinationPort(), Is(op, 2, 0)));
        Assert.Equal(equal, Matches(Packet(port: 0x0200), DestinationPort(), Is(op, 2, 0)));
        Assert.Equal(above, Matches(Packet(port: 0x0201), DestinationPort(), Is(op, 2, 0)));
    }

    [Theory]
    [InlineData(1023, false)]
    [InlineData(1024, true)]
    [InlineData(2047, true)]
    [InlineData(2048, false)]
    public void Range_is_inclusive(ushort port, bool inside)
    {
        ValueArray<byte> from = Port(1024).ToValueArray();
        ValueArray<byte> to = Port(2047).ToValueArray();
        Assert.Equal(
            inside, Matches(Packet(port: port), DestinationPort(), new NftExpr.Range(NftReg.R0, false, from, to)));
        Assert.Equal(
            !inside, Matches(Packet(port: port), DestinationPort(), new NftExpr.Range(NftReg.R0, true, from, to)));
    }

    [Theory]
    [InlineData("10.0.0.255", false)]
    [InlineData("10.0.1.0", true)]
    [InlineData("10.0.1.255", true)]
    [InlineData("10.0.2.0", false)]
    [InlineData("10.0.3.0", true)]
    public void Single_field_intervals_include_both_ends(string address, bool inside)
    {
        NftSet set = Set("s", [NftType.Ipv4Addr], true, NftSetKind.Set,
            [.. Ip("10.0.1.0"), .. Ip("10.0.1.255")], [.. Ip("10.0.3.0"), .. Ip("10.0.3.0")]);
        HookInput input = Packet(destination: address);
        Assert.Equal(inside, Matches(input, [set], DestinationAddress, new NftExpr.Lookup("s", NftReg.R0)));
        Assert.Equal(!inside, Matches(input, [set], DestinationAddress, new NftExpr.Lookup("s", NftReg.R0, true)));
    }

    [Theory]
    [InlineData("10.0.0.1", IpProtocol.Tcp, 80, true)]
    [InlineData("10.0.0.1", IpProtocol.Tcp, 89, true)]
    [InlineData("10.0.0.1", IpProtocol.Tcp, 90, false)]
    [InlineData("10.0.0.1", IpProtocol.Tcp, 79, false)]
    [InlineData("10.0.0.1", IpProtocol.Udp, 85, false)]
    [InlineData("10.0.0.4", IpProtocol.Tcp, 85, false)]
    [InlineData("10.0.0.0", IpProtocol.Tcp, 85, true)]
    public void Concatenated_intervals_are_boxes_not_one_number(string address, byte protocol, ushort port, bool inside)
    {
        NftSet set = Set("s", [NftType.Ipv4Addr, NftType.InetProto, NftType.InetService], true, NftSetKind.Set,
            [.. Ip("10.0.0.0"), 6, 0, 0, 0, .. Port(80), 0, 0, .. Ip("10.0.0.3"), 6, 0, 0, 0, .. Port(89), 0, 0]);
        Assert.Equal(inside, Matches(Packet(protocol, port, destination: address), [set],
            DestinationAddress, Meta(NftMetaKey.L4Proto, 1), DestinationPort(2), new NftExpr.Lookup("s", NftReg.R0)));
    }

    [Fact]
    public void Exact_concatenations_pad_each_field_with_zeros_behind()
    {
        NftSet set = Set("s", [NftType.Mark, NftType.InetProto, NftType.InetService], false, NftSetKind.Set,
            [.. Host(9), 6, 0, 0, 0, .. Port(80), 0, 0], [.. Host(2), 6, 0, 0, 0, .. Port(443), 0, 0]);
        NftExpr[] key =
        [
            Meta(NftMetaKey.Mark), Meta(NftMetaKey.L4Proto, 1), DestinationPort(2), new NftExpr.Lookup("s", NftReg.R0),
        ];
        Assert.True(Matches(Packet() with { Mark = 9 }, [set], key));
        Assert.False(Matches(Packet() with { Mark = 2 }, [set], key));
        Assert.True(Matches(Packet(port: 443) with { Mark = 2 }, [set], key));
    }

    [Fact]
    public void Maps_give_data_and_fail_to_match_without_an_element()
    {
        NftSet classes = Set("c", [NftType.Ipv4Addr], false, NftSetKind.MarkMap, [.. Ip("10.0.0.1"), .. Host(42)]);
        NftRule rule = Rule(DestinationAddress, new NftExpr.LookupData("c", NftReg.R0, new NftReg(4)),
            new NftExpr.MetaSet(NftMetaKey.Mark, new NftReg(4)));
        Ruleset program = Program([Forward(rule)], [classes]);
        Assert.Equal(42u, RulesetEvaluator.Evaluate(program, Packet() with { Mark = 1 }).Mark);
        Assert.Equal(1u, RulesetEvaluator.Evaluate(program, Packet(destination: "10.0.0.2") with { Mark = 1 }).Mark);
    }

    [Fact]
    public void Verdict_maps_dispatch_by_interface()
    {
        NftSet map = Set("from", [NftType.IfName], false, NftSetKind.VerdictMap,
            [.. Name("tap-e1", 16), .. Verdict(NftVerdict.Jump("e1"))],
            [.. Name("tap-e9", 16), .. Verdict(NftVerdict.Drop)]);
        Ruleset program = Program(
            [Forward(Rule(Meta(NftMetaKey.IifName), new NftExpr.LookupVerdict("from", NftReg.R0)), Rule(Drop)),
                Chain("e1", Rule(Accept))], [map]);
        Assert.Equal(HookVerdict.Accept, RulesetEvaluator.Evaluate(program, Packet()).Verdict);
        Trace other = RulesetEvaluator.Evaluate(program, Packet() with { InInterface = "tap-e9" });
        Assert.Contains("drop", Assert.Single(other.Steps).What, StringComparison.Ordinal);
        Assert.Equal(1, RulesetEvaluator.Evaluate(program, Packet() with { InInterface = "eth0" }).Steps[0].Rule);
    }

    [Fact]
    public void Overlapping_elements_with_different_data_are_unknown()
    {
        byte[] Box(byte from, byte to, NftVerdict verdict) => [from, 0, 0, 0, .. Port(0), 0, 0, to, 0, 0, 0,
            .. Port(65535), 0, 0, .. Verdict(verdict)];
        NftSet map = Set("m", [NftType.InetProto, NftType.InetService], true, NftSetKind.VerdictMap,
            Box(0, 10, NftVerdict.Accept), Box(5, 6, NftVerdict.Drop));
        NftRule rule = Rule(Meta(NftMetaKey.L4Proto), DestinationPort(1), new NftExpr.LookupVerdict("m", NftReg.R0));
        Assert.Equal(HookVerdict.Unknown, Verdict([rule], Packet(), map));
    }

    [Fact]
    public void Counters_logs_and_known_objects_change_nothing()
    {
        NftSet counters = Set("k", [NftType.IfName], false, NftSetKind.CounterMap,
            [.. Name("tap-e1", 16), .. Name("drops", NftElements.NameBytes)]);
        NftObject[] objects = [new NftObject.Counter("drops"), new NftObject.CtTimeout("slow", 2, 17, [])];
        NftRule rule = Rule(new NftExpr.Counter(), new NftExpr.Log(1, "x", 128, 64), new NftExpr.ObjectRef(1, "drops"),
            new NftExpr.ObjectRef(7, "slow"), Meta(NftMetaKey.IifName), new NftExpr.ObjectMap("k", NftReg.R0), Drop);
        Trace trace = RulesetEvaluator.Evaluate(Program([Forward(rule)], [counters], objects), Packet());
        Assert.Equal((HookVerdict.Drop, "slow"), (trace.Verdict, trace.CtTimeout));
        Assert.Equal(HookVerdict.Unknown, Verdict([Rule(new NftExpr.ObjectRef(2, "quota"), Drop)], Packet()));
    }

    [Fact]
    public void A_limit_before_a_log_is_harmless_and_one_before_a_verdict_is_unknown()
    {
        NftExpr limit = new NftExpr.Limit(10, 1, 5, NftLimitType.Packets, false);
        Assert.Equal(HookVerdict.Drop, Verdict([Rule(limit, new NftExpr.Log(1, null, 0, 1)), Rule(Drop)], Packet()));
        Assert.Equal(HookVerdict.Unknown, Verdict([Rule(limit, Accept), Rule(Drop)], Packet()));
        Assert.Equal(HookVerdict.Drop, Verdict([Rule(limit, limit, Drop), Rule(limit, Drop), Rule(Drop)], Packet()));
    }

    [Fact]
    public void The_session_limit_is_an_input()
    {
        NftRule[] rules = [Rule(new NftExpr.ConnLimit(100, true), Drop), Rule(Accept)];
        Assert.Equal(HookVerdict.Accept, Verdict(rules, Packet()));
        Assert.Equal(HookVerdict.Drop, Verdict(rules, Packet() with { SessionLimitExceeded = true }));
        Assert.Equal(HookVerdict.Unknown, Verdict(rules, Packet() with { SessionLimitExceeded = null }));
    }

    [Fact]
    public void Only_chains_of_the_family_hook_and_device_run()
    {
        NftChain Netdev(string device) => new($"c-{device}", new BaseHook(NftHook.Ingress, 0, device),
            new[] { Rule(Drop) }.ToValueArray());
        var table = new NftTable(NftFamily.Netdev, "n", new[] { Netdev("tap-e1") }.ToValueArray(), [], []);
        HookInput input = Packet() with { Family = NftFamily.Netdev, Hook = NftHook.Ingress };
        Assert.Equal(HookVerdict.Drop, RulesetEvaluator.Evaluate(Program(table), input).Verdict);
        Assert.Equal(HookVerdict.Accept,
            RulesetEvaluator.Evaluate(Program(table), input with { InInterface = "tap-e2" }).Verdict);
        Assert.Equal(HookVerdict.Accept, RulesetEvaluator.Evaluate(Program(table), Packet()).Verdict);
    }

    [Fact]
    public void The_header_checksum_is_right()
    {
        PacketBytes packet = PacketBytes.Of(PacketTuple.Of("192.0.2.1", "10.0.0.1", IpProtocol.Udp, 1, 2));
        uint sum = 0;
        for (int i = 0; i < 20; i += 2)
        {
            sum += (uint)(packet.Network[i] << 8 | packet.Network[i + 1]);
        }

        Assert.Equal(0xffffu, (sum & 0xffff) + (sum >> 16));
    }
}
