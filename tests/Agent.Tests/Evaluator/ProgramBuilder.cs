using System.Buffers.Binary;
using System.Net;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Tests.Evaluator;

/// <summary>
/// Writes small rulesets by hand, in the vocabulary of nft(8). Register 0 unless a name says otherwise.
/// </summary>
internal static class ProgramBuilder
{
    private static readonly NftReg R = NftReg.R0;

    public static readonly NftExpr Accept = new NftExpr.VerdictIs(NftVerdict.Accept);
    public static readonly NftExpr Drop = new NftExpr.VerdictIs(NftVerdict.Drop);
    public static readonly NftExpr Return = new NftExpr.VerdictIs(NftVerdict.Return);
    public static readonly NftExpr DestinationAddress = new NftExpr.Payload(NftPayloadBase.Network, 16, 4, R);
    public static readonly NftExpr SourceAddress = new NftExpr.Payload(NftPayloadBase.Network, 12, 4, R);

    public static NftExpr DestinationPort(byte word = 0) =>
        new NftExpr.Payload(NftPayloadBase.Transport, 2, 2, new NftReg(word));

    public static NftExpr Jump(string chain) => new NftExpr.VerdictIs(NftVerdict.Jump(chain));

    public static NftExpr Goto(string chain) => new NftExpr.VerdictIs(NftVerdict.Goto(chain));

    public static NftExpr Meta(NftMetaKey key, byte word = 0) => new NftExpr.Meta(key, new NftReg(word));

    public static NftExpr Is(params byte[] data) => new NftExpr.Cmp(R, NftCmpOp.Eq, data.ToValueArray());

    public static NftExpr Is(NftCmpOp op, params byte[] data) => new NftExpr.Cmp(R, op, data.ToValueArray());

    public static NftExpr Load(params byte[] data) => new NftExpr.Immediate(R, data.ToValueArray());

    public static NftExpr[] CtStateIs(CtState states) =>
    [
        new NftExpr.Ct(NftCtKey.State, R),
        new NftExpr.Bitwise(R, R, Host((uint)states).ToValueArray(), new byte[4].ToValueArray()),
        Is(NftCmpOp.Neq, 0, 0, 0, 0),
    ];

    public static NftRule Rule(params NftExpr[] exprs) => new(exprs.ToValueArray());

    public static NftChain Chain(string name, params NftRule[] rules) => new(name, null, rules.ToValueArray());

    public static NftChain Base(string name, NftHook hook, int priority, params NftRule[] rules) =>
        new(name, new BaseHook(hook, priority), rules.ToValueArray());

    public static NftChain Forward(params NftRule[] rules) => Base("forward", NftHook.Forward, 0, rules);

    public static NftTable Table(string name, NftChain[] chains, NftSet[]? sets = null, NftObject[]? objects = null) =>
        new(NftFamily.Inet, name, chains.ToValueArray(), (sets ?? []).ToValueArray(), (objects ?? []).ToValueArray());

    public static Ruleset Program(params NftTable[] tables) => new(tables.ToValueArray());

    public static Ruleset Program(NftChain[] chains, NftSet[]? sets = null, NftObject[]? objects = null) =>
        Program(Table("t", chains, sets, objects));

    /// <summary>A set whose rows are given whole: key, key end if interval, data.</summary>
    public static NftSet Set(string name, NftType[] key, bool interval, NftSetKind kind, params byte[][] rows)
    {
        var builder = new NftElements.Builder(NftElements.RowLength(key.ToValueArray(), interval, kind));
        foreach (byte[] row in rows)
        {
            builder.Add(row);
        }

        return new NftSet(name, key.ToValueArray(), interval, kind, null, false, builder.Build());
    }

    public static byte[] Verdict(NftVerdict verdict)
    {
        byte[] data = new byte[NftElements.DataLength(NftSetKind.VerdictMap)];
        NftElements.PutVerdict(data, verdict);
        return data;
    }

    public static byte[] Name(string name, int length)
    {
        byte[] field = new byte[length];
        NftElements.PutName(field, name);
        return field;
    }

    public static byte[] Ip(string address) => IPAddress.Parse(address).GetAddressBytes();

    public static byte[] Port(ushort port)
    {
        byte[] bytes = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, port);
        return bytes;
    }

    /// <summary>As a register holds it: the machine's own order.</summary>
    public static byte[] Host(uint value) => BitConverter.GetBytes(value);

    public static HookInput Packet(
        byte protocol = IpProtocol.Tcp, ushort port = 80, string source = "192.0.2.1", string destination = "10.0.0.1",
        PacketShape? shape = null) => new()
        {
            Family = NftFamily.Inet,
            Hook = NftHook.Forward,
            Packet = PacketBytes.Of(PacketTuple.Of(source, destination, protocol, 40000, port), shape),
            InInterface = "tap-e1",
            OutInterface = "tap-e2",
            InIndex = 7,
            OutIndex = 8,
            Ct = new CtInput(CtState.New, Zone: 3),
        };

    /// <summary>
    /// Evaluates a forward chain of these rules, with a drop behind the last one that must be reached.
    /// </summary>
    public static HookVerdict Verdict(NftRule[] rules, HookInput input, params NftSet[] sets) =>
        RulesetEvaluator.Evaluate(Program([Forward(rules)], sets), input).Verdict;

    /// <summary>Whether a rule of these expressions matches the packet.</summary>
    public static bool Matches(HookInput input, NftSet[] sets, params NftExpr[] exprs) =>
        Verdict([Rule([.. exprs, Drop])], input, sets) switch
        {
            HookVerdict.Drop => true,
            HookVerdict.Accept => false,
            _ => throw new InvalidOperationException("unknown"),
        };

    public static bool Matches(HookInput input, params NftExpr[] exprs) => Matches(input, [], exprs);
}
