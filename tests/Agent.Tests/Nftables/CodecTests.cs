using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;
using CsCheck;

namespace Agent.Tests.Nftables;

public class CodecTests
{
    private static readonly Gen<ValueArray<byte>> Data =
        Gen.Byte.Array[1, 32].Select(bytes => ValueArray.Create<byte>(bytes));

    private static readonly Gen<NftReg> Reg = Gen.Byte[0, 15].Select(word => new NftReg(word));

    private static readonly Gen<string> Name = Gen.String[Gen.Char.AlphaNumeric, 1, 20];

    private static readonly Gen<NftVerdict> Verdict = Gen.OneOf(
        Gen.Int[-2, 1].Select(code => new NftVerdict((NftVerdictCode)code)), // break, continue, drop, accept
        Name.Select(NftVerdict.Jump),
        Name.Select(NftVerdict.Goto),
        Gen.Const(NftVerdict.Return));

    /// <summary>One generator for every kind of expression.</summary>
    private static readonly Gen<NftExpr> Expr = Gen.OneOf(
        Gen.Select(Gen.OneOf(Enum.GetValues<NftMetaKey>()), Reg, (key, reg) => (NftExpr)new NftExpr.Meta(key, reg)),
        Gen.Select(Gen.OneOf(Enum.GetValues<NftMetaKey>()), Reg, (key, reg) => (NftExpr)new NftExpr.MetaSet(key, reg)),
        Gen.Select(Gen.UInt[0, 2], Gen.UInt[0, 65535], Gen.UInt[0, 255], Reg,
            (from, at, length, reg) => (NftExpr)new NftExpr.Payload((NftPayloadBase)from, at, length, reg)),
        Gen.Select(Reg, Gen.UInt[0, 5], Data, (reg, op, data) => (NftExpr)new NftExpr.Cmp(reg, (NftCmpOp)op, data)),
        Gen.Select(Reg, Gen.Bool, Data, (reg, negated, data) => (NftExpr)new NftExpr.Range(reg, negated, data, data)),
        Gen.Select(Reg, Reg, Data, (from, to, data) => (NftExpr)new NftExpr.Bitwise(from, to, data, data)),
        Gen.Select(Reg, Reg, Gen.Bool, Gen.UInt, Gen.UInt,
            (from, to, hton, length, size) => (NftExpr)new NftExpr.ByteOrder(from, to, hton, length, size)),
        Gen.Select(Reg, Data, (reg, data) => (NftExpr)new NftExpr.Immediate(reg, data)),
        Verdict.Select(verdict => (NftExpr)new NftExpr.VerdictIs(verdict)),
        Gen.Select(Name, Reg, Gen.Bool, (set, reg, negated) => (NftExpr)new NftExpr.Lookup(set, reg, negated)),
        Gen.Select(Name, Reg, Reg, (map, from, to) => (NftExpr)new NftExpr.LookupData(map, from, to)),
        Gen.Select(Name, Reg, (map, reg) => (NftExpr)new NftExpr.LookupVerdict(map, reg)),
        Gen.Select(Gen.OneOf(Enum.GetValues<NftCtKey>()), Reg, (key, reg) => (NftExpr)new NftExpr.Ct(key, reg)),
        Gen.Select(Gen.OneOf(Enum.GetValues<NftCtKey>()), Reg, (key, reg) => (NftExpr)new NftExpr.CtSet(key, reg)),
        Gen.Const((NftExpr)new NftExpr.Counter()),
        Gen.Const((NftExpr)new NftExpr.NoTrack()),
        Gen.Select(Gen.UInt, Name, (type, name) => (NftExpr)new NftExpr.ObjectRef(type, name)),
        Gen.Select(Name, Reg, (map, reg) => (NftExpr)new NftExpr.ObjectMap(map, reg)),
        Gen.Select(Gen.ULong, Gen.ULong, Gen.UInt, Gen.Bool,
            (rate, unit, burst, over) => (NftExpr)new NftExpr.Limit(rate, unit, burst, NftLimitType.Bytes, over)),
        Gen.Select(Gen.UShort, Name, Gen.UInt, Gen.UShort,
            (group, prefix, snap, threshold) => (NftExpr)new NftExpr.Log(group, prefix, snap, threshold)),
        Gen.Select(Gen.UInt, Gen.Bool, (count, over) => (NftExpr)new NftExpr.ConnLimit(count, over)),
        Data.Select(data => (NftExpr)new NftExpr.Opaque(
            "exotic",
            ValueArray.Create<byte>([8, 0, 1, 0, .. data.Take(4), .. new byte[Math.Max(0, 4 - data.Count)]]))));

