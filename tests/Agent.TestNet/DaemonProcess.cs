using System.ComponentModel;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;
using Grpc.Net.Client;

namespace Agent.TestNet;

public sealed record DaemonOptions
{
    /// <summary>Null: <c>SG_AGENTD</c> of the environment, otherwise what this tree has built.</summary>
    public string? BinaryPath { get; init; }

    public IReadOnlyList<string> ManagedInterfaces { get; init; } = ["tap*", "vnet*"];

    public int MetricsPort { get; init; } = 9477;

    /// <summary>Null: a temporary directory that goes with the object.</summary>
    public string? Directory { get; init; }

    /// <summary>
    /// Puts the state on a file system of this size, seen by the daemon only and gone with it. Null: a plain directory.
    /// </summary>
    public int? StateSizeKiB { get; init; }

    /// <summary>Likewise other directories, with tmpfs' options: "size=64k,ro".</summary>
    public IReadOnlyDictionary<string, string> Disks { get; init; } = new Dictionary<string, string>();

    /// <summary>Last word on the configuration before it is written.</summary>
    public Action<JsonObject>? Configure { get; init; }

    /// <summary>Variables beside those that the tests have.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>A listening socket that is handed over as systemd does; it stays ours.</summary>
    public Socket? Listener { get; init; }

    /// <summary>A program that becomes the daemon, with its arguments: setpriv and what it is to take away.</summary>
    public string Wrapper { get; init; } = "";

    /// <summary>Whom its files belong to; null: whoever runs the tests.</summary>
    public int? Owner { get; init; }

    public TimeSpan ReadyTimeout { get; init; } = Pace.Scaled(TimeSpan.FromSeconds(20));
}

