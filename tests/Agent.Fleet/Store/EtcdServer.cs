using System.Diagnostics;
using Agent.TestNet;
using Grpc.Core;

namespace Agent.Fleet.Store;

/// <summary>A real etcd of one member, which listens on a Unix socket in a directory of its own.</summary>
internal sealed class EtcdServer : IDisposable
{
    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(60));

    private readonly DirectoryInfo files = ScratchDirectory.Create("etcd");
    private readonly Process process;

    private EtcdServer()
    {
        // etcd takes Unix sockets as host:port, relative to where it runs.
        var start = new ProcessStartInfo(Program())
        {
            WorkingDirectory = files.FullName,
            ArgumentList =
            {
                "--data-dir", "data",
                "--listen-client-urls", "unix://etcd:1", "--advertise-client-urls", "unix://etcd:1",
                "--listen-peer-urls", "unix://peer:1", "--initial-advertise-peer-urls", "unix://peer:1",
                "--initial-cluster", "default=unix://peer:1", "--logger", "zap", "--log-level", "error",
                "--quota-backend-bytes", "4294967296",
            },
            RedirectStandardError = true,
        };
        process = Process.Start(start) ?? throw new InvalidOperationException("etcd does not start");
        process.ErrorDataReceived += (_, _) => { };
        process.BeginErrorReadLine();
    }

    public string Socket => Path.Combine(files.FullName, "etcd:1");

    /// <exception cref="FileNotFoundException">There is no such program.</exception>
    /// <exception cref="TimeoutException">It does not answer.</exception>
    public static async Task<EtcdServer> StartAsync(CancellationToken cancel)
    {
        var server = new EtcdServer();
        try
        {
            using var store = new EtcdStore(server.Socket);
            Stopwatch waited = Stopwatch.StartNew();
            while (true)
            {
                try
                {
                    await store.ListAsync("/", cancel);
                    return server;
                }
                catch (RpcException e) when (e.StatusCode == StatusCode.Unavailable && waited.Elapsed < Patience)
                {
                    await Task.Delay(50, cancel);
                }
            }
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        process.Kill();
        process.WaitForExit();
        process.Dispose();
        files.Delete(recursive: true);
    }

    private static string Program()
    {
        string unpacked = Path.Combine(BuiltProgram.RepositoryRoot(), ".cache/etcd/usr/bin/etcd");
        return Environment.GetEnvironmentVariable("ETCD") is { Length: > 0 } named ? named
            : File.Exists(unpacked) ? unpacked : "/usr/bin/etcd";
    }
}
