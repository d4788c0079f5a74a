using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>What the agent runs with, for people.</summary>
internal static class ConfigText
{
    public static void Print(Screen screen, EffectiveConfig config)
    {
        screen.Line(("settings", Screen.Strong), ($" read {Count.Moment(config.ReadAt)}", Screen.Plain));
        screen.Table(["setting", "value", "from"], [.. config.Settings.Select(setting => new Cell[]
        {
            setting.Key,
            new(setting.Value, setting.Source == SettingSource.Default ? Screen.Dim : Screen.Plain),
            new(From(setting), setting.Source == SettingSource.Default ? Screen.Dim : Screen.Plain),
        })]);
        Setting[] waiting = [.. config.Settings.Where(setting => setting.RestartNeeded)];
        if (waiting.Length > 0)
        {
            screen.Line();
            screen.Line(("after a restart (systemctl restart sg-agentd)", Screen.Warning));
            screen.Table(["setting", "value"], [.. waiting.Select(setting => new Cell[]
            {
                setting.Key, setting.PendingValue,
            })]);
        }

        foreach (string fault in config.Faults)
        {
            screen.Line(("not reloaded: ", Screen.Bad), (fault, Screen.Plain));
        }
    }

    private static string From(Setting setting) =>
        setting.Source == SettingSource.Default ? "default" : setting.Origin;
}
