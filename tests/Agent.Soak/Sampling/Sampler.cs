using System.Globalization;
using Agent.Netlink;
using Agent.Soak.Driving;
using Agent.Soak.Judging;
using Agent.TestNet;

namespace Agent.Soak.Sampling;

/// <summary>Reads everything at a steady pace.</summary>
internal sealed class Sampler(NetNamespace host, DaemonUnderTest daemon, Tally tally) : IDisposable
{
    private const double BytesPerKiB = 1024;
    private const double BytesPerMiB = 1 << 20;
    private const int ChangesTogether = 5;

    private readonly KernelFigures kernel = new(host);
    private readonly List<Sample> samples = [];
    private readonly Dictionary<string, (double Sum, double Count)> sums = new(StringComparer.Ordinal);
    private (double Seconds, double Bytes)? log;
    private (int Life, double Seconds, int Changes) spent = (-1, 0, 0);

    public IReadOnlyList<Sample> Samples => samples;

    public async Task RunAsync(TimeSpan interval, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel))
            {
                if (await TryReadAsync() is { } sample)
                {
                    samples.Add(sample);
                }
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
        }
    }

    /// <summary>When nothing changes any more: with what takes longer to read.</summary>
    public async Task<Sample> ReadAtRestAsync()
    {
        for (int attempt = 0; attempt < 20; attempt++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(500));
            if (await TryReadAsync() is { } sample)
            {
                var values = new Dictionary<Quantity, double>(sample.Values);
                kernel.ReadFlowtables(values);
                return sample with { Values = values };
            }
        }

        throw new InvalidOperationException("nothing could be read of a daemon at rest");
    }

    public void Dispose() => kernel.Dispose();

    /// <returns>Null: the daemon was being restarted, or commits kept falling in.</returns>
    private async Task<Sample?> TryReadAsync()
    {
        int before = daemon.Disturbances;
        double seconds = tally.Elapsed.TotalSeconds;
        var values = new Dictionary<Quantity, double>();
        try
        {
            kernel.Read(values);
            ReadDisk(seconds, values);
            ProcessFigures.Read(daemon.Process.ProcessId, values);
            ReadAnswers(ProcessFigures.ProcessorSeconds(daemon.Process.ProcessId), values);
            ReadMetrics(await daemon.Process.ReadMetricsAsync(), values);
        }
        catch (Exception e) when (e is IOException or HttpRequestException or NetlinkException
            or InvalidOperationException)
        {
            if (e is NetlinkException)
            {
                tally.Count("sample that commits fell into");
                return null;
            }

            if (daemon.WasThereSince(before))
            {
                tally.Fault($"the daemon could not be looked at: {e.Message}");
            }

            return null;
        }

        return daemon.WasThereSince(before) ? new Sample(seconds, daemon.Life, values) : null;
    }

    // Over so many changes that the work beside them is the same for each.
    private void ReadAnswers(double processor, Dictionary<Quantity, double> into)
    {
        (int count, double mean) = tally.TakeAnswers();
        if (count > 0)
        {
            into[Quantity.Answer] = mean;
        }

        if (spent.Life != daemon.Life)
        {
            spent = (daemon.Life, processor, 0);
        }

        spent.Changes += count;
        if (spent.Changes >= ChangesTogether)
        {
            into[Quantity.Processor] = 1000 * (processor - spent.Seconds) / spent.Changes;
            spent = (daemon.Life, processor, 0);
        }
    }

    private void ReadDisk(double seconds, Dictionary<Quantity, double> into)
    {
        into[Quantity.State] = new DirectoryInfo(daemon.Process.StateDirectory).EnumerateFiles()
            .Sum(file => file.Exists ? file.Length : 0) / BytesPerKiB;
        double bytes = new FileInfo(daemon.Process.LogPath).Length;
        if (log is { } last && seconds > last.Seconds)
        {
            into[Quantity.Log] = (bytes - last.Bytes) / BytesPerKiB / (seconds - last.Seconds);
        }

        log = (seconds, bytes);
    }

    private void ReadMetrics(IReadOnlyList<string> lines, Dictionary<Quantity, double> into)
    {
        into[Quantity.Heap] = Value("dotnet_total_memory_bytes") / BytesPerMiB;
        Mean("sg_agent_proof_duration_seconds", Quantity.Proof);
        Mean("sg_agent_commit_duration_seconds", Quantity.Commit);

        double Value(string name) => double.Parse(
            lines.First(line => line.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1],
            NumberStyles.Float, CultureInfo.InvariantCulture);

        void Mean(string name, Quantity quantity)
        {
            (double sum, double count) = (Value(name + "_sum"), Value(name + "_count"));
            (double lastSum, double lastCount) = sums.GetValueOrDefault(name);
            if (count > lastCount)
            {
                into[quantity] = 1000 * (sum - lastSum) / (count - lastCount);
            }

            sums[name] = (sum, count); // both begin again with a new life
        }
    }
}
