using System.Text.Json.Nodes;
using Agent.Soak.Driving;
using Agent.Soak.Sampling;
using Agent.TestNet;
using Agent.V1;

namespace Agent.Soak;

/// <summary>A host, its daemon, and everybody who has to do with it, for as long as is asked for.</summary>
internal sealed class SoakRun(SoakOptions options, Action<string> say)
{
    private static readonly GuestSpec[] Specs =
    [
        new("g1", "tap-g1", "02:00:00:00:01:01", "10.0.0.11", "2001:db8:1::11"),
        new("g2", "tap-g2", "02:00:00:00:01:02", "10.0.0.12", "2001:db8:1::12"),
        new("g3", "tap-g3", "02:00:00:00:01:03", "10.0.0.13", "2001:db8:1::13"),
        new("g4", "tap-g4", "02:00:00:00:01:04", "10.0.0.14", "2001:db8:1::14"),
        new("c1", "tap-c1", "02:00:00:00:02:01", "10.0.0.21", "2001:db8:1::21"),
    ];

    private readonly Tally tally = new();
    private readonly string program = BuiltProgram.Find("SG_AGENTD", "Agent.Daemon", "sg-agentd");
    private readonly string sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    public async Task<SoakResult> RunAsync()
    {
        using TestNetwork network = TestNetwork.Create(new TestNetworkOptions(), Specs);
        await using var daemon = new DaemonUnderTest(await DaemonProcess.StartAsync(network.Host, new DaemonOptions
        {
            BinaryPath = program,
            ManagedInterfaces = ["tap*"],
            Configure = config =>
            {
                config["verify"] = options.Verify;
                config["mass_change"] = new JsonObject { ["removal_percent"] = 100 }; // the way back is one
            },
            ReadyTimeout = Pace.Scaled(TimeSpan.FromMinutes(1)),
        }));
        var random = new Random(options.Seed);
        var policy = new SoakPolicy(
            network.Guests.Values.Where(guest => guest.Spec.Name != "c1").Select(guest => Churn.VnicOf(guest)),
            options.Plant, random);
        await using Controller controller = await Controller.StartAsync(daemon, policy.Start, tally);
        using var sampler = new Sampler(network.Host, daemon, tally);
        Sample before = await sampler.ReadAtRestAsync();

        var traffic = new GuestTraffic(network, tally);
        await GoOnAsync(
            daemon,
            new Churn(network, controller, policy, traffic, tally, random), traffic,
            new Clients(network.Host, daemon, sgctl, tally), sampler);
        await NoteStatusAsync(daemon);
        Sample after = await sampler.ReadAtRestAsync();
        return new SoakResult(
            options, program, tally.Elapsed, tally.Counts, tally.Faults, sampler.Samples, before, after);
    }

    /// <summary>Churn ends first, and puts the first policy back; the others go on meanwhile.</summary>
    private async Task GoOnAsync(
        DaemonUnderTest daemon, Churn churn, GuestTraffic traffic, Clients clients, Sampler sampler)
    {
        using var time = new CancellationTokenSource(options.Time);
        using var end = new CancellationTokenSource();
        Task[] beside =
        [
            traffic.RunAsync(end.Token), clients.RunAsync(end.Token),
            sampler.RunAsync(options.SampleInterval, time.Token),
        ];
        Task changing = Ends(Task.WhenAll(
            churn.RunAsync(options.StepsPerSecond, time.Token), RestartAsync(daemon, time.Token)));
        await Task.WhenAny(changing, Fails(beside));
        await time.CancelAsync();
        await changing;
        await end.CancelAsync();
        await Ends(Task.WhenAll(beside));

        async Task Ends(Task task)
        {
            try
            {
                await task;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                tally.Fault($"the run ended early: {e}");
            }
        }
    }

    /// <summary>Ends with the first failure of any; otherwise when all have ended.</summary>
    private static async Task Fails(IEnumerable<Task> tasks)
    {
        List<Task> left = [.. tasks];
        while (left.Count > 0 && await Task.WhenAny(left) is { IsFaulted: false } done)
        {
            left.Remove(done);
        }
    }

    private async Task RestartAsync(DaemonUnderTest daemon, CancellationToken cancel)
    {
        try
        {
            for (bool kill = false; tally.Elapsed + options.RestartInterval < options.RestartsUntil; kill = !kill)
            {
                await Task.Delay(options.RestartInterval, cancel);
                await daemon.RestartAsync(kill);
                tally.Count(kill ? "daemon killed and started" : "daemon stopped and started");
                say($"{tally.Elapsed:hh\\:mm\\:ss} daemon {(kill ? "killed" : "stopped")} and started");
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
        }
    }

    /// <summary>What the daemon itself says at the end.</summary>
    private async Task NoteStatusAsync(DaemonUnderTest daemon)
    {
        AgentStatus status = await daemon.Client.GetStatusAsync(new GetStatusRequest());
        foreach (string alarm in status.Alarms)
        {
            tally.Fault($"alarm at the end: {alarm}");
        }

        if (status.DesiredRevision != status.AppliedRevision)
        {
            tally.Fault($"revision {status.DesiredRevision} is desired, and {status.AppliedRevision} is in force");
        }

        string[] errors = [.. File.ReadLines(daemon.Process.LogPath).Where(
            line => line.Split(' ', 3) is [_, "error", _])];
        if (errors.Length > 0)
        {
            tally.Fault($"the daemon logged {errors.Length} errors, the first: {errors[0]}");
        }
    }
}
