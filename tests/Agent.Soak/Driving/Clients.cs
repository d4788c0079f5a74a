using System.Net.Sockets;
using System.Text;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;
using Grpc.Net.Client;
using Calls = Agent.V1.SecurityGroupAgent.SecurityGroupAgentClient;

namespace Agent.Soak.Driving;

/// <summary>Those who ask, watch, scrape, and leave, often without a word.</summary>
internal sealed class Clients(NetNamespace host, DaemonUnderTest daemon, string sgctl, Tally tally)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan ToolInterval = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan ScrapeInterval = TimeSpan.FromSeconds(2);

    private static readonly byte[] Request =
        [.. "GET /metrics HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n"u8];

    private static readonly string[][] ToolLines =
    [
        ["status"], ["vnics"], ["groups"], ["rules", "tap-g1"], ["sessions", "tap-g2"], ["top", "--once"],
        ["explain", "tap-g1", "egress", "tcp", "10.0.0.11", "10.0.0.12:1000"], ["verify", "tap-g1"], ["drops"],
        ["status", "--config", "--json"], ["get", "--yaml"],
    ];

    public Task RunAsync(CancellationToken cancel) => Task.WhenAll(
        EveryAsync(Interval, AskAsync, cancel),
        EveryAsync(Interval, LeaveAsync, cancel),
        EveryAsync(ToolInterval, RunToolAsync, cancel),
        EveryAsync(ScrapeInterval, ScrapeAsync, cancel));

    private Task AskAsync(CancellationToken cancel) => CallAsync(async calls =>
    {
        string vnic = Random.Shared.Next(2) == 0 ? "tap-g1" : "eni-g4";
        var asked = new GetStatusRequest { Groups = true };
        await (Random.Shared.Next(24) switch
        {
            < 5 => calls.GetStatusAsync(asked, cancellationToken: cancel).ResponseAsync,
            < 8 => calls.GetStateAsync(new GetStateRequest(), cancellationToken: cancel).ResponseAsync,
            < 13 => calls.ExplainAsync(ExplainedBy(vnic), cancellationToken: cancel).ResponseAsync,
            < 16 => calls.ListRulesAsync(new ListRulesRequest { Vnic = vnic }, cancellationToken: cancel).ResponseAsync,
            < 19 => VerifyAsync(calls, vnic, cancel),
            < 21 => calls.GetConfigAsync(new GetConfigRequest(), cancellationToken: cancel).ResponseAsync,
            _ => (Task)calls.GetLogLevelAsync(new GetLogLevelRequest(), cancellationToken: cancel).ResponseAsync,
        });
        tally.Count("client: question");
    }, cancel);

    /// <summary>Streams that are left in the middle, and connections without a word.</summary>
    private Task LeaveAsync(CancellationToken cancel) => CallAsync(async calls =>
    {
        var drops = new WatchDropsRequest { Last = 5, Follow = true };
        await (Random.Shared.Next(8) switch
        {
            < 2 => LeaveAsync(calls.WatchStatus(new GetStatusRequest(), cancellationToken: cancel)),
            < 4 => LeaveAsync(calls.WatchDrops(drops, cancellationToken: cancel)),
            < 5 => LeaveAsync(calls.WatchTop(new WatchTopRequest(), cancellationToken: cancel)),
            < 7 => LeaveAsync(calls.ListSessions(new ListSessionsRequest(), cancellationToken: cancel)),
            _ => SilentAsync(cancel),
        });
        tally.Count("client: stream left");
    }, cancel);

    private static async Task VerifyAsync(Calls calls, string vnic, CancellationToken cancel)
    {
        VerifyResponse answer = await calls.VerifyAsync(
            new VerifyRequest { Vnics = { vnic } }, cancellationToken: cancel);
        if (answer.Result is "refuted" or "mismatch")
        {
            throw new RpcException(new Status(StatusCode.DataLoss, answer.ToString()));
        }
    }

    private static ExplainRequest ExplainedBy(string vnic) => new()
    {
        Vnic = vnic,
        Direction = Direction.Ingress,
        Packet = new Packet
        {
            Source = "10.0.0.13",
            Destination = vnic == "tap-g1" ? "10.0.0.11" : "10.0.0.14",
            Protocol = "tcp",
            SourcePort = 4711,
            DestinationPort = 1000,
        },
    };

    private static async Task LeaveAsync<T>(AsyncServerStreamingCall<T> call)
    {
        using (call)
        {
            Task<bool> next = call.ResponseStream.MoveNext(CancellationToken.None);
            await Task.WhenAny(next, Task.Delay(Random.Shared.Next(10, 1500)));
            _ = next.ContinueWith(left => left.Exception, TaskScheduler.Default); // it ends with the call
        }
    }

    private async Task SilentAsync(CancellationToken cancel)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(daemon.Process.SocketPath), cancel);
        await socket.SendAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray(), cancel);
        await Task.Delay(Random.Shared.Next(5, 300), cancel);
    }

    private async Task ScrapeAsync(CancellationToken cancel)
    {
        int before = daemon.Disturbances;
        try
        {
            await using Stream page = await host.ConnectAsync(daemon.Process.MetricsPort, cancel);
            await page.WriteAsync(Request, cancel);
            byte[] buffer = new byte[64 << 10];
            int count = await page.ReadAsync(buffer, cancel);
            string answer = Encoding.ASCII.GetString(buffer, 0, Math.Min(count, 200)).Split('\r')[0];
            if (Random.Shared.Next(4) > 0) // otherwise it leaves in the middle of the page
            {
                while (await page.ReadAsync(buffer, cancel) > 0)
                {
                }
            }

            tally.Count("client: scrape");
            if (answer != "HTTP/1.1 200 OK")
            {
                Excuse(before, null, $"a scrape was answered with \"{answer}\"");
            }
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            Excuse(before, e, "a scrape failed");
        }
    }

    private async Task RunToolAsync(CancellationToken cancel)
    {
        int before = daemon.Disturbances;
        string[] line = ToolLines[Random.Shared.Next(ToolLines.Length)];
        CommandOutcome outcome = await Task.Run(
            () => SystemCommand.TryRun(sgctl, null, ["--socket", daemon.Process.SocketPath, .. line]), cancel);
        tally.Count("client: sgctl");
        if (outcome.ExitCode != 0)
        {
            Excuse(before, null, $"sgctl {line[0]} ended with {outcome.ExitCode}: {outcome.Error}");
        }
    }

    private async Task CallAsync(Func<Calls, Task> act, CancellationToken cancel)
    {
        int before = daemon.Disturbances;
        try
        {
            using GrpcChannel channel = daemon.OpenChannel();
            await act(new Calls(channel));
        }
        catch (RpcException e) when (!cancel.IsCancellationRequested)
        {
            Excuse(before, e, "a call failed");
        }
        catch (SocketException e)
        {
            Excuse(before, e, "a connection failed");
        }
    }

    private void Excuse(int before, Exception? error, string what)
    {
        if (daemon.WasThereSince(before))
        {
            tally.Fault(error is null ? what : $"{what}: {error.Message}");
        }
    }

    private static async Task EveryAsync(
        TimeSpan interval, Func<CancellationToken, Task> act, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel))
            {
                await act(cancel);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or RpcException && cancel.IsCancellationRequested)
        {
        }
    }
}
