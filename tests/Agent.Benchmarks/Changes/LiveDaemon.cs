using System.Diagnostics;
using System.Globalization;
using Agent.Nftables;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.Benchmarks.Changes;

/// <summary>What one answer said, and how long it took.</summary>
/// <param name="Milliseconds">From the call to its answer.</param>
/// <param name="Accepted">The answer.</param>
internal sealed record Answer(double Milliseconds, Accepted Accepted)
{
    public double Validate => Accepted.Timings.Validate?.ToTimeSpan().TotalMilliseconds ?? 0;

    public double Persist => Accepted.Timings.Persist?.ToTimeSpan().TotalMilliseconds ?? 0;

    public double Verify => Accepted.Timings.Verify?.ToTimeSpan().TotalMilliseconds ?? 0;

    public double Compile => Accepted.Timings.Compile.ToTimeSpan().TotalMilliseconds;

    public double Prove => Accepted.Timings.Prove?.ToTimeSpan().TotalMilliseconds ?? 0;

    public double Commit => Accepted.Timings.Commit.ToTimeSpan().TotalMilliseconds;
}

/// <summary>The real daemon in a namespace of its own, and what it costs as a process.</summary>
internal sealed class LiveDaemon : IAsyncDisposable
{
    private readonly NetNamespace space;
    private readonly DaemonProcess process;
    private readonly NftConnection kernel;
    private readonly SecurityGroupAgent.SecurityGroupAgentClient client;
    private AsyncDuplexStreamingCall<SyncRequest, SyncResponse>? stream;

    private LiveDaemon(NetNamespace space, DaemonProcess process)
    {
        this.space = space;
        this.process = process;
        kernel = space.Run(() => new NftConnection());
        client = new SecurityGroupAgent.SecurityGroupAgentClient(process.Channel);
    }

    /// <param name="verify">"enforce", "report" or "off".</param>
    public static async Task<LiveDaemon> StartAsync(string verify)
    {
        NetNamespace space = NetNamespace.Create("live");
        try
        {
            return new LiveDaemon(space, await DaemonProcess.StartAsync(space, new DaemonOptions
            {
                ManagedInterfaces = ["tap*"],
                Configure = config => config["verify"] = verify,
                ReadyTimeout = TimeSpan.FromMinutes(2),
            }));
        }
        catch
        {
            space.Dispose();
            throw;
        }
    }

    /// <summary>Grows by one with each transaction that anybody commits.</summary>
    public uint Generation => kernel.ReadGeneration();

    /// <summary>Stops it and starts it again.</summary>
    /// <returns>From the start of the process to the first answer.</returns>
    public async Task<TimeSpan> RestartAsync()
    {
        await EndStreamAsync();
        await process.StopAsync();
        long began = Stopwatch.GetTimestamp();
        await process.LaunchAsync();
        await client.GetStatusAsync(new GetStatusRequest());
        return Stopwatch.GetElapsedTime(began);
    }

    public async Task<AgentStatus> StatusAsync() => await client.GetStatusAsync(new GetStatusRequest());

    public Task ProvedAsync() => FlowBenchmarks.ProvedAsync(client);

    public async Task<Answer> LoadAsync(Snapshot snapshot)
    {
        long began = Stopwatch.GetTimestamp();
        ApplyResponse answer = await client.ApplySnapshotAsync(new ApplySnapshotRequest { Snapshot = snapshot });
        return new Answer(Stopwatch.GetElapsedTime(began).TotalMilliseconds, AcceptedOf(answer));
    }

    public async Task<Answer> ChangeAsync(Delta delta)
    {
        stream ??= client.Sync();
        long began = Stopwatch.GetTimestamp();
        await stream.RequestStream.WriteAsync(new SyncRequest { Delta = delta });
        if (!await stream.ResponseStream.MoveNext() || stream.ResponseStream.Current.Accepted is not { } accepted)
        {
            throw new InvalidOperationException($"not accepted: {stream.ResponseStream.Current}");
        }

        return new Answer(Stopwatch.GetElapsedTime(began).TotalMilliseconds, accepted);
    }

    /// <summary>Processor time so far: the program's own part, and the kernel's for it.</summary>
    public (double User, double System) CpuMilliseconds
    {
        get
        {
            string[] fields = File.ReadAllText($"/proc/{process.ProcessId}/stat").Split(") ")[1].Split(' ');
            return (Ticks(fields[11]), Ticks(fields[12]));
        }
    }

    /// <summary>Resident memory, MiB: now, and at most so far.</summary>
    public (double Now, double Peak) Memory
    {
        get
        {
            string[] lines = File.ReadAllLines($"/proc/{process.ProcessId}/status");
            return (MiB(lines, "VmRSS:"), MiB(lines, "VmHWM:"));
        }
    }

    public async ValueTask DisposeAsync()
    {
        await EndStreamAsync();
        kernel.Dispose();
        await process.DisposeAsync();
        space.Dispose();
    }

    private async Task EndStreamAsync()
    {
        if (stream is { } open)
        {
            stream = null;
            await open.RequestStream.CompleteAsync();
            open.Dispose();
        }
    }

    private static Accepted AcceptedOf(ApplyResponse answer) => answer.Accepted
        ?? throw new InvalidOperationException($"not accepted: {answer}");

    // USER_HZ is 100 wherever Linux runs today.
    private static double Ticks(string text) => 10.0 * long.Parse(text, CultureInfo.InvariantCulture);

    private static double MiB(string[] lines, string name) => double.Parse(
        lines.First(line => line.StartsWith(name, StringComparison.Ordinal)).Split(
            ' ', StringSplitOptions.RemoveEmptyEntries)[^2].Split('\t')[^1], CultureInfo.InvariantCulture) / 1024;
}
