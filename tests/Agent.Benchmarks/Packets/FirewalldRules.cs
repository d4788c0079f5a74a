using System.Diagnostics;
using System.Globalization;
using System.Text;
using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>The real firewalld with its nftables backend, on a message bus of its own.</summary>
/// <remarks>
/// A policy object from any zone to the receiver's zone: rich rules, groups as ipsets. An accept of one policy object
/// ends the judgement, so that the sender's list cannot be had beside it: what is enforced is the receiver's list
/// alone. The daemon is killed once its rules are there, as it has no more to say about packets.
/// </remarks>
/// <param name="directory">Where Debian's firewalld, python3-firewall and python3-nftables are unpacked.</param>
internal sealed class FirewalldRules(string directory) : IFirewall
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>What a program said last.</summary>
    private static string LastWords { get; set; } = "";

    public string Name => "firewalld, the receiver's list alone";

    public bool HasPolicy => true;

    /// <summary>Null: it is not unpacked, or there is no message bus.</summary>
    public static FirewalldRules? Find() =>
        Environment.GetEnvironmentVariable("SG_FIREWALLD") is { Length: > 0 } place
        && File.Exists(Path.Combine(place, "usr/sbin/firewalld")) && File.Exists("/usr/bin/dbus-daemon")
            ? new FirewalldRules(Path.GetFullPath(place)) : null;

    public IDisposable Load(NetNamespace host, TrafficPolicy policy)
    {
        DirectoryInfo scratch = ScratchDirectory.Create("firewalld");
        try
        {
            string bus = Path.Combine(scratch.FullName, "bus");
            WriteConfiguration(scratch.FullName, bus, policy);
            using Process messages = Start(host, [],
                "dbus-daemon", $"--config-file={scratch.FullName}/bus.conf", "--nofork");
            try
            {
                Await(() => File.Exists(bus), messages);
                Enforce(host, scratch.FullName, bus);
            }
            finally
            {
                messages.Kill();
                messages.WaitForExit();
            }
        }
        finally
        {
            scratch.Delete(recursive: true);
        }

        return Loaded.Rules;
    }

    private void Enforce(NetNamespace host, string scratch, string bus)
    {
        using Process firewalld = Start(host,
            [$"DBUS_SYSTEM_BUS_ADDRESS=unix:path={bus}", $"PYTHONPATH={directory}/usr/lib/python3/dist-packages"],
            "/usr/bin/python3", "-s", $"{directory}/usr/sbin/firewalld", "--nofork", "--nopid",
            "--system-config", scratch, "--default-config", $"{directory}/usr/lib/firewalld",
            "--log-target", "console");
        try
        {
            Await(() => host.TryExec("nft", "list", "chain", "inet", "firewalld", "filter_FWD_policy_list_allow")
                .Output.Contains(TrafficPolicy.OpenPort.ToString(CultureInfo.InvariantCulture),
                    StringComparison.Ordinal), firewalld);
        }
        finally
        {
            firewalld.Kill(); // it would take its rules along, if it were asked to end
            firewalld.WaitForExit();
        }
    }

    private static void Keep(object sender, DataReceivedEventArgs said) => LastWords =
        string.IsNullOrEmpty(said.Data) ? LastWords : said.Data;

    private static Process Start(NetNamespace host, string[] variables, params string[] command)
    {
        var start = new ProcessStartInfo("ip", ["netns", "exec", host.Name, "env", .. variables, .. command])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Process process = Process.Start(start) ?? throw new InvalidOperationException($"{command[0]} did not start");
        process.OutputDataReceived += Keep;
        process.ErrorDataReceived += Keep;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    private static void Await(Func<bool> condition, Process process)
    {
        for (var clock = Stopwatch.StartNew(); !condition(); Thread.Sleep(100))
        {
            if (process.HasExited || clock.Elapsed > Patience)
            {
                throw new InvalidOperationException($"firewalld or its message bus did not come up: {LastWords}");
            }
        }
    }

    private static void WriteConfiguration(string scratch, string bus, TrafficPolicy policy)
    {
        void Write(string path, string text)
        {
            string whole = Path.Combine(scratch, path);
            Directory.CreateDirectory(Path.GetDirectoryName(whole)!);
            File.WriteAllText(whole, text);
        }

        Write("bus.conf", $"""
            <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
              "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig><type>system</type><listen>unix:path={bus}</listen><auth>EXTERNAL</auth>
              <policy context="default">
                <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
                <allow own="*"/><allow user="*"/>
              </policy>
            </busconfig>
            """);
        Write("firewalld.conf", "DefaultZone=trusted\nFirewallBackend=nftables\nIPv6_rpfilter=no\n");
        Write("zones/receiver.xml", $"""
            <?xml version="1.0" encoding="utf-8"?>
            <zone target="ACCEPT"><interface name="{policy.Receiver.Device}"/></zone>
            """);
        foreach (string group in TrafficPolicy.GroupNames)
        {
            Write($"ipsets/{group}.xml", $"""
                <?xml version="1.0" encoding="utf-8"?>
                <ipset type="hash:ip">
                {string.Join('\n', policy.Members(group).Select(one => $"<entry>{one}</entry>"))}
                </ipset>
                """);
        }

        Write("policies/list.xml", PolicyText(policy));
    }

    private static string PolicyText(TrafficPolicy policy)
    {
        var text = new StringBuilder("""
            <?xml version="1.0" encoding="utf-8"?>
            <policy target="DROP" priority="-1"><ingress-zone name="ANY"/><egress-zone name="receiver"/>

            """);
        foreach (TrafficRule rule in policy.List())
        {
            string remote = rule.Group is string group ? $"ipset=\"{group}\"" : $"address=\"{rule.Prefix}\"";
            text.Append(CultureInfo.InvariantCulture, $"<rule family=\"ipv4\"><source {remote}/>"
                + $"<port port=\"{rule.PortsText('-')}\" protocol=\"{rule.ProtocolName}\"/><accept/></rule>\n");
        }

        return text.Append("</policy>\n").ToString();
    }
}
