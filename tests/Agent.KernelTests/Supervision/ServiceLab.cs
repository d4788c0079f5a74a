using System.Net.Sockets;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Supervision;

/// <summary>A daemon that is run as systemd runs it: a notify socket, a watchdog, perhaps a listening socket.</summary>
internal sealed class ServiceLab : IAsyncDisposable
{
    private readonly DirectoryInfo folder;

    private ServiceLab(DirectoryInfo folder, NotifySocket manager, DaemonLab lab, Socket? listener)
    {
        this.folder = folder;
        (Manager, Lab, Listener) = (manager, lab, listener);
    }

    public NotifySocket Manager { get; }

    public DaemonLab Lab { get; }

    public Socket? Listener { get; }

    public string SocketPath => Path.Combine(folder.FullName, "activated.sock");

    /// <param name="watchdog">WatchdogSec=; null: none.</param>
    /// <param name="activated">The socket is open before the daemon is.</param>
    /// <param name="configure">Last word on the configuration.</param>
    /// <param name="binary">Another daemon.</param>
    public static async Task<ServiceLab> StartAsync(
        TimeSpan? watchdog = null, bool activated = false, Action<JsonObject>? configure = null, string? binary = null)
    {
        DirectoryInfo folder = ScratchDirectory.Create("service");
        NotifySocket manager = new(Path.Combine(folder.FullName, "notify"));
        Socket? listener = activated ? Listen(Path.Combine(folder.FullName, "activated.sock")) : null;
        try
        {
            var environment = new Dictionary<string, string> { ["NOTIFY_SOCKET"] = manager.Path };
            if (watchdog is { } time)
            {
                environment["WATCHDOG_USEC"] = $"{(long)time.TotalMicroseconds}";
            }

            DaemonLab lab = await DaemonLab.StartAsync(
                configure,
                binary: binary,
                adapt: options => options with { Environment = environment, Listener = listener });
            return new ServiceLab(folder, manager, lab, listener);
        }
        catch
        {
            listener?.Dispose();
            manager.Dispose();
            folder.Delete(recursive: true);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Lab.DisposeAsync();
        Listener?.Dispose();
        Manager.Dispose();
        folder.Delete(recursive: true);
    }

    // As sg-agentd.socket has it: nobody but the owner, until the daemon says otherwise.
    private static Socket Listen(string path)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        socket.Listen(64);
        return socket;
    }
}
