using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Keys and counters of the elements of hash sets: all that a reading of counters needs.</summary>
internal static class ElementCounts
{
    /// <summary>Reads the element list of one NEWSETELEM. An element without a counter is left out.</summary>
    internal static void Read(NlAttrs message, ElementCount read)
    {
        foreach (NlAttr attr in message)
        {
            if (attr.Type == NftaSetElemList.Elements)
            {
                foreach (NlAttr element in attr.Nested)
                {
                    ReadElement(element.Nested, read);
                }
            }
        }
    }

    private static void ReadElement(NlAttrs element, ElementCount read)
    {
        ReadOnlySpan<byte> key = default;
        PacketCount? count = null;
        foreach (NlAttr attr in element)
        {
            switch (attr.Type)
            {
                case NftaSetElem.Key:
                    foreach (NlAttr value in attr.Nested)
                    {
                        key = value.Payload;
                    }

                    break;
                case NftaSetElem.Expr: count = CountIn(attr.Nested); break;
                case NftaSetElem.Expressions: // several, of which one may count
                    foreach (NlAttr expr in attr.Nested)
                    {
                        count ??= CountIn(expr.Nested);
                    }

                    break;
                default: break;
            }
        }

        if (count is { } found)
        {
            read(key, found);
        }
    }

    private static PacketCount? CountIn(NlAttrs expr)
    {
        bool counts = false;
        NlAttrs data = default;
        foreach (NlAttr attr in expr)
        {
            switch (attr.Type)
            {
                case NftaExpr.Name: counts = attr.Payload.StartsWith("counter\0"u8); break;
                case NftaExpr.Data: data = attr.Nested; break;
            }
        }

        return counts ? NftExpr.Counter.ReadCount(data) : null;
    }
}
