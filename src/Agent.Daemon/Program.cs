using System.Reflection;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Daemon.Logging;
using Agent.Daemon.Removal;

string version = typeof(Log).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
    ?? "0";
CommandLine command = CommandLine.Parse(args);
if (command.Message is string message)
{
    TextWriter target = command.ExitCode == 0 ? Console.Out : Console.Error;
    target.WriteLine(message.Replace("{version}", version.Split('+')[0], StringComparison.Ordinal));
    return command.ExitCode;
}

ConfigResult read = command.ReadConfig();
if (command.CheckOnly && command.IsJson)
{
    Console.Out.Write(ConfigReport.Json(command.ConfigPath, read));
}
else if (command.CheckOnly || read.Config is null)
{
    (read.Config is null ? Console.Error : Console.Out).Write(ConfigReport.Text(command.ConfigPath, read));
}

if (command.CheckOnly || read.Config is null)
{
    return read.Config is null ? CommandLine.ConfigFaulty : 0;
}

if (command.RemovesRuleset)
{
    DaemonConfig config = read.Config;
    // Also to the journal, where there is one, whoever asked: nothing else that happens to a host matters as much.
    LogTarget target = File.Exists(config.Log.JournalSocket) ? LogTarget.Journal : config.Log.To;
    using EventLog events = LogTargets.Open(config.Log with { To = target }, TimeProvider.System);
    return new RulesetRemoval(config, ConntrackSysctls.Directory, Console.Out, Console.Error)
        .Run(events.CreateLogger(EventLog.Ours));
}

return await AgentHost.RunAsync(read, command.ReadConfig, version.Split('+')[0]);
