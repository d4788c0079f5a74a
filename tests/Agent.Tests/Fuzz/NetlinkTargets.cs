using Agent.Daemon.Sessions;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Netlink.Route;

namespace Agent.Tests.Fuzz;

/// <summary>Answers of a kernel: datagrams of messages.</summary>
internal abstract class NetlinkTarget(int fixedBytes) : FuzzTarget
{
    public override byte[] Mutate(byte[] input, byte[] other, Random random) =>
        NetlinkMutations.Of(input, other, fixedBytes, random);

    public override string Read(byte[] input)
    {
        var came = new SortedSet<string>(StringComparer.Ordinal);
        try
        {
            foreach (NlMessage message in new NlMessages(input))
            {
                came.Add(Read(message));
            }
        }
        catch (NetlinkFormatException e)
        {
            came.Add(Kind(e.Message));
        }

        return string.Join('|', came);
    }

    /// <exception cref="NetlinkFormatException">No kernel would send it.</exception>
    protected abstract string Read(NlMessage message);
}

/// <summary>NLMSG_ERROR with extended acks.</summary>
internal sealed class AckTarget() : NetlinkTarget(fixedBytes: 20)
{
    public override string Name => "acks";

    protected override string Read(NlMessage message) => KernelError.Read(message) is { } error
        ? $"error {error.Name} {error.Text is null} {error.Offset is null} {error.ToString().Length > 0}" : "ack";
}

/// <summary>rtnetlink's devices, and what they have carried.</summary>
internal sealed class LinkTarget() : NetlinkTarget(LinkCodec.IfinfomsgBytes)
{
    public override string Name => "links";

    protected override string Read(NlMessage message)
    {
        if (message.Type == Rtm.NewStats)
        {
            var counts = new List<LinkCount>();
            LinkTraffic.Add(counts, message);
            return $"{counts.Count} counts";
        }

        switch (LinkCodec.Read(message))
        {
            case LinkEvent.Changed { Link: var link }:
                CheckName(link.Name);
                return $"link {link.Kind?.Length} {link.Oper} {link.Mac is null} {link.MasterIndex is null} "
                    + $"{link.AdminUp} {link.Carrier}";
            case LinkEvent.Deleted gone: return $"gone {gone.Name.Contains('\\', StringComparison.Ordinal)}";
            default: return "of no device";
        }
    }

    // It becomes a key of sets and a word of rules: linux/if.h IFNAMSIZ, net/core/dev.c dev_valid_name.
    private static void CheckName(string name) => FuzzException.Unless(
        System.Text.Encoding.UTF8.GetByteCount(name) is > 0 and < 16, $"a device is named '{name}'");
}

/// <summary>ctnetlink's sessions, as status shows them and as another host gets them.</summary>
internal sealed class FlowTarget() : NetlinkTarget(FlowCodec.HeaderBytes)
{
    public override string Name => "flows";

    protected override string Read(NlMessage message)
    {
        Flow flow = FlowCodec.Read(message);
        FuzzException.Unless(
            flow.Original.Source.AddressFamily == flow.Original.Destination.AddressFamily
                && flow.Reply.Source.AddressFamily == flow.Reply.Destination.AddressFamily, "a tuple of two families");
        FuzzException.Unless(flow.Count is null == (flow.OriginalCount ?? flow.ReplyCount) is null
            || flow.OriginalCount is null || flow.ReplyCount is null, "counts that are lost");
        CheckWritten(flow);
        string moved = Moved(flow);
        return $"flow {flow.Original.Protocol is 1 or 6 or 17 or 58} {flow.Tcp is null} {flow.Start is null} "
            + $"{flow.Count is null} {flow.IsTranslated} {flow.State()} {moved}";
    }

    // Readings and the kernel's own numbers are not written.
    private static void CheckWritten(Flow flow)
    {
        var writer = new NlWriter();
        FlowCodec.WriteNew(writer, 1, flow);
        foreach (NlMessage again in new NlMessages(writer.Written))
        {
            Flow read = FlowCodec.Read(again);
            FuzzException.Unless(
                read == flow with { Id = 0, OriginalCount = null, ReplyCount = null, Start = null },
                $"{flow} is read again as {read}");
        }
    }

    private static string Moved(Flow flow)
    {
        if (!MovingSessions.IsCarried(flow.Original.Protocol) || flow.IsTranslated)
        {
            return "stays";
        }

        var faults = new List<string>();
        Flow? there = MovingSessions.Read(
            MovingSessions.Of(flow), flow.Zone, "s", faults);
        FuzzException.Unless(there is null == faults.Count > 0, "neither a session nor a fault");
        FuzzException.Unless(there is null || there.Original == flow.Original, $"{flow} moves as {there}");
        return string.Join(' ', faults.Select(fault => fault.Split(':')[0]));
    }
}
