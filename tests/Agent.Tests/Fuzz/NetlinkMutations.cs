using Agent.Tests.Contract;

namespace Agent.Tests.Fuzz;

/// <summary>
/// Netlink messages whose attributes are elsewhere, twice, missing, of another type or length, one in another, or
/// of another message: what a newer kernel, another program's ruleset or a broken sender may show.
/// </summary>
internal static class NetlinkMutations
{
    private static readonly uint[] Numbers =
        [0, 1, 2, 0x7f, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];

    /// <param name="datagram">Whole messages.</param>
    /// <param name="other">Others, whose parts may come in.</param>
    /// <param name="fixedBytes">Of the header between nlmsghdr and attributes.</param>
    /// <param name="random">Decides.</param>
    public static byte[] Of(byte[] datagram, byte[] other, int fixedBytes, Random random)
    {
        List<NetlinkPart>? messages = NetlinkPart.Messages(datagram, fixedBytes);
        if (messages is null or [] || random.Next(8) == 0)
        {
            return WireMutations.Of(datagram, random);
        }

        for (int i = random.Next(1, 5); i > 0; i--)
        {
            Once(messages, NetlinkPart.Messages(other, fixedBytes) is { Count: > 0 } whole ? whole : messages, random);
        }

        return NetlinkPart.Write(messages);
    }

    private static void Once(List<NetlinkPart> messages, List<NetlinkPart> others, Random random)
    {
        NetlinkPart[] all = [.. messages.SelectMany(message => message.All())];
        if (all.Length == 0)
        {
            return;
        }

        NetlinkPart[] donors = [.. others.SelectMany(message => message.All())];
        NetlinkPart part = all[random.Next(all.Length)];
        NetlinkPart donor = donors[random.Next(donors.Length)];
        List<NetlinkPart> siblings = all.FirstOrDefault(one => one.Parts?.Contains(part) == true)?.Parts ?? messages;
        int at = siblings.IndexOf(part);
        switch (random.Next(14))
        {
            case 0: siblings.RemoveAt(at); break;
            case 1: siblings.Insert(random.Next(siblings.Count + 1), part.Copy()); break;
            case 2: Swap(siblings, at, random.Next(siblings.Count)); break;
            case 3: part.Type = (ushort)((part.Type & 0xc000) | random.Next(random.Next(4) == 0 ? 0x3fff : 24)); break;
            case 4: part.Type ^= (ushort)(random.Next(2) == 0 ? 0x8000 : 0x4000); break;
            case 5: part.Lie = random.Next(-12, 13); break;
            case 6: part.IsAligned = false; break;
            case 7 or 8: Replace(part, Value(part, random)); break;
            case 9: Replace(part, part.Payload[..random.Next(part.Payload.Length + 1)]); break;
            case 10: Nest(part, random); break;
            case 11: (part.Payload, part.Parts) = ([.. donor.Payload], donor.Copy().Parts); break;
            case 12 when siblings != messages && donor.Head.Length == part.Head.Length:
                siblings.Insert(at, donor.Copy());
                break;
            default: part.Head[random.Next(part.Head.Length)] = (byte)random.Next(256); break;
        }
    }

    private static void Swap(List<NetlinkPart> parts, int one, int other) =>
        (parts[one], parts[other]) = (parts[other], parts[one]);

    private static void Replace(NetlinkPart part, byte[] payload) => (part.Payload, part.Parts) = (payload, null);

    /// <summary>A number at the edge in either order, a text that is too long or none, or some bytes.</summary>
    private static byte[] Value(NetlinkPart part, Random random)
    {
        byte[] number = BitConverter.GetBytes(Numbers[random.Next(Numbers.Length)]);
        switch (random.Next(8))
        {
            case 0: return number;
            case 1: return [.. number.Reverse()];
            case 2: return [.. number.Reverse(), .. number.Reverse()];
            case 3: return [.. Enumerable.Repeat((byte)'x', random.Next(1, 300)), 0];
            case 4: return [0xc3, 0x28, 0];
            case 5: return new byte[random.Next(70)];
            case 6: return [number[0]];
            default:
                byte[] bytes = new byte[Math.Max(1, part.Payload.Length)];
                random.NextBytes(bytes);
                return bytes;
        }
    }

    private static void Nest(NetlinkPart part, Random random)
    {
        for (int depth = random.Next(1, random.Next(10) == 0 ? 200 : 4); depth > 0; depth--)
        {
            var inner = new NetlinkPart
            {
                Head = [(byte)random.Next(1, 8), 0x80],
                Payload = part.Payload,
                Parts = part.Parts,
            };
            part.Parts = [inner];
        }
    }
}