    [Fact]
    public void Every_expression_is_written_and_read_the_same() => Expr.Array[0, 6].Sample(exprs =>
    {
        var writer = new NlWriter();
        NftExpr.WriteList(writer, NftaRule.Expressions, exprs.ToValueArray());
        Assert.Equal(exprs.ToValueArray(), NftExpr.ReadList(new NlAttrs(writer.Written[NlWriter.AttrHeaderBytes..])));
    });

    [Fact]
    public void The_generator_knows_every_kind_of_expression()
    {
        var all = typeof(NftExpr).GetNestedTypes().Where(type => type.IsSubclassOf(typeof(NftExpr)))
            .Select(type => type.Name);
        var made = new HashSet<string>();
        Expr.Sample(expr =>
        {
            lock (made)
            {
                made.Add(expr.GetType().Name);
            }
        }, iter: 5000);
        Assert.Equal(all.Order(), made.Order());
    }

    [Fact]
    public void Any_bytes_are_read_or_refused() =>
        Gen.Select(Gen.OneOf([.. NftExpr.Readers.Keys]), Gen.Byte.Array[0, 64]).Sample((name, bytes) =>
        {
            var writer = new NlWriter();
            writer.PutText(NftaExpr.Name, name);
            writer.PutNestBytes(NftaExpr.Data, bytes);
            try
            {
                NftExpr.ReadElement(new NlAttrs(writer.Written));
            }
            catch (NetlinkFormatException)
            {
                // refused
            }
        });

    [Fact]
    public void An_unknown_attribute_makes_an_expression_opaque()
    {
        foreach ((string text, NftRule rule) in Samples.InetRules())
        {
            foreach (NftExpr expr in rule.Exprs)
            {
                var writer = new NlWriter();
                writer.PutText(NftaExpr.Name, expr.WireName);
                NlMark data = writer.BeginNest(NftaExpr.Data);
                expr.WriteData(writer);
                writer.PutU32Be(99, 1);
                writer.EndNest(data);
                Assert.True(NftExpr.ReadElement(new NlAttrs(writer.Written)) is NftExpr.Opaque, $"{text}: {expr}");
            }
        }
    }

    [Fact]
    public void Sets_are_written_and_read_the_same()
    {
        foreach (NftSet set in Samples.Sets())
        {
            var writer = new NlWriter();
            SetCodec.Write(writer, "t", set, 1);
            (string table, NftSet read) = SetCodec.Read(new NlAttrs(writer.Written));
            Assert.Equal("t", table);
            Assert.Equal(set with { Elements = NftElements.Empty(set.RowBytes) }, read);
        }
    }

    /// <summary>Disjoint ranges, some adjacent, some up to the top of the space, in any order of the kernel.</summary>
    [Fact]
    public void Ranges_are_paired_whatever_the_order() =>
        Gen.Select(Gen.UInt.Array[2, 40], Gen.Int).Sample((bounds, seed) =>
        {
            uint[] sorted = [.. bounds.Distinct().Order()];
            NftSet set = Samples.Set("r", [NftType.Ipv4Addr], true, NftSetKind.Set, null, false);
            var rows = new NftElements.Builder(set.RowBytes);
            for (int i = 0; i + 1 < sorted.Length; i += (seed & 1) + 1)
            {
                Span<byte> row = rows.Add();
                System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(row, sorted[i]);
                bool top = i + 2 >= sorted.Length && (seed & 2) != 0;
                System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(
                    row[4..], top ? uint.MaxValue : sorted[i + 1] - 1);
            }

            NftElements elements = rows.Build();
            Assert.Equal(elements, ReadBack(set, elements, new Random(seed)));
        });

