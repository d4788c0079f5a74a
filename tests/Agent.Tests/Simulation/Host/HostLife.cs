using System.Diagnostics;
using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.State;
using Agent.Daemon.Supervision;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Policy;
using Prometheus;

namespace Agent.Tests.Simulation.Host;

/// <summary>What of a run is not as it is in production: a test breaks it, to see that it is found.</summary>
internal sealed record Sabotage
{
    public static readonly Sabotage None = new();

    public Func<IFirewall, IFirewall> Firewall { get; init; } = firewall => firewall;

    public Func<IStateDisk, IStateDisk> Disk { get; init; } = disk => disk;

    /// <summary>Where the lease is noted.</summary>
    public Func<IStateDisk, IStateDisk> LeaseDisk { get; init; } = disk => disk;

    public Func<CompileRequest, CompiledRuleset> Compiler { get; init; } = RulesetCompiler.Compile;

    /// <summary>Sessions are not judged again when rules become stricter.</summary>
    public bool ForgetsEpoch { get; init; }

    /// <summary>Steps are not judged once more when they are taken.</summary>
    public bool TakesFencedSteps { get; init; }
}

/// <summary>
/// A host from its first start on, for some turbulent steps, until in the calm everything is as it should be: the real
/// loop, enforcer, compiler, state file and validation, on one thread, and all that happens decided by one seed.
/// </summary>
/// <remarks>
/// The loop drives the simulation: wherever it would wait, or call kernel or disk, it comes by here, and here the world
/// goes on. So whatever happens, happens at such a point, and the process may die at each.
/// </remarks>
internal sealed partial class HostLife : IHostWatch, IDisposable
{
    private const int StoryLines = 120;
    private const int CalmSteps = 40;
    private const int MostLives = 500;

    private readonly Fate fate;
    private readonly Sabotage sabotage;
    private readonly SimulatedClock clock = new();
    private readonly SimulatedHost host;
    private readonly Election election;
    private readonly SimulatedController controller;
    private readonly PolicyWitness witness;
    private readonly StoryLog story;
    private readonly HostTally tally;
    private readonly HostFacts facts;
    private DaemonConfig config;
    private readonly Verifier? verifier;
    private readonly DiskWeather weather;

    private ProcessKernel kernel;
    private Reconciler? loop;
    private Enforcer? enforcer;
    private CancellationTokenSource stop = new();
    private int stepsLeft;
    private int calmSteps;
    private int diesIn;
    private bool devicesMoved;
    private bool workGiven;
    private bool isSettled;
    private int commitsOfThisLife;

    /// <param name="seed">Decides everything.</param>
    /// <param name="steps">Turbulent ones.</param>
    /// <param name="tally">Counts what happens.</param>
    /// <param name="proves">Rulesets are proved before they are committed, which takes most of the time.</param>
    /// <param name="sabotage">What is broken.</param>
    public HostLife(int seed, int steps, HostTally tally, bool proves = false, Sabotage? sabotage = null)
    {
        this.tally = tally;
        fate = new Fate(seed);
        this.sabotage = sabotage ?? Sabotage.None;
        host = new SimulatedHost(fate);
        weather = new DiskWeather(fate, this);
        story = new StoryLog(StoryLines) { IsUnread = () => weather.IsUnread };
        witness = new PolicyWitness { Way = WayOf };
        election = new Election(fate, this);
        controller = new SimulatedController(fate, this, election);
        facts = HostFacts.Default with { NetdevHooksByName = host.HooksByName, Bridge = host.Layer };
        config = new DaemonConfig
        {
            Verify = proves ? VerifyMode.Enforce : VerifyMode.Off,
            MassChange = fate.Pick(2) == 0 ? new MassChangeConfig() : new MassChangeConfig { Floor = 2 },
        };
        verifier = proves ? new Verifier(clock) : null;
        kernel = new ProcessKernel(host, fate, this);
        (stepsLeft, story.IsHarmed, IsWeighed) = (steps, !IsHonest, seed % WeighedEvery == 0);
        clock.OnWait = WhileTheLoopWaits;
        clock.IsSpent = () => fate.Strikes(30);
    }

