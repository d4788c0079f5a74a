using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Agent.Client;
using Agent.KernelTests.Access;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Controllers;

/// <summary>The client library against real agents: whatever happens between, the newest state gets in force.</summary>
public sealed class PolicyStreamTests
{
    private const int SignalContinue = 18;
    private const int SignalStop = 19;

    [Fact]
    public async Task A_state_goes_as_a_snapshot_once_and_then_by_deltas()
    {
        await using DaemonLab lab = await DebuggingAsync();
        await using ControllerStream controller = ControllerStream.Open(lab);
        DesiredState first = State(1);
        StepOutcome.Accepted outcome = await controller.AcceptedAsync(first);
        Assert.Equal((1ul, first.Hash), (outcome.Revision, outcome.Answer!.StateHash));
        Assert.Equal(first.ToSnapshot().IssuedAt, (await lab.StatusAsync()).IssuedAt);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));

        DesiredState closed = State(2, state => state.Groups[1].Rules.Clear());
        Assert.Equal(2ul, (await controller.AcceptedAsync(closed)).Revision);
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        Assert.Equal(closed.ToSnapshot().IssuedAt, (await lab.StatusAsync()).IssuedAt);
        Assert.Null((await controller.AcceptedAsync(closed)).Answer); // it is there already
        Assert.Equal((1, 1), Steps(lab));
        Assert.Equal(
            ["connecting", "connected, the agent holds revision 0, which is not known here", "synced at revision 1",
                "synced at revision 2"],
            controller.States.Select(state => state.ToString()));

        // A large state, which no message carries whole; and a controller that comes after it.
        DesiredState large = State(3, state => state.Groups[0].Members.AddRange(
            Enumerable.Range(0, 60_000).Select(i => $"10.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}")));
        await controller.AcceptedAsync(large);
        await controller.DisposeAsync();
        await using ControllerStream another = ControllerStream.Open(lab, options => options with
        {
            MaxDeltaBytes = 1000,
        });
        await another.AcceptedAsync(large);
        Assert.Equal((1, 2), Steps(lab));
        DesiredState next = State(4, state => state.Groups[0].Members.AddRange(
            Enumerable.Range(0, 60_000).Select(i => $"10.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}")
                .Concat(Enumerable.Range(0, 250).Select(i => $"10.70.0.{i}"))));
        await another.AcceptedAsync(next); // as a delta it would be longer than it may
        Assert.Equal((2, 2), Steps(lab));
        Assert.Equal(next.Hash, (await lab.StatusAsync()).StateHash);
    }

    [Fact]
    public async Task A_killed_agent_is_found_again_and_only_the_newest_state_follows_as_one_delta()
    {
        await using DaemonLab lab = await DebuggingAsync();
        await using ControllerStream controller = ControllerStream.Open(lab);
        await controller.AcceptedAsync(State(1));
        for (int round = 0; round < 3; round++)
        {
            ulong revision = (ulong)(10 * (round + 1));
            int before = controller.States.Count;
            (int snapshots, int deltas) = Steps(lab);
            await lab.Daemon.KillAsync();
            StreamState.Waiting waiting = await controller.ComesAsync<StreamState.Waiting>(before);
            Assert.NotEmpty(waiting.Reason);
            for (ulong step = 0; step < 5; step++)
            {
                controller.Stream.Want(State(revision + step));
            }

            await lab.Daemon.LaunchAsync();
            await controller.AcceptedAsync(State(revision + 4));
            Assert.True((await controller.ComesAsync<StreamState.Connected>(before)).IsKnown);
            Assert.Equal((snapshots, deltas + 1), Steps(lab));
            Assert.Equal(revision + 4, (await lab.StatusAsync()).AppliedRevision);
        }
    }

    [Fact]
    public async Task A_step_that_is_refused_tells_every_fault_and_the_next_one_goes_from_what_is_held()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(config => config["limits"] = new JsonObject
        {
            ["members_per_basic_group"] = 3,
        });
        await using ControllerStream controller = ControllerStream.Open(lab);
        await controller.AcceptedAsync(State(1));
        DesiredState wrong = State(2, state =>
        {
            state.Groups[0].Members.AddRange(["10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"]);
            state.Groups[1].Members.AddRange(["10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"]);
        });
        StepOutcome.Refused refused = await controller.RefusedAsync(wrong);
        Assert.Equal((2ul, 1ul, State(1).Hash),
            (refused.Revision, refused.Answer.HeldRevision, refused.Answer.HeldStateHash));
        Assert.Equal(2, refused.Answer.Faults.Count);
        Assert.All(refused.Answer.Faults, fault => Assert.Equal("SecurityGroupInstanceLimitExceeded", fault.Code));
        Assert.Equal(1ul, (await lab.StatusAsync()).AppliedRevision);

        // Many at once, every third of which is refused; the last one is not.
        for (ulong i = 3; i < 60; i++)
        {
            controller.Stream.Want(i % 3 == 0 ? Wrong(i) : State(i));
        }

        await AppliedAsync(lab, controller, State(60));
        Assert.DoesNotContain(controller.States, state => state is StreamState.Waiting);
        Assert.All(controller.States.OfType<StreamState.Refused>().Skip(1),
            state => Assert.Equal(0ul, state.Revision % 3));

        DesiredState Wrong(ulong revision) => State(revision, state =>
            state.Groups[0].Members.AddRange(["10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"]));
    }

    [Fact]
    public async Task A_slow_agent_gets_a_window_of_steps_and_then_the_newest()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using ControllerStream controller = ControllerStream.Open(lab, options => options with { Window = 4 });
        await controller.AcceptedAsync(State(1));
        int before = controller.States.Count;
        await StopAsync(lab);
        for (ulong i = 2; i < 1000; i++)
        {
            controller.Stream.Want(State(i));
        }

        Task<StepOutcome> last = controller.ApplyAsync(State(1000));
        await Task.Delay(500, TestContext.Current.CancellationToken);
        Assert.False(last.IsCompleted);
        Signal(lab, SignalContinue);
        Assert.Equal(1000ul, Assert.IsType<StepOutcome.Accepted>(await last).Revision);
        ulong[] synced = [.. controller.States.Skip(before).Cast<StreamState.Synced>().Select(state => state.Revision)];
        Assert.Equal(synced.Order(), synced);
        Assert.InRange(synced.Length, 1, 10);
    }

    [Fact]
    public async Task An_agent_that_gives_no_sign_of_life_is_left_and_found_again()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using ControllerStream controller = ControllerStream.Open(lab, options => options with
        {
            HelloTimeout = TimeSpan.FromSeconds(1),
        });
        await controller.AcceptedAsync(State(1));
        int before = controller.States.Count;
        await StopAsync(lab);
        try
        {
            controller.Stream.Want(State(2));
            await controller.ComesAsync<StreamState.Waiting>(before); // pings are not answered
            await controller.ComesAsync<StreamState.Waiting>(
                before, state => state.Reason.Contains("said nothing", StringComparison.Ordinal));
        }
        finally
        {
            Signal(lab, SignalContinue);
        }

        await controller.AcceptedAsync(State(3));
        Assert.Equal(3ul, (await lab.StatusAsync()).AppliedRevision);
    }

    [Fact]
    public async Task One_agents_trouble_is_not_anothers()
    {
        await using DaemonLab one = await DaemonLab.StartAsync();
        await using DaemonLab other = await DaemonLab.StartAsync();
        using SemaphoreSlim slots = new(1);
        await using ControllerStream first = ControllerStream.Open(one, WithSlots);
        await using ControllerStream second = ControllerStream.Open(other, WithSlots);
        await Task.WhenAll(first.AcceptedAsync(State(1)), second.AcceptedAsync(State(1)));
        await one.Daemon.KillAsync();
        Task<StepOutcome> waiting = first.ApplyAsync(State(2));
        await second.AcceptedAsync(State(2));
        await second.AcceptedAsync(State(3));
        Assert.False(waiting.IsCompleted);
        await one.Daemon.LaunchAsync();
        Assert.Equal(2ul, Assert.IsType<StepOutcome.Accepted>(await waiting).Revision);
        Assert.Equal(1, slots.CurrentCount);

        PolicyStreamOptions WithSlots(PolicyStreamOptions options) => options with { SnapshotSlots = slots };
    }

    [Fact]
    public async Task After_somebody_else_wrote_the_newer_state_goes_whole_and_an_older_one_is_refused()
    {
        await using DaemonLab lab = await DebuggingAsync();
        await using ControllerStream controller = ControllerStream.Open(lab);
        await controller.AcceptedAsync(State(1));
        await lab.ApplyAsync(State(1, state => state.Groups[2].Description = "by hand").ToSnapshot()); // revision 2
        await controller.AcceptedAsync(State(9));
        Assert.Equal(State(9).Hash, (await lab.StatusAsync()).StateHash);
        await lab.ApplyAsync(State(1, state => state.Groups[2].Description = "again").ToSnapshot()); // revision 10
        StepOutcome.Refused refused = await controller.RefusedAsync(State(10));
        Assert.Equal(("StaleRevision", 10ul), (refused.Answer.Faults[0].Code, refused.Answer.HeldRevision));
        await controller.AcceptedAsync(State(11));
    }

    [Fact]
    public async Task It_speaks_mutual_tls_and_says_why_it_may_not()
    {
        await using AccessLab lab = await AccessLab.StartAsync(
            grpc => grpc["tls"]!["controllers"] = new JsonArray("controller.example"));
        using X509Certificate2 ours = lab.Authority.Issue("controller.example");
        using X509Certificate2 strange = Authority.SelfSigned("controller.example");
        X509Certificate2 shown = strange;
        var address = new AgentAddress.Https(new Uri("https://localhost:9443"), () => shown)
        {
            Authorities = [X509Certificate2.CreateFromPem(lab.Authority.Pem)],
            Dial = async cancel => await lab.OpenAsync(cancel),
        };
        await using ControllerStream controller = ControllerStream.Open(address);
        Assert.NotEmpty((await controller.ComesAsync<StreamState.Waiting>(0)).Reason);
        shown = ours; // no restart
        await controller.AcceptedAsync(State(1));
        using AgentClient client = new(address);
        AgentStatus status = await client.Calls.GetStatusAsync(
            new GetStatusRequest(), cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(1ul, status.AppliedRevision);
    }

    [Fact]
    public async Task A_newer_term_takes_over_and_the_old_leader_learns_it()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using ControllerStream old = ControllerStream.Open(lab, one => one with { Controller = "a", Term = 3 });
        await old.AcceptedAsync(State(1));
        await using ControllerStream leader =
            ControllerStream.Open(lab, one => one with { Controller = "b", Term = 7 });
        await leader.AcceptedAsync(State(2));
        await old.ComesAsync<StreamState.Waiting>(
            0, one => one.Reason.Contains("b has taken over with term 7", StringComparison.Ordinal));
        old.Stream.Want(State(3));
        await old.ComesAsync<StreamState.Waiting>(
            0, one => one.Reason.Contains("StaleTerm", StringComparison.Ordinal));
        await leader.AcceptedAsync(State(4));
        Assert.Equal(4ul, (await lab.StatusAsync()).AppliedRevision);
        Assert.DoesNotContain(old.States, one => one is StreamState.Synced { Revision: 3 });
    }

    [Fact]
    public async Task What_removes_too_much_is_held_back_until_it_is_confirmed()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(
            config => config["mass_change"] = new JsonObject { ["floor"] = 1 });
        await using ControllerStream controller = ControllerStream.Open(
            lab, one => one with { Acquire = true, Heartbeat = TimeSpan.FromMilliseconds(200) });
        await controller.AcceptedAsync(State(1));
        StepOutcome.HeldBack held =
            Assert.IsType<StepOutcome.HeldBack>(await controller.ApplyAsync(State(2, KeepOneVnic)));
        Assert.Contains(held.Answer.Removals, one => one is { Kind: "vNICs", IsReason: true });
        Assert.Equal(1ul, (await lab.StatusAsync()).AppliedRevision);
        Assert.NotNull((await controller.Stream.ConfirmAsync(2, TestContext.Current.CancellationToken)).Accepted);
        Assert.Equal(2ul, (await lab.StatusAsync()).AppliedRevision);
        await controller.ComesAsync<StreamState.Synced>(0, one => one.Revision == 2);
        await controller.AcceptedAsync(State(3, KeepOneVnic));
        Assert.DoesNotContain(controller.States, one => one is StreamState.Waiting);

        static void KeepOneVnic(Snapshot state)
        {
            while (state.Vnics.Count > 1)
            {
                state.Vnics.RemoveAt(1);
            }
        }
    }

    private static DesiredState State(ulong revision, Action<Snapshot>? change = null)
    {
        Snapshot state = DaemonLab.OneWayIn();
        state.Revision = revision;
        state.IssuedAt = new() { Seconds = 1_796_000_000 + (long)revision };
        state.Groups[2].Name = revision.ToString(CultureInfo.InvariantCulture);
        change?.Invoke(state);
        return DesiredState.Of(state);
    }

    private static Task<DaemonLab> DebuggingAsync() =>
        DaemonLab.StartAsync(config => config["log"] = new JsonObject { ["level"] = "debug" });

    /// <summary>What the agent validated so far, as it says itself.</summary>
    private static (int Snapshots, int Deltas) Steps(DaemonLab lab)
    {
        string log = lab.Daemon.Log;
        return (Count(log, "a snapshot"), Count(log, "a delta"));

        static int Count(string text, string what) => text.Split('\n').Count(
            line => line.Contains(what, StringComparison.Ordinal) && line.Contains("valid", StringComparison.Ordinal));
    }

    private static async Task AppliedAsync(DaemonLab lab, ControllerStream controller, DesiredState state)
    {
        controller.Stream.Want(state);
        await DaemonLab.UntilAsync(
            $"revision {state.Revision}", async () => (await lab.StatusAsync()).AppliedRevision == state.Revision);
        await DaemonLab.UntilAsync("a last word", () =>
            controller.Stream.State is StreamState.Synced synced && synced.Revision == state.Revision);
    }

    private static void Signal(DaemonLab lab, int signal) => SystemCommand.Run(
        "kill", $"-{signal}", lab.Daemon.ProcessId.ToString(CultureInfo.InvariantCulture));

    // A thread that has no processor stops when it gets one.
    private static async Task StopAsync(DaemonLab lab)
    {
        Signal(lab, SignalStop);
        await DaemonLab.UntilAsync(
            "a stop of all threads",
            () => Directory.EnumerateDirectories($"/proc/{lab.Daemon.ProcessId}/task").All(IsStopped));

        static bool IsStopped(string thread)
        {
            try
            {
                return File.ReadAllText($"{thread}/stat").Split(") ")[^1][0] == 'T';
            }
            catch (IOException)
            {
                return false; // it ended before it could be stopped
            }
        }
    }
}
