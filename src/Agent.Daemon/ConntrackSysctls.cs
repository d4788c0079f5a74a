using System.Globalization;
using Agent.Compiler;
using Agent.Daemon.Removal;
using Agent.Policy;

namespace Agent.Daemon;

/// <summary>
/// What conntrack has one number for in the network namespace: idle times of protocols that it has no timeout object
/// for, and whether it counts what sessions carry.
/// </summary>
/// <remarks>
/// Idle times cannot be a vNIC's own, then. They are only ever lowered: to what semantics.md 9.3 says for "other
/// protocols". Nothing puts anything back when the agent goes: the sessions stay, too. What is set is noted before, so
/// that <c>--remove-ruleset</c> can put it back.
/// </remarks>
internal static class ConntrackSysctls
{
    /// <summary>Where they are; the kernel shows the values of the reader's namespace.</summary>
    public const string Directory = "/proc/sys/net/netfilter";

    /// <summary>Sessions are counted, or their beginning is noted, if they begin while it is on.</summary>
    private static readonly string[] Accounts = ["acct", "timestamp"];

    private static readonly string[] Always =
    [
        "generic_timeout",
        "sctp_timeout_established", "sctp_timeout_heartbeat_sent",
        "dccp_timeout_request", "dccp_timeout_respond", "dccp_timeout_partopen", "dccp_timeout_open",
        "dccp_timeout_closereq", "dccp_timeout_closing", "dccp_timeout_timewait",
    ];

    /// <summary>Only if the kernel has no timeout object for the protocol.</summary>
    private static readonly (byte Protocol, string Name)[] Otherwise =
    [
        (IpProtocol.Icmp, "icmp_timeout"), (IpProtocol.Icmpv6, "icmpv6_timeout"),
        (IpProtocol.Gre, "gre_timeout"), (IpProtocol.Gre, "gre_timeout_stream"),
    ];

    /// <summary>Lowers the idle times, or only looks at them.</summary>
    /// <param name="directory"><see cref="Directory"/>.</param>
    /// <param name="manage">May be written.</param>
    /// <param name="objects">Protocols for which the kernel has timeout objects.</param>
    /// <param name="note">Is told of each that is about to be set.</param>
    /// <returns>What a person should know: which are longer than they should be.</returns>
    public static IEnumerable<string> Apply(
        string directory, bool manage, IReadOnlyCollection<byte> objects, Action<string, ChangedSysctl> note)
    {
        foreach (string name in Always.Concat(
            Otherwise.Where(one => !objects.Contains(one.Protocol)).Select(one => one.Name)))
        {
            string path = Path.Combine(directory, "nf_conntrack_" + name);
            if (Read(path) is not { } seconds || seconds <= SessionTimes.OtherSeconds)
            {
                continue; // this kernel does not track the protocol, or forgets soon enough
            }

            if ((manage ? Set(path, new ChangedSysctl(seconds, SessionTimes.OtherSeconds), note)
                : "conntrack.manage_sysctls is off") is string reason)
            {
                yield return $"sessions of some protocols live {seconds} s idle "
                    + $"instead of {SessionTimes.OtherSeconds} s:"
                    + $" nf_conntrack_{name} ({reason})";
            }
        }
    }

    /// <summary>Has the kernel count what sessions carry, and note when they begin.</summary>
    /// <param name="directory"><see cref="Directory"/>.</param>
    /// <param name="note">Is told of each that is about to be set.</param>
    /// <returns>What could not be turned on.</returns>
    public static IEnumerable<string> Account(string directory, Action<string, ChangedSysctl> note)
    {
        foreach (string name in Accounts)
        {
            string path = Path.Combine(directory, "nf_conntrack_" + name);
            if (Read(path) is not > 0 && Set(path, new ChangedSysctl(0, 1), note) is string reason)
            {
                yield return $"conntrack.accounting: nf_conntrack_{name} cannot be turned on ({reason})";
            }
        }
    }

    /// <summary>Whether sessions that begin now are counted.</summary>
    /// <param name="directory"><see cref="Directory"/>.</param>
    public static bool IsCounting(string directory) => Read(Path.Combine(directory, "nf_conntrack_acct")) > 0;

    /// <summary>Undoes a change, unless somebody else has set the number since.</summary>
    /// <param name="directory"><see cref="Directory"/>.</param>
    /// <param name="name">Name of the file.</param>
    /// <param name="changed">The change.</param>
    /// <returns>Whether it was undone, and if it should have been, why not.</returns>
    public static (bool IsRestored, string? Obstacle) Restore(string directory, string name, ChangedSysctl changed)
    {
        string path = Path.Combine(directory, name);
        if (Read(path) != changed.Put)
        {
            return (false, null);
        }

        string? obstacle = TryWrite(path, changed.Found);
        return (obstacle is null, obstacle);
    }

    private static string? Set(string path, ChangedSysctl change, Action<string, ChangedSysctl> note)
    {
        note(Path.GetFileName(path), change);
        return TryWrite(path, change.Put);
    }

    private static int? Read(string path)
    {
        try
        {
            return int.TryParse(File.ReadAllText(path), NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture,
                out int value)
                ? value : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string? TryWrite(string path, int value)
    {
        try
        {
            File.WriteAllText(path, value.ToString(CultureInfo.InvariantCulture));
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e.Message;
        }
    }
}
