using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Daemon.Removal;

namespace Agent.Tests.Daemon;

/// <summary>Settings of zones, sessions and sysctls.</summary>
public sealed class ConntrackSettingsTests
{
    [Fact]
    public void Zones_and_limits_are_settings()
    {
        DaemonConfig config = ConfigReader.Read(
            """{ "conntrack": { "zone_first": 7, "zone_last": 9, "manage_sysctls": false, "accounting": true },"""
            + """ "sessions": { "max_per_vnic": 0, "compared": 100 } }""",
            []).Config!;
        Assert.Equal(
            (7, 9, 0),
            (config.Compiler.ZoneFirst, config.Compiler.ZoneLast, config.Compiler.MaxSessionsPerVnic));
        Assert.Equal((false, true, 100), (config.ManageSysctls, config.Accounting, config.ComparedSessions));
        DaemonConfig defaults = ConfigReader.Read("", []).Config!;
        Assert.Equal(
            (0x8000, 0xffff, 16_384),
            (defaults.Compiler.ZoneFirst, defaults.Compiler.ZoneLast, defaults.Compiler.MaxSessionsPerVnic));
        Assert.Equal((true, false, 50_000), (defaults.ManageSysctls, defaults.Accounting, defaults.ComparedSessions));
    }

    [Theory]
    [InlineData("conntrack.zone_first=0", "conntrack.zone_first")]
    [InlineData("conntrack.zone_last=65536", "conntrack.zone_last")]
    [InlineData("conntrack.zone_last=100", "conntrack.zone_last")]
    [InlineData("sessions.max_per_vnic=-1", "sessions.max_per_vnic")]
    [InlineData("sessions.max_per_vnic=4194305", "sessions.max_per_vnic")]
    [InlineData("sessions.max=1", "sessions.max")]
    [InlineData("sessions.compared=99", "sessions.compared")]
    public void Bad_settings_are_faults(string setting, string path) =>
        Assert.Equal(path, Assert.Single(ConfigReader.Read("", [setting]).Faults).Path);

    [Fact]
    public void Sysctls_are_lowered_never_raised_and_only_where_the_kernel_has_no_object()
    {
        string directory = Directory.CreateTempSubdirectory("sgt-").FullName;
        try
        {
            Put("generic_timeout", 600);
            Put("sctp_timeout_established", 10);
            Put("gre_timeout", 180);
            Put("tcp_timeout_established", 432_000);
            var noted = new List<(string Name, ChangedSysctl Changed)>();
            void Note(string name, ChangedSysctl changed)
            {
                // Before it is done: a crash in between must not lose what was there.
                Assert.Equal($"{changed.Found}\n", File.ReadAllText(Path.Combine(directory, name)));
                noted.Add((name, changed));
            }

            Assert.Empty(ConntrackSysctls.Apply(directory, manage: true, SessionTimes.Protocols, Note));
            Assert.Equal(["30", "10", "180", "432000"], Values());
            Assert.Empty(ConntrackSysctls.Apply(directory, manage: true, [], Note));
            Assert.Equal(["30", "10", "30", "432000"], Values());
            Assert.Equal(
                [
                    ("nf_conntrack_generic_timeout", new ChangedSysctl(600, 30)),
                    ("nf_conntrack_gre_timeout", new ChangedSysctl(180, 30)),
                ],
                noted);

            Put("gre_timeout", 29); // somebody else's
            Assert.Equal((true, null), ConntrackSysctls.Restore(directory, noted[0].Name, noted[0].Changed));
            Assert.Equal((false, null), ConntrackSysctls.Restore(directory, noted[1].Name, noted[1].Changed));
            Assert.Equal(["600", "10", "29", "432000"], Values());
            string alarm = Assert.Single(ConntrackSysctls.Apply(directory, manage: false, [], Note));
            Assert.Equal(2, noted.Count);
            Assert.Contains("nf_conntrack_generic_timeout", alarm, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        void Put(string name, int value) =>
            File.WriteAllText(Path.Combine(directory, "nf_conntrack_" + name), $"{value}\n");

        string[] Values() => [
            .. ((string[])["generic_timeout", "sctp_timeout_established", "gre_timeout", "tcp_timeout_established"])
            .Select(name => File.ReadAllText(Path.Combine(directory, "nf_conntrack_" + name)).Trim())];
    }

    [Fact]
    public void Accounting_is_turned_on_where_it_is_off_and_what_cannot_be_is_said()
    {
        string directory = Directory.CreateTempSubdirectory("sgt-").FullName;
        try
        {
            (string counts, string times) = (At("acct"), At("timestamp"));
            File.WriteAllText(counts, "0\n");
            File.WriteAllText(times, "2\n");
            Assert.False(ConntrackSysctls.IsCounting(directory));
            Assert.Empty(ConntrackSysctls.Account(directory, (_, _) => { }));
            Assert.Equal(("1", "2\n"), (File.ReadAllText(counts), File.ReadAllText(times)));
            Assert.True(ConntrackSysctls.IsCounting(directory));

            File.Delete(times);
            Directory.CreateDirectory(times);
            string alarm = Assert.Single(ConntrackSysctls.Account(directory, (_, _) => { }));
            Assert.StartsWith("conntrack.accounting: nf_conntrack_timestamp cannot", alarm, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        string At(string name) => Path.Combine(directory, "nf_conntrack_" + name);
    }
}
