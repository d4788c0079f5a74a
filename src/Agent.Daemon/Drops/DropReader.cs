using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Netlink.Nflog;
using Agent.Policy;

namespace Agent.Daemon.Drops;

/// <summary>
/// Makes records of reported packets: interface numbers become vNICs, marks become rules. What was in force a moment
/// ago is kept, and what two rulesets would call differently is "unknown".
/// </summary>
/// <param name="readLinks">Reads all devices, for a number that no state has.</param>
/// <param name="clock">Time.</param>
internal sealed class DropReader(Func<HostLinks> readLinks, TimeProvider clock)
{
    /// <summary>How long a packet may be on its way through the rules, and how coarse clocks are.</summary>
    private static readonly TimeSpan Underway = TimeSpan.FromMilliseconds(100);

    /// <summary>How long a packet may be on its way here, where the kernel does not say when it was there.</summary>
    private static readonly TimeSpan Undated = TimeSpan.FromSeconds(2);

    /// <summary>How long a ruleset that is not in force is remembered.</summary>
    private static readonly TimeSpan Remembered = TimeSpan.FromSeconds(10);

    /// <summary>How often devices are read because of numbers that nobody knows.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(1);

    /// <summary>Devices that may be remembered; those that are gone are forgotten beyond it.</summary>
    private const int DevicesMax = 8192;

    private readonly Dictionary<uint, string> devices = [];
    private HostLinks links = HostLinks.None;
    private long? lookedAt;
    private volatile Seen seen = new([], HostLinks.None);

    private sealed record Seen(ImmutableArray<DropView> Views, HostLinks Links);

    /// <summary>Takes a state as the newest. Any thread, one at a time.</summary>
    public void Follow(AgentState state)
    {
        ImmutableArray<DropView> views = seen.Views;
        if (state.Enforced is { } enforced && (views.IsEmpty || !ReferenceEquals(views[0].Enforced, enforced)))
        {
            TimeSpan now = Now();
            views = [new DropView(enforced, views.IsEmpty ? null : now, Until: null),
                .. views.Select(view => view with { Until = view.Until ?? now })
                    .Where(view => view.Until > now - Remembered)];
        }

        seen = new Seen(views, state.Links);
    }

    /// <summary>One thread.</summary>
    /// <returns>Null: it is none of ours.</returns>
    public DropRecord? Read(LoggedPacket packet)
    {
        if (RecordPrefix.Parse(packet.Prefix) is not { } prefix)
        {
            return null;
        }

        Seen now = seen;
        DateTimeOffset time = packet.Time ?? clock.GetUtcNow();
        TimeSpan age = clock.GetUtcNow() - time; // the kernel dates by the wall clock, which nothing else here goes by
        string device = NameOf(prefix.From ? packet.In : packet.Out, now.Links);
        TimeSpan slack = packet.Time is null ? Undated : Underway;
        DropView[] views = [.. now.Views
            .Where(view => view.MayHold(Now() - age, slack) && view.MayReport(device, prefix.Reason))];
        PacketHeaders headers = PacketHeaders.Read(packet.EtherType, packet.Network.Span);
        Vnic?[] owners = [.. views.Select(view => view.VnicAt(device)).DistinctBy(vnic => vnic?.Id)];
        return new DropRecord
        {
            Time = time,
            VnicId = owners switch
            {
                [] => "",
                [var one] => one?.Id ?? "",
                _ => DropRecord.Unknown,
            },
            Interface = device,
            Direction = prefix.From ? Direction.Egress : Direction.Ingress,
            IsAccepted = prefix.Reason == RecordPrefix.Accepted,
            Reason = prefix.Reason,
            Rule = RuleOf(views, device, prefix, packet.Mark, headers),
            Packet = headers,
            GuestMac = prefix.From && packet.Link.Length >= 12 ? SourceOf(packet.Link.Span)
                : owners is [{ } vnic] ? vnic.Mac : null,
            VlanId = (ushort?)(packet.VlanTag & 0xfff),
        };
    }

    // A rule that only one of them knows is that one's: numbers are hashes of names. The others have come or gone.
    private static string RuleOf(
        DropView[] views, string device, RecordPrefix prefix, uint mark, PacketHeaders headers)
    {
        string[] rules = [.. views
            .Select(view => view.VnicAt(device) is { } vnic ? view.RuleOf(vnic, prefix, mark, headers) : null)
            .OfType<string>().Distinct(StringComparer.Ordinal)];
        return rules switch
        {
            [var rule] => rule,
            [] when prefix.Reason is not ("rule" or "default" or "stale" or RecordPrefix.Accepted) => "",
            _ => DropRecord.Unknown,
        };
    }

    private static MacAddress SourceOf(ReadOnlySpan<byte> ethernet)
    {
        ulong bits = 0;
        foreach (byte octet in ethernet.Slice(6, 6))
        {
            bits = bits << 8 | octet;
        }

        return new MacAddress(bits);
    }

    private TimeSpan Now() => clock.GetElapsedTime(0);

    private string NameOf(uint index, HostLinks newest)
    {
        if (!ReferenceEquals(links, newest))
        {
            Take(links = newest);
        }

        if (index != 0 && !devices.ContainsKey(index)
            && (lookedAt is not { } last || clock.GetElapsedTime(last) > LookAgain))
        {
            lookedAt = clock.GetTimestamp();
            Take(readLinks());
        }

        return devices.GetValueOrDefault(index, DropRecord.Unknown);
    }

    // A device that is gone keeps its name: packets of it may still be on their way, and numbers are not used again.
    private void Take(HostLinks some)
    {
        if (devices.Count > DevicesMax)
        {
            devices.Clear();
        }

        foreach ((string name, int number) in some.Indexes)
        {
            devices[(uint)number] = name;
        }
    }
}
