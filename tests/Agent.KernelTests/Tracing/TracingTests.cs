using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.KernelTests.Tracing;

/// <summary>Traces that the real daemon sends to a real receiver; or to a dead one.</summary>
public sealed class TracingTests
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private const string Parent = "b7ad6b7169203331";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_change_goes_on_in_the_callers_trace_with_its_steps(bool grpc)
    {
        OtlpReceiver? receiver = null;
        try
        {
            await using DaemonLab lab = await DaemonLab.StartAsync(
                config => config["tracing"] = new JsonObject
                {
                    ["otlp_endpoint"] = $"http://127.0.0.1:{receiver!.Port}",
                    ["otlp_protocol"] = grpc ? "grpc" : "http",
                },
                network => receiver = OtlpReceiver.ListenAsync(network.Host, grpc).GetAwaiter().GetResult());
            ApplyResponse answer = await lab.Client.ApplySnapshotAsync(
                new ApplySnapshotRequest { Snapshot = DaemonLab.OneWayIn(), NextRevision = true },
                Traced(), cancellationToken: TestContext.Current.CancellationToken);
            Assert.NotNull(answer.Accepted);
            await lab.SettledAsync();
            await lab.Daemon.StopAsync(); // sends what is left

            OtlpSpan apply = Assert.Single(receiver!.Spans, span => span.Name == "apply");
            Assert.Equal((Trace, Parent, 0), (apply.TraceId, apply.ParentId, apply.StatusCode));
            Dictionary<string, string> said = apply.Attributes.ToDictionary();
            Assert.Equal(
                ("snapshot", "accepted", "1", "3", "0"),
                (said["sg.kind"], said["sg.outcome"], said["sg.revision"], said["sg.vnics"], said["sg.failed_vnics"]));
            Assert.Equal($"{answer.Accepted.Changes.NetlinkMessages}", said["sg.messages"]);
            Assert.Equal($"{answer.Accepted.Changes.NetlinkBytes}", said["sg.bytes"]);
            Assert.True(long.Parse(said["sg.generation"], CultureInfo.InvariantCulture) > 0);
            Assert.Equal("sg-agent", apply.Resource["service.name"]);
            Assert.Equal(Environment.MachineName, apply.Resource["host.name"]);

            OtlpSpan[] steps = [.. receiver.Spans.Where(span => span.ParentId == apply.SpanId)
                .OrderBy(span => span.Start).ThenBy(span => span.End)];
            Assert.All(steps, step => Assert.Equal((Trace, 0), (step.TraceId, step.StatusCode)));
            OtlpSpan[] within = [.. steps.Where(step => step.Name != "clean_up")];
            Assert.Equal(
                ["validate", "persist", "compile", "prove", "commit", "commit", "read_back"],
                within.Select(step => step.Name));
            Assert.All(within, step => Assert.True(step.Start >= apply.Start && step.End <= apply.End, step.Name));
            Assert.Equal(["prepare", "switch"], within.Where(step => step.Name == "commit")
                .Select(step => step.Attributes["sg.step"]));
            Assert.Equal("proved", within.Single(step => step.Name == "prove").Attributes["sg.result"]);
            Assert.Equal("verified", within.Single(step => step.Name == "read_back").Attributes["sg.result"]);
        }
        finally
        {
            await DisposeAsync(receiver);
        }
    }

    [Fact]
    public async Task A_streams_messages_have_traces_of_their_own_and_a_refusal_is_an_error()
    {
        OtlpReceiver? receiver = null;
        try
        {
            await using DaemonLab lab = await DaemonLab.StartAsync(
                config => config["tracing"] = new JsonObject
                {
                    ["otlp_endpoint"] = $"http://127.0.0.1:{receiver!.Port}/",
                },
                network => receiver = OtlpReceiver.ListenAsync(network.Host, grpc: false).GetAwaiter().GetResult());
            await lab.ApplyAsync(DaemonLab.OneWayIn());
            using (AsyncDuplexStreamingCall<SyncRequest, SyncResponse> sync = lab.Client.Sync(
                Traced(), cancellationToken: TestContext.Current.CancellationToken))
            {
                await DeltaAsync(sync, 1, 2, "10.9.0.2", traceparent: "");
                await DeltaAsync(sync, 2, 3, "10.9.0.3", traceparent: $"00-{new string('5', 32)}-{Parent}-01");
                await DeltaAsync(sync, 7, 8, "10.9.0.4", traceparent: ""); // of a revision that nobody holds
                await sync.RequestStream.CompleteAsync();
            }

            await lab.Daemon.StopAsync();
            OtlpSpan[] deltas = [.. receiver!.Spans.Where(
                span => span.Attributes.GetValueOrDefault("sg.kind") == "delta").OrderBy(span => span.Start)];
            Assert.Equal(3, deltas.Length);
            Assert.NotEqual(Trace, deltas[0].TraceId);
            Assert.Equal(("", (Trace, Parent)), (deltas[0].ParentId, Assert.Single(deltas[0].Links)));
            Assert.Equal((new string('5', 32), Parent, 0),
                (deltas[1].TraceId, deltas[1].ParentId, deltas[1].Links.Count));
            Assert.Equal(("refused", 2), (deltas[2].Attributes["sg.outcome"], deltas[2].StatusCode));
            Assert.NotEmpty(deltas[2].StatusMessage);
            Assert.Equal(["validate"], receiver.Spans.Where(span => span.ParentId == deltas[2].SpanId)
                .Select(span => span.Name));
        }
        finally
        {
            await DisposeAsync(receiver);
        }
    }

    /// <summary>One that refuses connections, and one that accepts them and never answers.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_dead_collector_costs_a_change_nothing_and_is_said_once_without_its_password(bool accepts)
    {
        Socket? deaf = null;
        try
        {
            await using DaemonLab lab = await DaemonLab.StartAsync(
                config =>
                {
                    int port = ((IPEndPoint)deaf!.LocalEndPoint!).Port;
                    config["tracing"] = new JsonObject
                    {
                        ["otlp_endpoint"] = $"http://someone:s3cret@127.0.0.1:{port}",
                    };
                    config["log"] = new JsonObject { ["level"] = "debug" };
                },
                network =>
                {
                    deaf = network.Host.OpenSocket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    deaf.Bind(new IPEndPoint(IPAddress.Loopback, 0));
                    if (accepts)
                    {
                        deaf.Listen();
                    }
                });
            Stopwatch took = Stopwatch.StartNew();
            for (int i = 0; i < 10; i++)
            {
                Assert.False((await lab.ApplyAsync(DaemonLab.OneWayIn())).Unchanged && i == 0);
            }

            Assert.InRange(took.Elapsed, TimeSpan.Zero, Pace.Scaled(TimeSpan.FromSeconds(8)));
            if (!accepts)
            {
                await DaemonLab.UntilAsync(
                    "the event", () => lab.Daemon.Log.Contains(" 420 traces cannot", StringComparison.Ordinal));
            }

            took.Restart();
            Assert.Equal(0, await lab.Daemon.StopAsync());
            Assert.InRange(took.Elapsed, TimeSpan.Zero, Pace.Scaled(TimeSpan.FromSeconds(8)));
            int said = lab.Daemon.Log.Split(" 420 traces cannot").Length - 1;
            Assert.InRange(said, accepts ? 0 : 1, 1); // whoever does not answer has ten seconds to
            Assert.DoesNotContain("s3cret", lab.Daemon.Log, StringComparison.Ordinal);
        }
        finally
        {
            deaf?.Dispose();
        }
    }

    [Fact]
    public async Task Without_an_endpoint_nothing_of_it_is_loaded()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        string maps = await File.ReadAllTextAsync(
            $"/proc/{lab.Daemon.ProcessId}/maps", TestContext.Current.CancellationToken);
        Assert.DoesNotContain("OpenTelemetry", maps, StringComparison.Ordinal);
    }

    private static Metadata Traced() => new() { { "traceparent", $"00-{Trace}-{Parent}-01" } };

    private static async Task DeltaAsync(
        AsyncDuplexStreamingCall<SyncRequest, SyncResponse> sync, ulong from, ulong to, string member,
        string traceparent)
    {
        await sync.RequestStream.WriteAsync(new SyncRequest
        {
            Delta = new Delta
            {
                BaseRevision = from,
                Revision = to,
                Members = { new MemberChange { GroupId = "sg-a", Add = { member } } },
            },
            Traceparent = traceparent,
        });
        Assert.True(await sync.ResponseStream.MoveNext(TestContext.Current.CancellationToken));
    }

    private static async Task DisposeAsync(OtlpReceiver? receiver)
    {
        if (receiver is not null)
        {
            await receiver.DisposeAsync();
        }
    }
}
