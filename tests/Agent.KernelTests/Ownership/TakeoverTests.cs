using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.KernelTests.Ownership;

/// <summary>One controller at a time: the one with the newest term, from the moment that it comes.</summary>
public sealed class TakeoverTests
{
    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_newer_term_takes_over_without_a_gap_and_the_older_leader_is_told_and_refused()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using SyncClient old = SyncClient.Open(lab);
        await HelloAsync(old, "ctl-a", 5);
        await SnapshotAsync(old, 1);
        await lab.SettledAsync();
        using Flood flood = DaemonLab.StartFlood(lab.E1, lab.E2, 2000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("traffic", () => flood.Forward.Received > 100);
        uint generation = lab.Generation();

        await using SyncClient next = SyncClient.Open(lab);
        Held held = await HelloAsync(next, "ctl-b", 6);
        Assert.Equal((1ul, 6ul), (held.Revision, held.Term));
        SyncResponse told = await old.AnswerAsync();
        Assert.Equal((6ul, "ctl-b"), (told.LeaseLost?.Term, told.LeaseLost?.Controller));
        Fault fault = Assert.Single((await old.RefusedAsync(Member(1, "10.9.0.1"))).Faults);
        Assert.Equal("StaleTerm", fault.Code);
        Assert.Contains("6, which ctl-b has", fault.Message, StringComparison.Ordinal);
        Assert.Equal(generation, lab.Generation()); // a takeover is no reason to write
        Assert.Equal(2ul, (await next.AcceptedAsync(Member(1, "10.9.0.2"))).Revision); // no snapshot again

        await flood.StopAsync();
        Assert.Empty(flood.Forward.Missing());
        Assert.Equal(2, await lab.MetricAsync("sg_agent_lease_takeovers_total"));
        Assert.Equal(6, await lab.MetricAsync("sg_agent_lease_term"));
        Assert.Equal(1, await lab.MetricAsync("sg_agent_lease_refusals_total{reason=\"stale\"}"));
    }

    [Fact]
    public async Task Deltas_of_the_old_leader_that_are_under_way_end_where_the_new_one_begins()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using SyncClient old = SyncClient.Open(lab);
        await HelloAsync(old, "ctl-a", 5);
        await SnapshotAsync(old, 1);
        bool over = false;
        int sent = 0;
        Task sending = Task.Run(async () =>
        {
            for (int late = 0; late < 20; late += Volatile.Read(ref over) ? 1 : 0)
            {
                await old.SendAsync(
                    new SyncRequest { Delta = Member(1 + (uint)sent, $"10.10.{sent / 250}.{sent % 250}") });
                sent++;
                await Task.Delay(1, Cancel); // a sender that never pauses would have to take answers
            }
        }, Cancel);
        await DaemonLab.UntilAsync("some of them", async () => (await lab.StatusAsync()).DesiredRevision > 10);

        await using SyncClient next = SyncClient.Open(lab);
        Held held = await HelloAsync(next, "ctl-b", 6);
        Assert.Equal(held.Revision + 1, (await next.AcceptedAsync(Member(held.Revision, "10.9.2.1"))).Revision);
        Volatile.Write(ref over, true);
        await sending;
        ulong last = 1;
        int refused = 0;
        bool lost = false;
        for (int answers = 0; answers < sent;)
        {
            SyncResponse answer = await old.AnswerAsync();
            lost |= answer.LeaseLost is not null;
            if (answer.Accepted is { } accepted)
            {
                Assert.Equal((0, last + 1), (refused, accepted.Revision));
                last = accepted.Revision;
            }

            refused += answer.Refused?.Faults[0].Code == "StaleTerm" ? 1 : 0;
            answers += answer.LeaseLost is null ? 1 : 0;
        }