    /// <summary>Lives it.</summary>
    /// <exception cref="BrokenPromiseException">Something that must always hold did not; <see cref="Story"/> tells how
    /// it came.</exception>
    public void Live()
    {
        for (int lives = 1; !isSettled; lives++)
        {
            Expect("it comes up", lives > MostLives ? $"not in {lives} lives" : null);
            story.Tell($"life {lives} begins{(fate.IsCalm ? ", in the calm" : "")}");
            try
            {
                Run();
                controller.Disconnected();
            }
            catch (ProcessDiedException e)
            {
                AfterDeath(e.Message);
            }
            catch (NetlinkException e)
            {
                story.Tell($"it could not start: {e.Message}");
                controller.Disconnected();
            }
        }

        AfterAll();
    }

    public void Dispose() => stop.Dispose();

    public string Story => story.ToString();

    /// <summary>Where something is broken on purpose, the daemon may well take it for somebody else's doing.</summary>
    private bool IsHonest => sabotage == Sabotage.None;

    public void Refused()
    {
        tally.Count("refusals");
        witness.MayHoldBack = true;
    }

    public void Tell(string line) => story.Tell(line);

    public void DiskFails(string how)
    {
        tally.Count("disk faults");
        story.Tell(how);
    }

    public void Interfere(string when, bool toOurs)
    {
        story.Tell(when + host.Interfere(toOurs));
        story.IsHarmed |= host.IsDamaged;
        tally.Count(host.IsDamaged ? "foreign changes" : "foreign commits");
    }

    public void At(string point)
    {
        if (diesIn > 0 && --diesIn == 0)
        {
            throw new ProcessDiedException(point);
        }
    }

    /// <summary>Each transaction is a step after which everything must hold.</summary>
    public void Committed()
    {
        commitsOfThisLife++;
        tally.Count("transactions");
        if (loop is { State.Version: > 0 })
        {
            witness.MayFollow(loop.State.Desired);
        }

        host.IsProgrammed |= host.Ours.Find(NftFamily.Inet, SimulatedHost.Table) is { } table
            && table.Chains.Any(chain => chain.Hook is { Hook: NftHook.Forward });
        Judge(packets: 5);
    }

    private void Run()
    {
        kernel = new ProcessKernel(host, fate, this);
        stop.Dispose();
        (diesIn, stop) = (0, new CancellationTokenSource());
        workGiven = false; // what the last process was asked died with it
        weather.Blow(host.Disk, isCalm: fate.IsCalm);
        weather.Begin();
        commitsOfThisLife = 0;
        using var file = new StateFile(sabotage.Disk(host.Disk));
        var progress = new LoopProgress(clock) { OnMark = Marked };
        enforcer = new Enforcer(
            sabotage.Firewall(kernel), config.Compiler, PolicySettings.Default, clock, story)
        {
            Kernel = facts,
            Compiler = sabotage.Compiler,
            Verifier = verifier,
            Progress = progress,
            KeepsSessions = sabotage.ForgetsEpoch,
        };
        var metrics = new AgentMetrics(Metrics.NewCustomRegistry(), "test", "simulated");
        var keeper = new LeaseKeeper(
            new LeaseFile(sabotage.LeaseDisk(host.Disk)), Election.LeaseLife, clock, story,
            new OwnershipMetrics(metrics.Registry));
        loop = new Reconciler(enforcer, file, config, clock, story, metrics)
        {
            Progress = progress,
            Keeper = sabotage.TakesFencedSteps ? null : keeper,
        };
        loop.Alarm(keeper.Alarms);
        MakeTrouble();
        loop.Start(host.Links, "test", "simulated");
        if (weather.IsUnread && loop.State.Desired.Revision == 0)
        {
            story.Tell("it could not read what it held");
            tally.Count("unread states");
            controller.Forgive();
        }

        Expect("no granted term is forgotten", election.Connected(keeper, weather.IsUnread));
        Expect("no acknowledged state is lost", controller.Connected(loop.State));
        Task run = loop.RunAsync(stop.Token);
        if (!run.IsCompleted)
        {
            throw new UnreachableException("the loop waits although nothing was asked of it to wait for");
        }

        run.GetAwaiter().GetResult();
        story.Tell("it stops");
    }

