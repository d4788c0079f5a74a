using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;

namespace Agent.TestNet;

/// <summary>A named network namespace of our own, and a thread that lives in it.</summary>
/// <remarks>
/// A socket stays in the namespace in which it was opened, so that any thread may use it afterwards: probes need no
/// child process. Only the namespace's own thread ever calls setns(2); threads of the pool never change.
/// </remarks>
public sealed class NetNamespace : IDisposable
{
    private static readonly ConcurrentDictionary<string, NetNamespace> Live = new();
    private static int sequence;

    private readonly BlockingCollection<Action> work = [];
    private readonly Thread thread;
    private bool disposed;

    static NetNamespace()
    {
        RemoveStale();
        AppDomain.CurrentDomain.ProcessExit += (_, _) => RemoveLive();
    }

    private NetNamespace(string name)
    {
        Name = name;
        thread = new Thread(Serve) { IsBackground = true, Name = name };
        using ManualResetEventSlim entered = new();
        Exception? failure = null;
        work.Add(() => Enter(ref failure, entered));
        thread.Start();
        entered.Wait();
        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    public string Name { get; }

    /// <summary>
    /// A new namespace <c>sgt-PID-N-label</c>; it ends with the object, and at the latest with the process.
    /// </summary>
    public static NetNamespace Create(string label)
    {
        string name = string.Create(
            CultureInfo.InvariantCulture, $"sgt-{Environment.ProcessId}-{Interlocked.Increment(ref sequence)}-{label}");
        return CreateNamed(name, removeAtExit: true);
    }

    /// <summary>A namespace of exactly this name, which may outlive the process (a lab that stays open).</summary>
    public static NetNamespace CreateNamed(string name, bool removeAtExit)
    {
        SystemCommand.Run("ip", "netns", "add", name);
        try
        {
            NetNamespace created = new(name);
            if (removeAtExit)
            {
                Live[name] = created;
            }

            SystemCommand.Run("ip", "-n", name, "link", "set", "lo", "up");
            return created;
        }
        catch
        {
            SystemCommand.TryRun("ip", null, "netns", "del", name);
            throw;
        }
    }

    /// <summary>Runs on the namespace's thread and hands back the result or the exception.</summary>
    public T Run<T>(Func<T> function)
    {
        ArgumentNullException.ThrowIfNull(function);
        TaskCompletionSource<T> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        work.Add(() =>
        {
            try
            {
                done.SetResult(function());
            }
            catch (Exception failure)
            {
                done.SetException(failure);
            }
        });
        return done.Task.GetAwaiter().GetResult();
    }

    public void Run(Action action)
    {
        ArgumentNullException.ThrowIfNull(action);
        Run(() =>
        {
            action();
            return true;
        });
    }

    public Socket OpenSocket(AddressFamily family, SocketType type, ProtocolType protocol) =>
        Run(() => new Socket(family, type, protocol));

    /// <summary>A TCP connection to a port of this namespace's loopback address.</summary>
    /// <exception cref="SocketException">Nobody listens.</exception>
    public async Task<Stream> ConnectAsync(int port, CancellationToken cancelled = default)
    {
        Socket socket = OpenSocket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port), cancelled);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Writes below /proc/sys; the kernel shows the values of the calling thread's namespace.</summary>
    public void SetSysctl(string path, string value) =>
        Run(() => File.WriteAllText(Path.Combine("/proc/sys", path), value));

    public string ReadSysctl(string path) => Run(() => File.ReadAllText(Path.Combine("/proc/sys", path)).Trim());

    /// <summary>Runs the lines of an <c>ip -batch</c> script in here.</summary>
    public void IpBatch(IEnumerable<string> lines) =>
        SystemCommand.RunWithInput("ip", string.Join('\n', lines) + "\n", "-n", Name, "-batch", "-");

    /// <summary>Runs an nft script in here.</summary>
    public void Nft(string script) =>
        SystemCommand.RunWithInput("ip", script, "netns", "exec", Name, "nft", "-f", "-");

    /// <summary>Runs any program in here and returns what it prints.</summary>
    public string Exec(string program, params string[] arguments) =>
        SystemCommand.Run("ip", ["netns", "exec", Name, program, .. arguments]);

    /// <summary>Runs any program in here; its failure is a result.</summary>
    public CommandOutcome TryExec(string program, params string[] arguments) =>
        SystemCommand.TryRun("ip", null, ["netns", "exec", Name, program, .. arguments]);

    public void Dispose()
    {
        if (disposed)
        {
            return;
        }

        disposed = true;
        work.CompleteAdding();
        thread.Join();
        work.Dispose();
        // A second Ctrl-C may end ip itself; then the process's end tries again.
        if (SystemCommand.TryRun("ip", null, "netns", "del", Name).ExitCode == 0)
        {
            Live.TryRemove(Name, out _);
        }
    }

    /// <summary>Ends our thread, but leaves the namespace to whoever comes next.</summary>
    public void Abandon()
    {
        if (!disposed)
        {
            disposed = true;
            Live.TryRemove(Name, out _);
            work.CompleteAdding();
            thread.Join();
            work.Dispose();
        }
    }

    private void Enter(ref Exception? failure, ManualResetEventSlim entered)
    {
        try
        {
            int descriptor = LinuxCalls.Require(LinuxCalls.Open($"/run/netns/{Name}", LinuxCalls.CloseOnExec), "open");
            try
            {
                LinuxCalls.Require(LinuxCalls.SetNamespace(descriptor, LinuxCalls.CloneNewNet), "setns");
            }
            finally
            {
                _ = LinuxCalls.Close(descriptor);
            }
        }
        catch (Exception error)
        {
            failure = error;
        }
        finally
        {
            entered.Set();
        }
    }

    private void Serve()
    {
        foreach (Action action in work.GetConsumingEnumerable())
        {
            action();
        }
    }

    private static void RemoveLive()
    {
        foreach (string name in Live.Keys)
        {
            SystemCommand.TryRun("ip", null, "netns", "del", name);
        }
    }

    /// <summary>
    /// A run that was killed left its namespaces, the daemon in one of them, and its files behind: those of processes
    /// that are gone are removed.
    /// </summary>
    private static void RemoveStale()
    {
        if (Directory.Exists("/run/netns"))
        {
            foreach (string path in Directory.EnumerateFiles("/run/netns", "sgt-*").Where(IsStale))
            {
                string name = Path.GetFileName(path);
                foreach (string pid in SystemCommand.TryRun("ip", null, "netns", "pids", name).Output
                    .Split('\n', StringSplitOptions.RemoveEmptyEntries))
                {
                    _ = LinuxCalls.Kill(int.Parse(pid, CultureInfo.InvariantCulture), LinuxCalls.SignalKill);
                }

                SystemCommand.TryRun("ip", null, "netns", "del", name);
            }
        }

        foreach (string path in Directory.EnumerateDirectories(Path.GetTempPath(), "sgt-*-*").Where(IsStale))
        {
            Directory.Delete(path, recursive: true);
        }
    }

    /// <summary>"sgt-PID-..." of a process that is gone.</summary>
    private static bool IsStale(string path) => !Directory.Exists($"/proc/{Path.GetFileName(path).Split('-')[1]}");
}
