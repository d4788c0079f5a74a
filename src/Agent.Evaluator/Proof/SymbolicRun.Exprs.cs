using System.Text;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <content>The expressions. Whatever is not here makes the answer "unknown".</content>
internal sealed partial class SymbolicRun
{
    private const uint ObjectCounter = 1;
    private const uint ObjectCtTimeout = 7;
    private const uint ConfirmedStatus = 8;
    private const byte NfProtoIpv4 = 2;
    private const byte NfProtoIpv6 = 10;

    /// <summary>The rest of a rule, from one expression on.</summary>
    private PacketFunction From(Site site, int index, SymbolicRegisters registers, Outcome state)
    {
        ValueArray<NftExpr> exprs = site.Exprs;
        for (; index < exprs.Count; index++)
        {
            switch (exprs[index])
            {
                case NftExpr.Counter or NftExpr.Log:
                    break;
                case NftExpr.VerdictIs { Verdict.Code: NftVerdictCode.Continue }:
                    break;
                case NftExpr.VerdictIs { Verdict.Code: NftVerdictCode.Break }:
                    return Leaf(state);
                case NftExpr.VerdictIs e:
                    return Verdict(site, e.Verdict, state);
                case NftExpr.Immediate e:
                    if (!registers.TryStore(e.Dreg.Word, Constants(e.Data.Items.AsSpan())))
                    {
                        return Unknown("a value does not fit");
                    }

                    break;
                case NftExpr.ObjectRef e:
                    if (Object(site, e) is string fault)
                    {
                        return Unknown(fault);
                    }

                    break;
                case NftExpr.MetaSet e:
                    if (MarkFrom(registers, e, out PacketMark mark) is string reason)
                    {
                        return Unknown(reason);
                    }

                    state = state with { Mark = mark };
                    break;
                case NftExpr.CtSet e:
                    if (SetCt(registers, e, ref state) is string wrong)
                    {
                        return Unknown(wrong);
                    }

                    break;
                case NftExpr.NoTrack when circumstances.HasEntry:
                    break;
                case NftExpr.Bitwise or NftExpr.ByteOrder:
                    if (!TryCompute(exprs[index], registers))
                    {
                        return Unknown("a register that was never written");
                    }

                    break;
                default:
                    return Forking(site, index, registers, state);
            }
        }

        return Leaf(state);
    }

    // Expressions that may end the rule for some packets.
    private PacketFunction Forking(Site site, int index, SymbolicRegisters registers, Outcome state) =>
        site.Exprs[index] switch
        {
            NftExpr.Meta e => Meta(site, index, e, registers, state),
            NftExpr.Payload e => Payload(site, index, e, registers, state),
            NftExpr.Ct e => Ct(site, index, e, registers, state),
            NftExpr.Cmp e when registers.Load(e.Sreg.Word, e.Data.Count) is { IsEmpty: false } value =>
                Branch(site, index, registers, state, comparison.Compare(value, e.Op, e.Data.Items.AsSpan())),
            NftExpr.Range e when e.From.Count == e.To.Count
                && registers.Load(e.Sreg.Word, e.From.Count) is { IsEmpty: false } value =>
                Branch(site, index, registers, state,
                    comparison.Within(value, e.Negated, e.From.Items.AsSpan(), e.To.Items.AsSpan())),
            NftExpr.Lookup e => Lookup(site, index, registers, state, e.Set, e.Sreg,
                found => found > 0 != e.Negated ? From(site, index + 1, registers.Copy(), state) : Leaf(state)),
            NftExpr.LookupData e => Lookup(site, index, registers, state, e.Map, e.Sreg,
                found => found == 0 ? Leaf(state) : WithData(site, index, registers, state, e, found)),
            NftExpr.LookupVerdict e => Lookup(site, index, registers, state, e.Map, e.Sreg,
                found => found == 0 ? Leaf(state) : WithVerdict(site, index, registers, state, e, found)),
            NftExpr.ObjectMap e => Lookup(site, index, registers, state, e.Map, e.Sreg,
                found => found == 0 ? Leaf(state)
                    : site.Chain.Sets[e.Map]!.Set.Kind == NftSetKind.CounterMap
                    ? From(site, index + 1, registers.Copy(), state) : Unknown($"{e.Map} names no counters")),
            NftExpr.ConnLimit e => ConnLimit(site, index, registers, state, e),
            NftExpr.Limit => Unknown("a rate limit decides"),
            NftExpr.Opaque e when site.Chain.IsTemplate => Symbol(site, index, e, registers, state),
            NftExpr.Opaque e => Unknown($"this build cannot read '{e.Name}'"),
            var other => Unknown($"expression {other.GetType().Name}"),
        };

