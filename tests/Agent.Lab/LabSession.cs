using System.Globalization;
using Agent.TestNet;
using Google.Protobuf;

namespace Agent.Lab;

/// <summary>The lab's namespaces, daemon and files: thrown away at the end, or left open for a person.</summary>
internal sealed class LabSession : IAsyncDisposable
{
    /// <summary>Of an open lab. One is enough: its namespaces have fixed names.</summary>
    private const string OpenDirectory = "/run/sg-lab";
    private const string OpenPrefix = "sglab";

    private readonly bool open;
    private bool left;

    private LabSession(bool open, TestNetwork network, DaemonProcess daemon)
    {
        this.open = open;
        Network = network;
        Daemon = daemon;
    }

    internal TestNetwork Network { get; }

    internal DaemonProcess Daemon { get; }

    internal string PolicyPath => Path.Combine(Daemon.Directory, "policy.json");

    internal static bool IsOpen => Directory.Exists(OpenDirectory);

    /// <param name="open">It stays when we end.</param>
    /// <param name="daemonPath">Null: this tree's build.</param>
    /// <param name="isProtected">The daemon keeps others off its tables, where the kernel can.</param>
    internal static async Task<LabSession> CreateAsync(bool open, string? daemonPath, bool isProtected = true)
    {
        TestNetworkOptions options = new()
        {
            OutsideAddresses = LabPlan.OutsideAddresses,
            StaticNeighbours = false,
            PermanentPrefix = open ? OpenPrefix : null,
        };
        TestNetwork network = TestNetwork.Create(options, LabPlan.Guests);
        try
        {
            DaemonProcess daemon = await DaemonProcess.StartAsync(
                network.Host,
                new DaemonOptions
                {
                    BinaryPath = daemonPath,
                    Directory = open ? OpenDirectory : null,
                    Configure = configuration => configuration["protect_tables"] = isProtected,
                });
            LabSession session = new(open, network, daemon);
            string pid = daemon.ProcessId.ToString(CultureInfo.InvariantCulture);
            File.WriteAllText(Path.Combine(daemon.Directory, "pid"), pid);
            await File.WriteAllTextAsync(session.PolicyPath, PolicyText());
            return session;
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>The real command line tool sends the real file.</summary>
    internal void Apply(string sgctl)
    {
        string[] arguments = ["--socket", Daemon.SocketPath, "apply", PolicyPath];
        Console.WriteLine(LabTable.Bold($"$ sgctl {string.Join(' ', arguments)}"));
        CommandOutcome outcome = SystemCommand.TryRun(sgctl, null, arguments);
        Console.Write(outcome.Output);
        if (outcome.ExitCode != 0)
        {
            throw new InvalidOperationException($"sgctl ended with {outcome.ExitCode}: {outcome.Error}");
        }
    }

    /// <summary>The process ends, the lab stays.</summary>
    internal void Leave()
    {
        left = true;
        Daemon.Abandon();
        Network.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        if (left)
        {
            return;
        }

        try
        {
            if (Daemon.IsRunning)
            {
                await Daemon.StopAsync();
            }
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine("sg-agentd did not stop in time and was killed");
        }
        finally
        {
            await Daemon.DisposeAsync(); // kills what still runs
            Network.Dispose();
            if (open)
            {
                Remove();
            }
        }
    }

    /// <summary>Removes what an open lab left, all of it or what there is. True if there was anything.</summary>
    internal static bool Remove()
    {
        bool found = IsOpen;
        string pidFile = Path.Combine(OpenDirectory, "pid");
        if (File.Exists(pidFile))
        {
            StopDaemon(File.ReadAllText(pidFile).Trim());
        }

        if (Directory.Exists("/run/netns"))
        {
            foreach (string path in Directory.EnumerateFiles("/run/netns", $"{OpenPrefix}-*"))
            {
                found = true;
                SystemCommand.TryRun("ip", null, "netns", "del", Path.GetFileName(path));
            }
        }

        if (IsOpen)
        {
            Directory.Delete(OpenDirectory, recursive: true);
        }

        return found;
    }

    /// <summary>
    /// A number in a file may be somebody else's by now: only a daemon with the lab's configuration is ended.
    /// </summary>
    private static void StopDaemon(string pid)
    {
        string commandLine = $"/proc/{pid}/cmdline";
        if (File.Exists(commandLine) && File.ReadAllText(commandLine).Contains(OpenDirectory, StringComparison.Ordinal))
        {
            SystemCommand.TryRun("kill", null, "-TERM", pid);
            SpinWait.SpinUntil(() => !File.Exists(commandLine), TimeSpan.FromSeconds(10));
            SystemCommand.TryRun("kill", null, "-KILL", pid);
        }
    }

    private static string PolicyText()
    {
        JsonFormatter.Settings settings =
            JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true).WithIndentation();
        return new JsonFormatter(settings).Format(LabPlan.Policy) + "\n";
    }
}
