using System.Reflection;
using Agent.Daemon;
using Agent.Daemon.Config;

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
if (read.Config is not DaemonConfig config)
{
    foreach (Agent.Policy.PolicyFault fault in read.Faults)
    {
        Console.Error.WriteLine($"{command.ConfigPath}: {fault}");
    }

    return CommandLine.ConfigFaulty;
}

if (command.CheckOnly)
{
    Console.WriteLine($"{command.ConfigPath}: no fault");
    return 0;
}

return await AgentHost.RunAsync(config, version.Split('+')[0]);