        Assert.True(lost);
        Assert.Equal((held.Revision, sent), (last, refused + (int)(last - 1)));
        Assert.InRange(refused, 20, sent);
    }

    [Fact]
    public async Task A_restart_and_a_crash_remember_the_term_and_a_damaged_file_lets_nobody_in()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using (SyncClient first = SyncClient.Open(lab))
        {
            await HelloAsync(first, "ctl-b", 6);
            await SnapshotAsync(first, 1);
        }

        foreach (bool crash in (bool[])[false, true])
        {
            await (crash ? lab.Daemon.KillAsync() : lab.Daemon.StopAsync());
            await lab.Daemon.LaunchAsync();
            Assert.Equal("StaleTerm", await RefusedAsync(lab, new SyncHello { Controller = "ctl-a", Term = 5 }));
            Assert.Equal("StaleTerm", await RefusedAsync(lab, new SyncHello { Controller = "ctl-a", Term = 6 }));
            Assert.Equal("LeaseHeld", await RefusedAsync(lab, new SyncHello { Controller = "somebody" }));
            await using SyncClient same = SyncClient.Open(lab);
            Assert.Equal(1ul, (await HelloAsync(same, "ctl-b", 6)).Revision);
        }

        string file = Path.Combine(lab.Daemon.StateDirectory, "lease");
        await lab.Daemon.StopAsync();
        await File.WriteAllTextAsync(
            file, (await File.ReadAllTextAsync(file, Cancel)).Replace("term 6", "term 4", StringComparison.Ordinal),
            Cancel);
        await lab.Daemon.LaunchAsync();
        Assert.Contains((await lab.StatusAsync()).Alarms, alarm => alarm.Contains(file, StringComparison.Ordinal));
        Assert.Equal("LeaseUnknown", await RefusedAsync(lab, new SyncHello { Controller = "ctl-a", Term = 5 }));
        Assert.Equal("LeaseUnknown", await RefusedAsync(lab, new SyncHello { Controller = "ctl-b", Term = 7 }));
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.Equal(0, Apply(lab, "--override-lease").ExitCode);

        await lab.Daemon.StopAsync();
        File.Delete(file);
        await lab.Daemon.LaunchAsync();
        await using SyncClient again = SyncClient.Open(lab);
        Assert.Equal(2ul, (await HelloAsync(again, "ctl-b", 7)).Revision);
        Assert.DoesNotContain(
            (await lab.StatusAsync()).Alarms, alarm => alarm.Contains("lease", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Somebody_without_a_term_waits_for_the_end_of_the_lease_or_overrides_it()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(config => config["grpc"]!["lease_seconds"] = 5);
        Assert.Equal(0, Apply(lab).ExitCode); // nobody ever had a term
        await using SyncClient plain = SyncClient.Open(lab);
        Assert.Equal(1ul, (await plain.HelloAsync()).Revision);
        SyncClient holder = SyncClient.Open(lab);
        await HelloAsync(holder, "ctl-a", 5);

        CommandOutcome refused = Apply(lab);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("ctl-a holds the lease with term 5, and is connected", refused.Error, StringComparison.Ordinal);
        Assert.Contains("--override-lease", refused.Error, StringComparison.Ordinal);
        Assert.Equal("LeaseHeld", (await plain.RefusedAsync(Member(1, "10.9.0.1"))).Faults[0].Code);
        RpcException kept = await Assert.ThrowsAsync<RpcException>(async () =>
            await lab.Client.DiscardStagedAsync(new DiscardStagedRequest(), cancellationToken: Cancel));
        Assert.Equal(StatusCode.FailedPrecondition, kept.StatusCode);
        Assert.Equal(0, Run(lab, "apply", "--dry-run", "-").ExitCode);
        Assert.Equal(1ul, (await lab.StatusAsync()).DesiredRevision);

        CommandOutcome forced = Apply(lab, "--override-lease");
        Assert.Equal(0, forced.ExitCode);
        Assert.Contains("ctl-a holds the lease: its next snapshot takes this back", forced.Output,
            StringComparison.Ordinal);
        Assert.Equal(1, await lab.MetricAsync("sg_agent_lease_overrides_total"));
        Assert.Contains("uid 0 changes the policy although controller ctl-a holds the lease, with term 5",
            lab.Daemon.Log, StringComparison.Ordinal);
        Assert.Equal("StaleBaseRevision", (await holder.RefusedAsync(Member(1, "10.9.0.1"))).Faults[0].Code);
        Assert.Equal(3ul, (await holder.AcceptedAsync(Member(2, "10.9.0.1"))).Revision);

        await holder.DisposeAsync();
        await DaemonLab.UntilAsync(
            "a lease that runs out", async () => (await lab.StatusAsync()).Controller.LeaseExpires is not null);
        await DaemonLab.UntilAsync("the end of the lease", () => Apply(lab).ExitCode == 0);
        Assert.Matches(
            @"controller +test, connected since .* UTC; lease of ctl-a, term 5, free", Run(lab, "status").Output);
        Assert.Equal(4ul, (await plain.AcceptedAsync(Member(4, "10.9.0.1"))).Revision - 1);
        Assert.Equal("StaleTerm", await RefusedAsync(lab, new SyncHello { Controller = "ctl-b", Term = 5 }));
    }

    [Fact]
    public async Task Who_has_no_election_acquires_and_unary_writers_may_have_a_term_too()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using SyncClient one = SyncClient.Open(lab);
        SyncHello wish = new() { Controller = "one", Acquire = true };
        Assert.Equal(1ul, (await one.AskAsync(new SyncRequest { Hello = wish })).Held.Term);
        Assert.Equal("LeaseHeld", await RefusedAsync(lab, new SyncHello { Controller = "two", Acquire = true }));
        await SnapshotAsync(one, 1);

        ApplySnapshotRequest request = new() { Snapshot = DaemonLab.OneWayIn(), NextRevision = true };
        request.Writer = new Writer { Controller = "two", Term = 1 };
        Assert.Equal("StaleTerm", (await lab.Client.ApplySnapshotAsync(request, cancellationToken: Cancel))
            .Refused.Faults[0].Code);
        request.Writer.Term = 2;
        Assert.Equal(2ul, (await lab.Client.ApplySnapshotAsync(request, cancellationToken: Cancel)).Accepted.Revision);
        Assert.Equal(2ul, (await one.AnswerAsync()).LeaseLost.Term);
        Assert.Equal("StaleTerm", (await one.RefusedAsync(Member(2, "10.9.0.1"))).Faults[0].Code);
    }

    [Fact]
    public async Task A_term_that_cannot_be_saved_is_refused_until_it_can()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(stateSizeKiB: 512);
        await using SyncClient old = SyncClient.Open(lab);
        await HelloAsync(old, "ctl-a", 5);
        await SnapshotAsync(old, 1);
        lab.Daemon.ExecInside("dd", "if=/dev/zero", $"of={lab.Daemon.StateDirectory}/ballast", "bs=1k", "count=600");
        Assert.Equal("NotPersisted", await RefusedAsync(lab, new SyncHello { Controller = "ctl-b", Term = 6 }));
        Assert.Equal("StaleTerm", (await SkipLostAsync(old, Member(1, "10.9.0.1"))).Refused.Faults[0].Code);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        lab.Daemon.ExecInside("rm", $"{lab.Daemon.StateDirectory}/ballast");
        await using SyncClient next = SyncClient.Open(lab);
        Assert.Equal((1ul, 6ul), await HelloAsync(next, "ctl-b", 6) is { } held ? (held.Revision, held.Term) : default);
        Assert.Equal(2ul, (await next.AcceptedAsync(Member(1, "10.9.0.1"))).Revision);
    }

    private static async Task<SyncResponse> SkipLostAsync(SyncClient client, Delta delta)
    {
        SyncResponse answer = await client.AskAsync(new SyncRequest { Delta = delta });
        return answer.LeaseLost is null ? answer : await client.AnswerAsync();
    }

    private static async Task<Held> HelloAsync(SyncClient client, string name, ulong term)
    {
        SyncResponse answer = await client.AskAsync(
            new SyncRequest { Hello = new SyncHello { Controller = name, Term = term } });
        Assert.True(answer.Held is not null, $"{answer}");
        return answer.Held;
    }

    private static async Task<string> RefusedAsync(DaemonLab lab, SyncHello hello)
    {
        await using SyncClient client = SyncClient.Open(lab);
        return (await client.AskAsync(new SyncRequest { Hello = hello })).Refused.Faults.Single().Code;
    }

    private static async Task SnapshotAsync(SyncClient client, ulong revision)
    {
        Snapshot snapshot = DaemonLab.OneWayIn();
        snapshot.Revision = revision;
        Assert.NotNull((await client.SnapshotAsync(snapshot)).Accepted);
    }

    private static Delta Member(ulong baseRevision, string address) => new()
    {
        BaseRevision = baseRevision,
        Revision = baseRevision + 1,
        Members = { new MemberChange { GroupId = "sg-c", Add = { address } } },
    };

    private static CommandOutcome Apply(DaemonLab lab, params string[] more) => Run(lab, ["apply", .. more, "-"]);

    private static CommandOutcome Run(DaemonLab lab, params string[] arguments) => SystemCommand.TryRun(
        Sgctl, "groups: [{ id: sg-c, vpc_id: vpc-1 }]",
        ["--socket", lab.Daemon.SocketPath, .. arguments]);
}