    private void AfterDeath(string at)
    {
        story.Tell($"the process dies at: {at}");
        tally.Count("deaths");
        tally.Count($"deaths at {at}");
        TakeAnswers();
        controller.Disconnected();
        if (fate.Pick(3) == 0)
        {
            story.Tell("and the power goes");
            tally.Count("power cuts");
            host.CutPower();
            witness.Forget();
        }
        else if (fate.Strikes(20))
        {
            Interfere("", toOurs: true);
        }
    }

    private void Marked(LoopMark mark)
    {
        At(mark.Step ?? "rest");
        if (mark.Step is null)
        {
            Rest();
        }
    }

    // The loop has nothing to do, and would wait: the world goes on until it is asked for something.
    private void Rest()
    {
        Expect("the daemon does not fail or accuse by itself", story.Complaint);
        Expect("nothing piles up", Piled());
        TakeAnswers();
        Expect("no acknowledged state is lost", controller.Check(loop!.State));
        Expect("nothing is held for ever", Grown());
        Look();
        Expect("what the answer says is so", Untrue());
        Judge(packets: 8);
        if (fate.IsCalm)
        {
            Calm();
            return;
        }

        if (--stepsLeft <= 0)
        {
            story.Tell("from here on nothing goes wrong");
            fate.IsCalm = true;
            (diesIn, devicesMoved) = (0, true);
            weather.Blow(host.Disk, isCalm: true);
            Calm();
            return;
        }

        do
        {
            Storm();
        }
        while (!HasWork());
    }

    private bool HasWork()
    {
        bool asked = workGiven;
        workGiven = false;
        return asked;
    }

    private void Ask(AgentRequest request) => workGiven |= loop!.Requests.TryWrite(request);

    private void Storm()
    {
        clock.Advance(TimeSpan.FromMilliseconds(fate.Pick(8) == 0 ? 70_000 : fate.Pick(2000)));
        if (fate.Strikes(3))
        {
            clock.SetBack(TimeSpan.FromHours(fate.Pick(100) - 50));
        }

        MakeTrouble();
        DisturbHost();
        Contend();
        for (int i = fate.Pick(3); i > 0; i--)
        {
            if (fate.Pick(5) > 0)
            {
                controller.WantMore();
            }

            controller.Send();
        }

        Deliver();
        Contend();
        OpenSessions();
        AskMore();
        ProveLater(fate.Strikes(50));
        if (fate.Strikes(3))
        {
            story.Tell("it is told to stop");
            stop.Cancel();
            workGiven = true;
        }
    }

    private void DisturbHost()
    {
        if (fate.Strikes(20))
        {
            tally.Count("device changes");
            story.Tell(host.ChangeDevices());
            story.IsHarmed |= !host.HooksByName; // guards went with their devices
            devicesMoved = true;
        }

        if (fate.Strikes(10))
        {
            Interfere("", toOurs: !host.IsOwned);
        }
    }

