using Agent.Cli.Output;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Tests.Cli;

public sealed class ConfigTextTests
{
    [Fact]
    public void Each_setting_says_where_it_is_from_and_what_waits_is_told_apart()
    {
        var config = new EffectiveConfig
        {
            ReadAt = Timestamp.FromDateTimeOffset(new DateTimeOffset(2026, 11, 30, 6, 0, 0, TimeSpan.Zero)),
            Settings =
            {
                new Setting { Key = "log.level", Value = "info", Source = SettingSource.Default },
                new Setting
                {
                    Key = "table", Value = "sg_agent", Source = SettingSource.File, Origin = "/etc/sg-agent/config.json",
                    RestartNeeded = true, PendingValue = "other",
                },
                new Setting
                {
                    Key = "verify", Value = "off", Source = SettingSource.Environment,
                    Origin = "environment SG_AGENTD_VERIFY",
                },
            },
            Faults = { "f.json: x: no such setting (InvalidConfig). Remove it." },
        };
        var text = new StringWriter { NewLine = "\n" };
        ConfigText.Print(new Screen(text, width: null, color: false), config);
        Assert.Equal(
            """
            settings read 2026-11-30 06:00:00 UTC
            setting    value     from
            log.level  info      default
            table      sg_agent  /etc/sg-agent/config.json
            verify     off       environment SG_AGENTD_VERIFY

            after a restart (systemctl restart sg-agentd)
            setting  value
            table    other
            not reloaded: f.json: x: no such setting (InvalidConfig). Remove it.

            """, text.ToString());
    }
}