    private PacketFunction Symbol(
        Site site, int index, NftExpr.Opaque e, SymbolicRegisters registers, Outcome state)
    {
        if (Proof.Symbols.IsEither(e))
        {
            return Either(site, From(site, index + 1, registers.Copy(), state), Leaf(state))
                ?? Unknown("it depends on an interface");
        }

        (PacketField field, bool holds, IpFamily? family) = Proof.Symbols.Read(e);
        return family is IpFamily other && other != circumstances.Family
            ? Unknown("an address of the other family")
            : Branch(site, index, registers, state, new Answer.Where(Proof.Symbols.Where(functions, field, holds)));
    }

    private PacketFunction Branch(Site site, int index, SymbolicRegisters registers, Outcome state, Answer answer)
    {
        switch (answer)
        {
            case Answer.Known { Holds: false }:
                return Leaf(state);
            case Answer.Known:
                return From(site, index + 1, registers, state);
            case Answer.Where { Packets: var packets }:
                return functions.Bind(packets, null, holds => holds == 1
                    ? From(site, index + 1, registers.Copy(), state) : Leaf(state));
            case Answer.Either:
                return Either(site, From(site, index + 1, registers.Copy(), state), Leaf(state))
                    ?? Unknown("a byte that is not modelled decides");
            case Answer.ByName { Side: var side, Holds: var holds }:
                return ByName(site, side, name => holds(name) ? 1 : 0, couldBe: [0, 1], found => found == 1
                    ? From(site, index + 1, registers.Copy(), state) : Leaf(state));
            default:
                return Unknown(((Answer.Unknown)answer).Reason);
        }
    }

    private PacketFunction Lookup(
        Site site, int index, SymbolicRegisters registers, Outcome state, string name, NftReg register,
        Func<int, PacketFunction> next)
    {
        SetNode? set = site.Chain.Sets.GetValueOrDefault(name);
        if (set is null || !set.IsReadable)
        {
            asked?.Add(new AskedOfSet(site.Rule, index, set, null, null));
            return Unknown(set is null ? $"set {name} does not exist" : $"set {name} cannot be read");
        }

        ReadOnlySpan<SymbolicByte> key = registers.Load(register.Word, set.Set.KeyBytes);
        if (key.IsEmpty)
        {
            return Unknown($"register {register} is read before this rule wrote it");
        }

        if (key[0].Kind is SymbolKind.InName or SymbolKind.OutName && set.Set.Key is [NftType.IfName]
            && !set.Set.Interval)
        {
            asked?.Add(new AskedOfSet(site.Rule, index, set, null, null));
            if (key[0].Kind == SymbolKind.OutName && OnEach(site, index, set, state) is PacketFunction alike)
            {
                return alike;
            }

            int[] couldBe = set.Set.Elements.Count == 0 ? [0] : set.Set.Kind is NftSetKind.Set or NftSetKind.CounterMap
                ? [0, 1] : [];
            return ByName(site, key[0].Kind, device => FindName(set, device), couldBe, next);
        }

        SetAnswer answer = set.Find(key, circumstances.Family);
        asked?.Add(new AskedOfSet(site.Rule, index, set, key.ToArray(), answer.Rows));
        return answer.Rows is null ? Unknown(answer.Reason!)
            : answer.Rows.IsConstant ? Checked(answer.Rows.Diagrams[0].Value)
            : functions.Bind(answer.Rows, null, Checked);

        PacketFunction Checked(int found) =>
            found == SetNode.Ambiguous ? Unknown($"elements of {name} overlap") : next(found);
    }

    /// <summary>A jump of its own for each device, where all come to the same.</summary>
    /// <returns>Null: they do not, or it is something else.</returns>
    private PacketFunction? OnEach(Site site, int index, SetNode set, Outcome state)
    {
        if (site.Exprs[index] is not NftExpr.LookupVerdict || set.Set.Kind != NftSetKind.VerdictMap)
        {
            return null;
        }

        PacketFunction? all = null;
        foreach (string device in circumstances.Out.Names)
        {
            int found = FindName(set, device);
            PacketFunction result = Leaf(state);
            if (found > 0)
            {
                NftVerdict verdict = found == SetNode.Ambiguous ? NftVerdict.Drop
                    : NftElements.GetVerdict(set.DataOf(found));
                if (verdict.Code != NftVerdictCode.Jump || TargetOf(site, verdict.Chain!) is not ChainNode target)
                {
                    return null;
                }

                var run = new SymbolicRun(table, functions, outcomes, running,
                    circumstances with { Out = Interfaces.Of(device) }, mentioned)
                {
                    depth = depth,
                };
                result = run.Jump(site, target, state);
                Reached.AddRange(run.Reached);
            }

            all ??= result;
            if (!all.Same(result))
            {
                return null;
            }
        }

        return all;
    }

