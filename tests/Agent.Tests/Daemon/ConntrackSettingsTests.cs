using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;

namespace Agent.Tests.Daemon;

/// <summary>Settings of zones, sessions and sysctls.</summary>
public sealed class ConntrackSettingsTests
{
    [Fact]
    public void Zones_and_limits_are_settings()
    {
        DaemonConfig config = ConfigReader.Read(
            """{ "conntrack": { "zone_first": 7, "zone_last": 9, "manage_sysctls": false },"""
            + """ "sessions": { "max_per_vnic": 0 } }""",
            []).Config!;
        Assert.Equal(
            (7, 9, 0),
            (config.Compiler.ZoneFirst, config.Compiler.ZoneLast, config.Compiler.MaxSessionsPerVnic));
        Assert.False(config.ManageSysctls);
        DaemonConfig defaults = ConfigReader.Read("", []).Config!;
        Assert.Equal(
            (0x8000, 0xffff, 16_384),
            (defaults.Compiler.ZoneFirst, defaults.Compiler.ZoneLast, defaults.Compiler.MaxSessionsPerVnic));
        Assert.True(defaults.ManageSysctls);
    }

    [Theory]
    [InlineData("conntrack.zone_first=0", "conntrack.zone_first")]
    [InlineData("conntrack.zone_last=65536", "conntrack.zone_last")]
    [InlineData("conntrack.zone_last=100", "conntrack.zone_last")]
    [InlineData("sessions.max_per_vnic=-1", "sessions.max_per_vnic")]
    [InlineData("sessions.max_per_vnic=4194305", "sessions.max_per_vnic")]
    [InlineData("sessions.max=1", "sessions.max")]
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
            Assert.Empty(ConntrackSysctls.Apply(directory, manage: true, SessionTimes.Protocols));
            Assert.Equal(["30", "10", "180", "432000"], Values());
            Assert.Empty(ConntrackSysctls.Apply(directory, manage: true, []));
            Assert.Equal(["30", "10", "30", "432000"], Values());
            Put("generic_timeout", 600);
            string alarm = Assert.Single(ConntrackSysctls.Apply(directory, manage: false, []));
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
}
