using System.Collections.Concurrent;
using System.Diagnostics;

namespace Agent.Fleet.Measuring;

/// <summary>A replica of the controller as a process of its own, which may be killed.</summary>
internal sealed class ControllerProcess : IDisposable
{
    private readonly Process process;
    private readonly ConcurrentQueue<string> said = new();
    private readonly TaskCompletionSource leads = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ControllerProcess(string etcd, string name)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, ["control", "--etcd", etcd, "--name", name])
        {
            RedirectStandardInput = true, // it ends with its parent
            RedirectStandardOutput = true,
        };
        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(
            Path.Combine(Path.GetDirectoryName(typeof(object).Assembly.Location)!, "../../.."));
        process = Process.Start(start) ?? throw new InvalidOperationException("the controller does not start");
        process.OutputDataReceived += (_, line) => Hear(line.Data);
        process.BeginOutputReadLine();
    }

    /// <summary>What it said, line by line.</summary>
    public IReadOnlyCollection<string> Said => said;

    public bool Leads => leads.Task.IsCompleted;

    /// <summary>Ends when it has begun to lead.</summary>
    public Task LeadsAsync(CancellationToken cancel) => leads.Task.WaitAsync(cancel);

    /// <summary>SIGKILL: it says goodbye to nobody.</summary>
    public void Kill()
    {
        process.Kill();
        process.WaitForExit();
    }

    public void Dispose()
    {
        Kill();
        process.Dispose();
    }

    private void Hear(string? line)
    {
        if (line is null)
        {
            return;
        }

        said.Enqueue(line);
        if (line.Contains(" leads, term ", StringComparison.Ordinal))
        {
            leads.TrySetResult();
        }
    }
}