    private static int FindName(SetNode set, string device)
    {
        byte[] key = new byte[NftElements.InterfaceBytes];
        NftElements.PutName(key, device);
        int found = set.Find(key);
        return found > 0 && set.Set.Kind is NftSetKind.Set or NftSetKind.CounterMap ? 1 : found;
    }

    /// <summary>Goes on if the answer is one for all interfaces in question, or makes no difference.</summary>
    /// <param name="site">The rule.</param>
    /// <param name="side">Which of the two devices.</param>
    /// <param name="answerOf">The answer for a name.</param>
    /// <param name="couldBe">Answers there may be for whatever name; empty: too many.</param>
    /// <param name="next">What follows an answer.</param>
    private PacketFunction ByName(
        Site site, SymbolKind side, Func<string, int> answerOf, int[] couldBe, Func<int, PacketFunction> next)
    {
        Interfaces devices = side == SymbolKind.InName ? circumstances.In : circumstances.Out;
        int[] answers = devices.IsAny ? couldBe : [.. devices.Names.Select(answerOf).Distinct()];
        if (answers.Length == 1)
        {
            return answers[0] == SetNode.Ambiguous ? Unknown("elements overlap") : next(answers[0]);
        }

        return (answers.Length == 2 && couldBe.Length == 2 ? Either(site, next(answers[0]), next(answers[1])) : null)
            ?? functions.Of(outcomes.Stopped(new Stop(site.Chain, site.Rule, site.Entry)));
    }

    /// <summary>What both come to, at once or at the end of the chain: a drop counts here or there.</summary>
    private PacketFunction? Either(Site site, PacketFunction one, PacketFunction other)
    {
        if (one.Same(other))
        {
            return one;
        }

        PacketFunction first = ToTheEnd(one);
        return first.Same(ToTheEnd(other)) ? first : null;

        PacketFunction ToTheEnd(PacketFunction state) => functions.Bind(
            state, running, leaf => Chain(site.Chain, site.Rule + 1, outcomes[leaf], site.LiveBehind));
    }

    private PacketFunction WithData(
        Site site, int index, SymbolicRegisters registers, Outcome state, NftExpr.LookupData e, int found)
    {
        SetNode set = site.Chain.Sets[e.Map]!;
        if (set.Set.Kind is not (NftSetKind.MarkMap or NftSetKind.ZoneMap))
        {
            return Unknown($"{e.Map} carries no data");
        }

        // "meta mark set ... map @x" at the end of a rule, as nearly all are: one element, one outcome.
        ReadOnlySpan<byte> data = set.DataOf(found);
        if (index + 2 == site.Exprs.Count && data.Length == sizeof(uint)
            && site.Exprs[index + 1] is NftExpr.MetaSet { Key: NftMetaKey.Mark } last && last.Sreg == e.Dreg)
        {
            return Leaf(state with { Mark = PacketMark.Of(BitConverter.ToUInt32(data)) });
        }

        SymbolicRegisters copy = registers.Copy();
        return copy.TryStore(e.Dreg.Word, Constants(set.DataOf(found)))
            ? From(site, index + 1, copy, state) : Unknown("a value does not fit");
    }

    private PacketFunction WithVerdict(
        Site site, int index, SymbolicRegisters registers, Outcome state, NftExpr.LookupVerdict e, int found)
    {
        SetNode set = site.Chain.Sets[e.Map]!;
        if (set.Set.Kind != NftSetKind.VerdictMap)
        {
            return Unknown($"{e.Map} carries no verdicts");
        }

        NftVerdict verdict = NftElements.GetVerdict(set.DataOf(found));
        bool byName = registers.Load(e.Sreg.Word, 1)[0].Kind is SymbolKind.OutName && circumstances.Out.StopsAtGoto;
        return verdict.Code switch
        {
            NftVerdictCode.Goto when byName =>
                functions.Of(outcomes.Stopped(new Stop(site.Chain, site.Rule, site.Entry))),
            NftVerdictCode.Continue => From(site, index + 1, registers.Copy(), state),
            NftVerdictCode.Break => Leaf(state),
            _ => Verdict(site, verdict, state),
        };
    }