/// <summary>The real daemon in a host namespace, with a configuration, state and socket of its own.</summary>
public sealed class DaemonProcess : IAsyncDisposable
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(20);
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly NetNamespace host;
    private readonly DaemonOptions options;
    private readonly HttpClient metrics;
    private bool servesMetrics;
    private Process? process;

    private DaemonProcess(NetNamespace host, DaemonOptions options)
    {
        this.host = host;
        this.options = options;
        Binary = options.BinaryPath ?? BuiltProgram.Find("SG_AGENTD", "Agent.Daemon", "sg-agentd");
        Directory = options.Directory
            ?? ScratchDirectory.Create().FullName;
        System.IO.Directory.CreateDirectory(StateDirectory);
        metrics = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancelled) => await host.ConnectAsync(options.MetricsPort, cancelled),
        });
        Channel = OpenChannel(SocketPath);
    }

    /// <summary>The program; another one from the next start on.</summary>
    public string Binary { get; set; }

    public string Directory { get; }

    public string StateDirectory => Path.Combine(Directory, "state");

    /// <summary>The listener's, where one is handed over.</summary>
    public string SocketPath => options.Listener?.LocalEndPoint?.ToString() ?? Path.Combine(Directory, "agent.sock");

    public string ConfigurationPath => Path.Combine(Directory, "sg-agentd.json");

    public string LogPath => Path.Combine(Directory, "sg-agentd.log");

    /// <summary>Of 127.0.0.1 in the daemon's namespace.</summary>
    public int MetricsPort => options.MetricsPort;

    /// <summary>Everything the daemon has said, over all of its starts.</summary>
    public string Log => File.Exists(LogPath) ? File.ReadAllText(LogPath) : "";

    /// <summary>Survives restarts: it connects anew.</summary>
    public GrpcChannel Channel { get; }

    public int ProcessId => process?.Id ?? throw new InvalidOperationException("the daemon is not running");

    public bool IsRunning => process is { HasExited: false };

    /// <summary>Writes the configuration, starts the daemon, and returns when its socket and metrics accept.</summary>
    public static async Task<DaemonProcess> StartAsync(NetNamespace host, DaemonOptions? options = null)
    {
        DaemonProcess daemon = new(host, options ?? new DaemonOptions());
        try
        {
            daemon.WriteConfiguration();
            if (daemon.options.Owner is { } owner)
            {
                SystemCommand.Run("chown", "-R", $"{owner}:{owner}", daemon.Directory);
            }

            await daemon.LaunchAsync();
            return daemon;
        }
        catch
        {
            await daemon.DisposeAsync();
            throw;
        }
    }

    /// <summary>A channel over a unix socket.</summary>
    public static GrpcChannel OpenChannel(string socketPath)
    {
        SocketsHttpHandler handler = new()
        {
            ConnectCallback = async (_, cancelled) =>
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancelled);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        };
        return GrpcChannel.ForAddress("http://localhost", new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = null,
            MaxSendMessageSize = null,
            InitialReconnectBackoff = TimeSpan.FromMilliseconds(20),
            MaxReconnectBackoff = TimeSpan.FromMilliseconds(200),
        });
    }

    /// <summary>Starts it again, after a stop or a kill, on the same state, and waits until it is ready.</summary>
    public async Task LaunchAsync()
    {
        Launch();
        await WaitUntilReadyAsync();
    }

    /// <summary>Likewise, and waits for nothing.</summary>
    public void Launch()
    {
        if (IsRunning)
        {
            throw new InvalidOperationException("the daemon is running");
        }

        process?.Dispose();
        if (options.Listener is null)
        {
            File.Delete(SocketPath);
        }

        ProcessStartInfo start = new("sh");
        // A session of its own: Ctrl-C is for us, and we stop it in order. Each exec keeps the process id.
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(
            $"exec {HeedingHangUp()} setsid"
                + """ ip netns exec "$1" bash -c "$5" "$2" --config "$3" >>"$4" 2>&1 </dev/null""");
        // ip netns exec gives its child a mount namespace of its own.
        IEnumerable<KeyValuePair<string, string>> disks = options.StateSizeKiB is { } size
            ? options.Disks.Append(new(StateDirectory, $"size={size}k")) : options.Disks;
        string inside = string.Concat(disks.Select(disk => $"mount -t tmpfs -o {disk.Value} sgt {disk.Key} && "))
            + Handing(options.Listener) + $"""exec {options.Wrapper} "$0" "$@" """;
        foreach (string argument in (string[])["sh", host.Name, Binary, ConfigurationPath, LogPath, inside])
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(
            Path.Combine(Path.GetDirectoryName(typeof(object).Assembly.Location)!, "../../.."));
        // It lives for seconds: profiling itself would be most of what it does.
        start.Environment["DOTNET_TieredPGO"] = "0";
        foreach ((string name, string value) in options.Environment)
        {
            start.Environment[name] = value;
        }

        LinuxCalls.SetInherited(options.Listener, inherited: true);
        process = Process.Start(start) ?? throw new InvalidOperationException("the daemon did not start");
        LinuxCalls.SetInherited(options.Listener, inherited: false);
    }

    /// <summary>SIGHUP.</summary>
    public void HangUp() => LinuxCalls.Require(LinuxCalls.Kill(ProcessId, LinuxCalls.SignalHangUp), "kill");

    // Under nohup a process and all that it starts do not get it.
    private static string HeedingHangUp()
    {
        string ignored = File.ReadLines("/proc/self/status")
            .First(line => line.StartsWith("SigIgn:", StringComparison.Ordinal));
        return (Convert.ToUInt64(ignored[^16..], 16) & 1) == 0 ? "" : "env --default-signal=HUP";
    }

    // sd_listen_fds(3): from 3 on, for the process that it is; each exec keeps its number.
    private static string Handing(Socket? listener) => listener is null ? ""
        : $"exec 3<&{(int)listener.Handle} && export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=grpc && ";

    /// <summary>Runs a program where the daemon is: its mounts, its network.</summary>
    public CommandOutcome ExecInside(params string[] command) => SystemCommand.TryRun(
        "nsenter", null, ["-t", $"{ProcessId}", "-m", "-n", "--", .. command]);

    /// <summary>SIGTERM, and its end. Returns the exit code.</summary>
    public Task<int> StopAsync() => EndAsync(LinuxCalls.SignalTerminate);

    /// <summary>SIGKILL: no last word.</summary>
    public Task<int> KillAsync() => EndAsync(LinuxCalls.SignalKill);

    public async Task RestartAsync()
    {
        await StopAsync();
        await LaunchAsync();
    }

    /// <summary>The lines of /metrics that carry a value.</summary>
    public async Task<IReadOnlyList<string>> ReadMetricsAsync() =>
        [.. (await ReadPageAsync()).Split('\n').Where(l => l.Length > 0 && l[0] != '#')];

    /// <summary>/metrics, as it comes.</summary>
    public Task<string> ReadPageAsync() =>
        metrics.GetStringAsync(new Uri($"http://127.0.0.1:{options.MetricsPort}/metrics"));

    /// <summary>Leaves the daemon running on its own.</summary>
    public void Abandon()
    {
        Channel.Dispose();
        metrics.Dispose();
        process?.Dispose();
        process = null;
    }

    public async ValueTask DisposeAsync()
    {
        Channel.Dispose();
        metrics.Dispose();
        if (IsRunning)
        {
            await KillAsync();
        }

        process?.Dispose();
        if (options.Directory is null)
        {
            System.IO.Directory.Delete(Directory, recursive: true);
        }
    }

    private void WriteConfiguration()
    {
        JsonObject configuration = new()
        {
            ["state_directory"] = StateDirectory,
            ["grpc"] = new JsonObject { ["socket"] = SocketPath },
            ["metrics"] = new JsonObject { ["listen"] = $"127.0.0.1:{options.MetricsPort}" },
            ["managed_interfaces"] = new JsonArray([.. options.ManagedInterfaces.Select(i => JsonValue.Create(i))]),
        };
        options.Configure?.Invoke(configuration);
        servesMetrics = (string?)configuration["metrics"]?["listen"] == $"127.0.0.1:{options.MetricsPort}";
        File.WriteAllText(ConfigurationPath, configuration.ToJsonString(Indented));
    }

    // The socket is bound first, so a page that is asked for at once might come too early.
    private async Task WaitUntilReadyAsync()
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (true)
        {
            if (!IsRunning)
            {
                throw new InvalidOperationException($"sg-agentd ended with {process!.ExitCode}:\n{Log}");
            }

            try
            {
                using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath));
                if (servesMetrics)
                {
                    await using Stream page = await host.ConnectAsync(options.MetricsPort);
                }

                return;
            }
            catch (SocketException) when (waited.Elapsed < options.ReadyTimeout)
            {
                await Task.Delay(PollInterval);
            }
            catch (SocketException)
            {
                throw new TimeoutException(
                    $"sg-agentd opened not all of its sockets in {options.ReadyTimeout}:\n{Log}");
            }
        }
    }

    private async Task<int> EndAsync(int signal)
    {
        Process running = process ?? throw new InvalidOperationException("the daemon was not started");
        if (!running.HasExited)
        {
            if (LinuxCalls.Kill(running.Id, signal) < 0)
            {
                throw new Win32Exception();
            }

            using CancellationTokenSource limit = new(options.ReadyTimeout);
            await running.WaitForExitAsync(limit.Token);
        }

        return running.ExitCode;
    }
}