    [Fact]
    public void A_long_list_is_split_below_64_KiB()
    {
        NftSet set = Samples.Set(
            "big", [NftType.Ipv4Addr, NftType.InetProto, NftType.InetService], true, NftSetKind.VerdictMap, null,
            false);
        var rows = new NftElements.Builder(set.RowBytes);
        for (int i = 0; i < 20_000; i++)
        {
            Span<byte> row = rows.Add();
            System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(row, i);
            NftElements.PutVerdict(row[24..], NftVerdict.Jump("a_chain_with_a_name_of_31_bytes"));
        }

        var writer = new NlWriter();
        NftElements elements = rows.Build();
        int messages = ElementWriter.Write(
            writer, NftMsg.NewSetElem, NlmF.Create, 1, NftFamily.Inet, "t", set, elements);
        Assert.Equal(messages, writer.MessageCount);
        var reader = new ElementReader(set);
        foreach (NlMessage message in new NlMessages(writer.Written))
        {
            Assert.True(message.Length < 66_000);
            reader.Read(message.Attrs(NfMessage.HeaderBytes));
        }

        Assert.Equal(elements, reader.Build());
        Assert.False(reader.IsTorn);
    }

    /// <summary>A part of a dump that began at another place: what it repeats stands where others should be.</summary>
    [Fact]
    public void Elements_that_come_twice_are_said_to_be_torn()
    {
        NftSet set = Samples.Set(
            "hosts", [NftType.Ipv4Addr], false, NftSetKind.MarkMap, null, false, [1, 0, 0, 0, 9, 0, 0, 0],
            [2, 0, 0, 0, 9, 0, 0, 0]);
        var writer = new NlWriter();
        ElementWriter.Write(writer, NftMsg.NewSetElem, NlmF.Create, 1, NftFamily.Inet, "t", set, set.Elements);
        var reader = new ElementReader(set);
        foreach (bool again in (bool[])[false, true])
        {
            foreach (NlMessage message in new NlMessages(writer.Written))
            {
                reader.Read(message.Attrs(NfMessage.HeaderBytes));
            }

            Assert.Equal(set.Elements, reader.Build());
            Assert.Equal(again, reader.IsTorn);
        }
    }

    /// <summary>Hands the elements of a written list to the reader in a random order.</summary>
    private static NftElements ReadBack(NftSet set, NftElements elements, Random random)
    {
        var writer = new NlWriter();
        ElementWriter.Write(writer, NftMsg.NewSetElem, NlmF.Create, 1, NftFamily.Inet, "t", set, elements);
        var parts = new List<byte[]>();
        foreach (NlMessage message in new NlMessages(writer.Written))
        {
            foreach (NlAttr attr in message.Attrs(NfMessage.HeaderBytes))
            {
                if (attr.Type == NftaSetElemList.Elements)
                {
                    foreach (NlAttr element in attr.Nested)
                    {
                        parts.Add(element.Payload.ToArray());
                    }
                }
            }
        }

        byte[][] shuffled = [.. parts];
        random.Shuffle(shuffled);
        var list = new NlWriter();
        NlMark nest = list.BeginNest(NftaSetElemList.Elements);
        foreach (byte[] part in shuffled)
        {
            list.PutNestBytes(NftaList.Elem, part);
        }

        list.EndNest(nest);
        var reader = new ElementReader(set);
        reader.Read(new NlAttrs(list.Written));
        return reader.Build();
    }
}