    private PacketFunction ConnLimit(
        Site site, int index, SymbolicRegisters registers, Outcome state, NftExpr.ConnLimit e)
    {
        if (circumstances.LimitExceeded is bool exceeded)
        {
            return exceeded == e.Over ? From(site, index + 1, registers, state) : Leaf(state);
        }

        PacketFunction over = From(site, index + 1, registers, state);
        return over.Same(Leaf(state)) ? over : Unknown("a limit of sessions decides where it should not");
    }

    private PacketFunction Meta(Site site, int index, NftExpr.Meta e, SymbolicRegisters registers, Outcome state)
    {
        if (e.Key == NftMetaKey.L4Proto && circumstances.FrameType is not null)
        {
            return Leaf(state);
        }

        if (e.Key == NftMetaKey.L4Proto)
        {
            SymbolicByte[] protocol = [SymbolicByte.Of(SymbolKind.Protocol, 0)];
            Diagram present = functions.Diagrams.Where(PacketField.Transport, TransportSize.None, TransportSize.None,
                Diagrams.Leaf(0), Diagrams.Leaf(1));
            return Loaded(site, index, registers, state, e.Dreg, protocol,
                circumstances.HasEntry ? Diagrams.Leaf(1) : present); // conntrack needs the protocol too
        }

        SymbolicByte[]? value = e.Key switch
        {
            NftMetaKey.Protocol when circumstances.FrameType == Circumstances.OtherType =>
                Symbols(SymbolKind.FrameType, 2),
            NftMetaKey.Protocol => Constants(EtherType),
            NftMetaKey.NfProto => Constants([NfProto]),
            NftMetaKey.Mark => state.Mark.IsOriginal
                ? Symbols(SymbolKind.PacketMark, 4) : Constants(BitConverter.GetBytes(state.Mark.Value)),
            NftMetaKey.Iif => circumstances.In == Interfaces.None ? Constants([0, 0, 0, 0])
                : circumstances.In.IsAny ? null : Symbols(SymbolKind.InIndex, 4),
            NftMetaKey.Oif => circumstances.Out == Interfaces.None ? Constants([0, 0, 0, 0])
                : circumstances.Out.IsAny ? null : Symbols(SymbolKind.OutIndex, 4),
            NftMetaKey.IifName => Name(circumstances.In, SymbolKind.InName),
            NftMetaKey.OifName => Name(circumstances.Out, SymbolKind.OutName),
            _ => null,
        };
        if (value is null)
        {
            return e.Key is NftMetaKey.Iif or NftMetaKey.Oif
                ? functions.Of(outcomes.Stopped(new Stop(site.Chain, site.Rule, site.Entry)))
                : Unknown($"meta {e.Key}");
        }

        return registers.TryStore(e.Dreg.Word, value)
            ? From(site, index + 1, registers, state) : Unknown("a value does not fit");
    }

    private byte[] EtherType => circumstances.FrameType is ushort type
        ? [(byte)(type >> 8), (byte)(type & 0xff)] : circumstances.Family == IpFamily.V4 ? [0x08, 0x00] : [0x86, 0xdd];

    private byte NfProto => circumstances.Table != NftFamily.Inet ? (byte)circumstances.Table
        : circumstances.Family == IpFamily.V4 ? NfProtoIpv4 : NfProtoIpv6;

    private static SymbolicByte[] Name(Interfaces devices, SymbolKind kind)
    {
        if (devices.Single is not string name)
        {
            return Symbols(kind, NftElements.InterfaceBytes);
        }

        byte[] field = new byte[NftElements.InterfaceBytes];
        Encoding.UTF8.GetBytes(name, field);
        return Constants(field);
    }

    private static SymbolicByte[] Symbols(SymbolKind kind, int length)
    {
        var bytes = new SymbolicByte[length];
        for (int i = 0; i < length; i++)
        {
            bytes[i] = SymbolicByte.Of(kind, i);
        }

        return bytes;
    }

    private static SymbolicByte[] Constants(ReadOnlySpan<byte> value)
    {
        var bytes = new SymbolicByte[value.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            bytes[i] = SymbolicByte.Of(value[i]);
        }

        return bytes;
    }

    /// <summary>A load that fails to match where <paramref name="present"/> is 0.</summary>
    private PacketFunction Loaded(
        Site site, int index, SymbolicRegisters registers, Outcome state, NftReg register, SymbolicByte[] value,
        Diagram present)
    {
        if (!registers.TryStore(register.Word, value))
        {
            return Unknown("a value does not fit");
        }

        PacketFunction matching = From(site, index + 1, registers, state);
        return present.IsLeaf && present.Value == 1 ? matching : functions.Bind(
            functions.Of(present), null, there => there == 1 ? matching : Leaf(state));
    }
}
