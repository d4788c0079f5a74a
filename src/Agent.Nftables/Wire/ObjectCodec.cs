using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Stateful objects: facing write and read.</summary>
internal static class ObjectCodec
{
    internal static uint TypeOf(NftObject value) => value switch
    {
        NftObject.Counter => NftObjectType.Counter,
        NftObject.CtTimeout => NftObjectType.CtTimeout,
        NftObject.Opaque opaque => opaque.Type,
        _ => throw new ArgumentOutOfRangeException(nameof(value), value, "unknown object"),
    };

    internal static void WriteName(NlWriter writer, string table, NftObject value)
    {
        writer.PutText(NftaObj.Table, table);
        writer.PutText(NftaObj.Name, value.Name);
        writer.PutU32Be(NftaObj.Type, TypeOf(value));
    }

    internal static void Write(NlWriter writer, string table, NftObject value)
    {
        WriteName(writer, table, value);
        NlMark data = writer.BeginNest(NftaObj.Data);
        if (value is NftObject.CtTimeout timeout)
        {
            writer.PutU16Be(NftaCtTimeout.L3Proto, timeout.L3);
            writer.PutU8(NftaCtTimeout.L4Proto, timeout.L4);
            NlMark states = writer.BeginNest(NftaCtTimeout.Data);
            foreach (CtTimeoutValue state in timeout.Seconds)
            {
                writer.PutU32Be(state.State, state.Seconds);
            }

            writer.EndNest(states);
        }
        else if (value is NftObject.Counter)
        {
            new NftExpr.Counter().WriteData(writer);
        }
        else
        {
            throw new ArgumentException(
                $"object '{value.Name}' is of a kind that this build does not write", nameof(value));
        }

        writer.EndNest(data);
    }

    /// <returns>The table's name, and the object.</returns>
    internal static (string Table, NftObject Object) Read(NlAttrs attrs)
    {
        string table = "";
        string name = "";
        uint type = 0;
        NlAttrs data = default;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case NftaObj.Table: table = attr.Text(); break;
                case NftaObj.Name: name = attr.Text(); break;
                case NftaObj.Type: type = attr.U32Be(); break;
                case NftaObj.Data: data = attr.Nested; break;
                default: break; // use, handle, user data: no packet is judged by them
            }
        }

        NfMessage.MustName("object", table, name);
        return type switch
        {
            NftObjectType.Counter when NftExpr.Counter.ReadCount(data) is not null =>
                (table, new NftObject.Counter(name)),
            NftObjectType.CtTimeout when ReadTimeout(name, data) is { } timeout => (table, timeout),
            _ => (table, new NftObject.Opaque(name, type)),
        };
    }

    /// <summary>A counter's reading, and no more.</summary>
    /// <returns>Null: of another table, or no counter.</returns>
    internal static (string Name, ulong Handle, PacketCount Count)? ReadCount(NlAttrs attrs, string table)
    {
        string name = "";
        ulong handle = 0;
        PacketCount? count = null;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case NftaObj.Table when attr.Text() != table: return null;
                case NftaObj.Type when attr.U32Be() != NftObjectType.Counter: return null;
                case NftaObj.Name: name = attr.Text(); break;
                case NftaObj.Handle: handle = attr.U64Be(); break;
                case NftaObj.Data: count = NftExpr.Counter.ReadCount(attr.Nested); break;
                default: break;
            }
        }

        return count is { } found ? (name, handle, found) : null;
    }

    /// <summary>The kernel reports every state of the protocol, those too that were left to its defaults.</summary>
    private static NftObject.CtTimeout? ReadTimeout(string name, NlAttrs data)
    {
        ushort l3 = 0;
        byte l4 = 0;
        var states = new List<CtTimeoutValue>();
        foreach (NlAttr attr in data)
        {
            switch (attr.Type)
            {
                case NftaCtTimeout.L3Proto: l3 = attr.U16Be(); break;
                case NftaCtTimeout.L4Proto: l4 = attr.U8(); break;
                case NftaCtTimeout.Data:
                    foreach (NlAttr state in attr.Nested)
                    {
                        ushort number = state.Type;
                        if (number > byte.MaxValue || states.Exists(one => one.State == number))
                        {
                            return null;
                        }

                        states.Add(new CtTimeoutValue((byte)number, state.U32Be()));
                    }

                    break;
                default: return null;
            }
        }

        states.Sort((a, b) => a.State.CompareTo(b.State));
        return new NftObject.CtTimeout(name, l3, l4, states.ToValueArray());
    }
}
