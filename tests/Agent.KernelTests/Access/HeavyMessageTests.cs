using Agent.KernelTests.Daemon;
using Agent.Tests.Contract;
using Agent.V1;
using Google.Protobuf;
using static Agent.KernelTests.Access.RawCalls;

namespace Agent.KernelTests.Access;

/// <summary>
/// Messages that are much larger in memory than on the wire, and ones that are none: refused before they are unpacked,
/// or for what they are; nothing of them stays.
/// </summary>
public sealed class HeavyMessageTests(ITestOutputHelper output)
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Each of two bytes, and an object of hundreds once it is unpacked: 10 GB in all.</summary>
    [Theory]
    [InlineData("ApplySnapshot", 0x0a, 0x12)] // snapshot: groups
    [InlineData("ApplySnapshot", 0x0a, 0x2a)] // snapshot: vnics
    [InlineData("StageSnapshot", 0x0a, 0x1a)] // snapshot: prefix_lists
    [InlineData("Sync", 0x1a, 0x0a)] // snapshot_chunk: groups
    [InlineData("Sync", 0x2a, 0x5a)] // delta: members
    public async Task The_largest_message_full_of_nothing_is_refused_before_it_is_unpacked(
        string method, int outer, int element)
    {
        await using AccessLab access = await AccessLab.StartAsync();
        ulong held = (await access.Lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        byte[] message = new byte[(64 << 20) - 16];
        message[0] = (byte)outer;
        int length = message.Length - 5;
        for (int i = 0; i < 4; i++)
        {
            message[i + 1] = (byte)((length >> 7 * i & 0x7f) | (i < 3 ? 0x80 : 0));
        }

        for (int i = 5; i + 1 < message.Length; i += 2)
        {
            message[i] = (byte)element;
        }

        long before = access.ResidentBytes();
        using HttpClient http = RawClient(access);
        (string status, string text) = await CallAsync(http, method, Framed(message));
        output.WriteLine($"{(access.ResidentBytes() - before) >> 20} MiB: {status} {text}");
        Assert.Equal("8", status);
        Assert.Contains("too many parts", text, StringComparison.Ordinal);
        Assert.InRange(access.ResidentBytes() - before, long.MinValue, 400L << 20);
        Assert.Equal(1, await access.RefusalsAsync("socket", "message_size"));
        Assert.Equal(held + 1, (await access.Lab.ApplyAsync(DaemonLab.OneWayIn())).Revision);
    }

    /// <summary>Seeded: a failure is found again. SG_FUZZ_SECONDS makes it look longer.</summary>
    [Fact]
    public async Task Broken_messages_by_the_hundred_change_nothing_and_hurt_nobody()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        DaemonLab lab = access.Lab;
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using HttpClient http = RawClient(access);
        _ = int.TryParse(Environment.GetEnvironmentVariable("SG_FUZZ_SECONDS"), out int seconds);
        long started = System.Diagnostics.Stopwatch.GetTimestamp();
        Dictionary<string, int> statuses = [];
        int seed = 0;
        for (; seed < 150 || System.Diagnostics.Stopwatch.GetElapsedTime(started).TotalSeconds < seconds; seed++)
        {
            Random random = new(seed);
            AgentStatus before = await lab.StatusAsync();
            (string method, byte[] body) = Broken(random, before.DesiredRevision);
            (string status, string text) = await CallAsync(http, method, body);
            statuses[$"{method} {status}"] = statuses.GetValueOrDefault($"{method} {status}") + 1;
            Assert.True(status is "0" or "3" or "8" or "13", $"seed {seed}: {method}: {status} {text}");
            AgentStatus after = await lab.StatusAsync();
            if (after.DesiredRevision == before.DesiredRevision)
            {
                Assert.True(before.StateHash.Equals(after.StateHash), $"seed {seed}: half a state");
            }
            else
            {
                await lab.ApplyAsync(DaemonLab.OneWayIn()); // a broken one may still be whole
            }
        }

        output.WriteLine(string.Join('\n', statuses.Select(one => $"{one.Key}: {one.Value}").Order()));
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        Assert.Equal(0, await lab.MetricAsync("sg_agent_loop_failures_total"));
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        Assert.DoesNotContain(lab.Daemon.Log, c => char.IsControl(c) && c != '\n');
    }

    /// <summary>What reaches logs, labels and the kernel's names is text there, whatever it looks like.</summary>
    [Fact]
    public async Task Texts_that_look_like_something_else_stay_texts()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        DaemonLab lab = access.Lab;
        Snapshot state = DaemonLab.OneWayIn();
        Vnic odd = state.Vnics[0].Clone();
        (odd.Id, odd.InterfaceName, odd.Mac) = ("eni-odd", """t"}\{n""", "02:00:00:00:09:09");
        odd.Addresses.Clear();
        odd.Addresses.Add("10.0.0.99");
        state.Vnics.Add(odd);
        state.Groups[0].Name = "a\"} 1 # {0} %s 安全组";
        state.Groups[0].Labels["\"k\\"] = "v\"";
        await lab.ApplyAsync(state);
        Assert.All(await lab.Daemon.ReadMetricsAsync(), line => Assert.Matches(
            """^[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? \S+$""", line));
        Assert.Equal(state.Groups[0].Name, (await lab.StateAsync()).Groups.Single(
            group => group.Id == state.Groups[0].Id).Name);

        using HttpClient http = RawClient(access);
        Snapshot evil = DaemonLab.OneWayIn();
        evil.Groups[0].Id = "x\n2026-01-01T00:00:00.000Z error 1 forged\u001b[31m";
        foreach (string trace in (string[])["00-zz", new string('a', 5000), "00-\u00e9", "evil\tb"])
        {
            SyncRequest request = new()
            {
                Traceparent = trace,
                Tracestate = trace,
                Hello = new SyncHello { Controller = "c\nforged\u001b[31m" },
            };
            Assert.Equal("0", (await CallAsync(http, "Sync", Framed(request.ToByteArray()))).Status);
        }

        ApplyResponse answer = await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = evil, NextRevision = true }, cancellationToken: Cancel);
        Assert.All(answer.Refused.Faults, fault => Assert.DoesNotContain(
            $"{fault.Path}{fault.Message}{fault.Remedy}", char.IsControl));
        Assert.DoesNotContain(lab.Daemon.Log, c => char.IsControl(c) && c != '\n');
        Assert.DoesNotContain("\n2026-01-01T00:00:00.000Z error 1 forged", lab.Daemon.Log, StringComparison.Ordinal);
    }

    private static (string Method, byte[] Body) Broken(Random random, ulong held)
    {
        Snapshot next = DaemonLab.OneWayIn();
        next.Revision = held + 1;
        Delta delta = new()
        {
            BaseRevision = held,
            Revision = held + 1,
            UpsertGroups = { next.Groups[1] },
            Members = { new MemberChange { GroupId = "sg-a", Add = { "10.9.9.0/24", "2001:db8::9" } } },
        };
        switch (random.Next(4))
        {
            case 0:
                return ("ApplySnapshot", Framed(WireMutations.Of(
                    new ApplySnapshotRequest { Snapshot = next, DryRun = true }.ToByteArray(), random)));
            case 1:
                return ("StageSnapshot", Framed(WireMutations.Of(
                    new StageSnapshotRequest { Snapshot = next }.ToByteArray(), random)));
            case 2:
                return ("Sync", Framed(WireMutations.Of(new SyncRequest { Delta = delta }.ToByteArray(), random)));
            default:
                SyncRequest[] parts =
                [
                    new() { Hello = new SyncHello { Controller = "fuzz" } },
                    new() { SnapshotBegin = new SnapshotBegin { Revision = held + 1 } },
                    .. SyncClient.ChunksOf(next).Select(chunk => new SyncRequest { SnapshotChunk = chunk }),
                    new() { SnapshotEnd = SyncClient.EndOf(next) },
                ];
                int broken = random.Next(parts.Length);
                return ("Sync", [.. parts.SelectMany((part, i) => Framed(
                    i == broken ? WireMutations.Of(part.ToByteArray(), random) : part.ToByteArray()))]);
        }
    }

    private static async Task<(string Status, string Text)> CallAsync(HttpClient http, string method, byte[] body)
    {
        using HttpResponseMessage answer = await AskAsync(http, method, body);
        await answer.Content.ReadAsByteArrayAsync(Cancel);
        IEnumerable<string>? text = answer.Headers.TryGetValues("grpc-message", out IEnumerable<string>? early) ? early
            : answer.TrailingHeaders.TryGetValues("grpc-message", out IEnumerable<string>? late) ? late : [];
        return (Status(answer) ?? "none", Uri.UnescapeDataString(string.Concat(text)));
    }
}