    private void AskMore()
    {
        if (fate.Strikes(70))
        {
            Ask(new AgentRequest.AuditDue()); // the others are lost
        }

        if (fate.Strikes(4))
        {
            Ask(new AgentRequest.Verify(new TaskCompletionSource<ReadBack>()));
        }

        if (fate.Strikes(3))
        {
            story.Tell("settings change");
            config = config with { Compiler = config.Compiler with { DropRate = (uint)(5 + fate.Pick(3)) } };
            Ask(new AgentRequest.Reconfigure(config, new TaskCompletionSource<AgentState>()));
        }

        if (fate.Strikes(6) && controller.Wanted.Revision > 0)
        {
            story.Tell("somebody stages a policy");
            Ask(new AgentRequest.Stage(
                SmallStates.Next(controller.Wanted, fate.Random), NextRevision: true,
                new TaskCompletionSource<ApplyOutcome>())
            { Claim = election.Leader });
        }
    }

    private void MakeTrouble()
    {
        if (fate.IsCalm)
        {
            return;
        }

        diesIn = fate.Strikes(15) ? fate.Pick(50) + 1 : diesIn;
        kernel.Faults = fate.Strikes(25) ? fate.Pick(40) : 0;
        kernel.Interference = fate.Strikes(20) ? 40 : 0;
        kernel.RefusesSoon = fate.Strikes(12);
        kernel.RefusedName = fate.Strikes(40) ? "" : kernel.RefusedName;
        weather.Blow(host.Disk, isCalm: false);
    }

    private void Deliver()
    {
        int before = controller.Sent;
        controller.Deliver(loop!);
        workGiven |= controller.Sent > before;
        if (devicesMoved && !fate.Strikes(30))
        {
            devicesMoved = false;
            Ask(new AgentRequest.LinksChanged(host.Links));
        }
    }

    private void ProveLater(bool isDue)
    {
        if (isDue && verifier is not null && loop!.State is { Enforced: { } enforced } state
            && (state.Proof is not { IsPending: false } proof || !ReferenceEquals(proof.Of, enforced)))
        {
            Ask(new AgentRequest.Proved(verifier.ProveAtLeisureAsync(
                enforced, enforced.Ruleset, only: null, CancellationToken.None).GetAwaiter().GetResult()));
        }
    }

    private void Calm()
    {
        if (MissingForPeace() is not { } missing)
        {
            story.Tell("all is as it should be");
            WeighInPeace();
            isSettled = true;
            stop.Cancel();
            return;
        }

        if (++calmSteps > CalmSteps)
        {
            throw new BrokenPromiseException("when faults stop, it converges", missing);
        }

        if (weather.IsUnread)
        {
            story.Tell("somebody restarts it: it could not read its disk");
            stop.Cancel();
            workGiven = true;
            return;
        }

        clock.Advance(TimeSpan.FromSeconds(5));
        Expect("the elected controller is let in", controller.Hello());
        if (controller.Wanted.Revision == 0)
        {
            controller.WantMore();
        }

        if (!controller.Holds(loop!.State))
        {
            controller.Send();
        }

        if (loop.State.Staged is { MassChange: null })
        {
            Ask(new AgentRequest.DiscardStaged(
                election.Leader, new TaskCompletionSource<(StagedPolicy?, PolicyFault?)>()));
        }

        Deliver();
        ProveLater(isDue: true);
        Ask(new AgentRequest.AuditDue());
    }

    // What was enforced at the end is found by the next process, which has nothing to do.
    private void AfterAll()
    {
        Ruleset before = host.Nftables.Ruleset;
        BridgeLayer layer = loop!.State.Enforced!.Request.Host.Bridge;
        Run();

        // Once a vNIC was a port of a bridge, bridges stay open to vNICs as long as the process lives.
        bool isSame = layer == loop!.State.Enforced!.Request.Host.Bridge;
        Expect("a restart changes nothing", !isSame || (before == host.Nftables.Ruleset && commitsOfThisLife == 0)
            ? null : $"{commitsOfThisLife} transactions");
        verifier?.Dispose();
    }

    private void WhileTheLoopWaits()
    {
        At("between switch and cleaning up");
        Judge(packets: 4);
        OpenSessions();
        if (fate.Strikes(10))
        {
            Interfere("  meanwhile ", toOurs: !host.IsOwned);
        }
    }
}
