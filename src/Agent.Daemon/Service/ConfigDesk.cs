using Agent.Daemon.Config;
using Agent.Daemon.Supervision;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Daemon.Service;

/// <summary>What the daemon runs with, for its own calls and for people. Keys and certificates are named, never shown.
/// </summary>
/// <param name="current">What is in force.</param>
internal sealed class ConfigDesk(Func<Daemon.Config.EffectiveConfig> current)
{
    public ConfigDesk(Reloading reloading) : this(() => reloading.Current)
    {
    }

    public DaemonConfig Config => current().Config;

    public V1.EffectiveConfig Report()
    {
        Daemon.Config.EffectiveConfig config = current();
        var report = new V1.EffectiveConfig { ReadAt = config.ReadAt.ToTimestamp() };
        report.Faults.AddRange(config.Faults.Select(fault => fault.ToString()));
        report.Settings.AddRange(config.Settings.Select(setting => new V1.Setting
        {
            Key = setting.Key,
            Value = setting.Value,
            Source = setting.Source switch
            {
                Daemon.Config.SettingSource.Default => V1.SettingSource.Default,
                Daemon.Config.SettingSource.File => V1.SettingSource.File,
                Daemon.Config.SettingSource.Environment => V1.SettingSource.Environment,
                Daemon.Config.SettingSource.Flag => V1.SettingSource.Flag,
                _ => throw new System.Diagnostics.UnreachableException(),
            },
            Origin = setting.Origin,
            Reloadable = RuntimeSettings.Has(setting.Key),
            RestartNeeded = config.Pending.ContainsKey(setting.Key),
            PendingValue = config.Pending.GetValueOrDefault(setting.Key)?.Value ?? "",
        }));
        return report;
    }
}
