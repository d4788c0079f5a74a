using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Agent.Compiler;
using Agent.Contract;
using Agent.Nftables;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.Benchmarks.Packets;

/// <summary>What traffic feels of changes that concern others.</summary>
internal static class ChurnParts
{
    private const int ChurnCpu = 1;
    private const int UpdatesPerSecond = 100;

    /// <summary>Throughput while the real daemon rewrites another vNIC's policy.</summary>
    public static void Throughput(PacketReport report, int rounds)
    {
        var daemon = new DaemonRules();
        using var bed = PacketBed.Build(daemon, new TrafficPolicy(100, 4));
        Func<double> burst = Cases.Datagrams(bed, 60_000);
        using var churn = new Churn(daemon, bed.Policy);
        var quiet = new Samples();
        var neighbour = new Samples();
        var busy = new Samples();
        Turns.Take(rounds, [(quiet, () => Wall(burst)), (neighbour, () => BesideWork(() => Wall(burst))),
            (busy, () => churn.During(() => Wall(burst)))]);
        report.Section("While another vNIC's policy changes", string.Create(CultureInfo.InvariantCulture, $"""
            The real daemon, on the other core, gets {UpdatesPerSecond} changes a second of a rule of a group that
            another vNIC is in; each takes something away, so that every session is judged anew after it. What 60,000
            packets of 256 sessions take, by the clock on the wall. Cores share caches, memory, and often the very core
            (hyper-threads): what any work beside costs is told by a loop over 1 MiB that has nothing to do with us.
            """));
        report.Table("", ["a packet", "answered", "commits"],
        [
            ("quiet", [quiet.ToString(), "", ""]),
            ("any work on the other core", [neighbour.ToString(), "", ""]),
            ("changes", [busy.ToString(), $"{churn.Answered}", $"{churn.Commits}"]),
        ]);
        report.Target("throughput lost while another vNIC's policy is rewritten 100 times a second", "3 %",
            busy.PartOver(quiet), 0.03, PacketReport.Part);
        report.Target("the same, over any work on the other core", "", busy.PartOver(neighbour), 0.03,
            PacketReport.Part);
    }

    /// <summary>Packets lost while transactions follow each other as fast as the kernel takes them.</summary>
    public static void Loss(PacketReport report, int rounds)
    {
        AgentRules agent = AgentRules.Unlimited;
        using var bed = PacketBed.Build(agent, new TrafficPolicy(100, 4));
        using var connection = bed.Host.Run(() => new NftConnection());
        CompiledRuleset[] compiled = new CompiledRuleset[3];
        for (int i = 0; i < compiled.Length; i++)
        {
            compiled[i] = agent.Compile(bed.Policy.Snapshot(i), i == 0 ? null : compiled[i - 1]);
        }

        Plan[] circle = [.. compiled.Select((one, i) => Plan.Between(
            agent.RulesetOf(one), agent.RulesetOf(compiled[(i + 1) % compiled.Length])))];
        Func<double> sessions = Cases.Sessions(bed, 20_000);
        Func<double> live = Cases.Datagrams(bed, 20_000);
        long transactions = 0;
        using var stop = new CancellationTokenSource();
        var clock = Stopwatch.StartNew();
        Task churn = Task.Run(() => Turns.Pinned(() =>
        {
            for (int i = 0; !stop.IsCancellationRequested; i++)
            {
                transactions += AgentRules.Commit(connection, circle[i % circle.Length]);
            }
        }, ChurnCpu));
        int bursts = 4 * rounds;
        Turns.Pinned(() =>
        {
            for (int i = 0; i < bursts; i++)
            {
                sessions(); // every burst is checked: one that is lost ends the measurement
                live();
            }
        });
        double perSecond = transactions / clock.Elapsed.TotalSeconds;
        stop.Cancel();
        churn.GetAwaiter().GetResult();
        report.Section("Packets lost while others change", string.Create(CultureInfo.InvariantCulture, $"""
            A rule of another vNIC and a member of a group that everybody's rules name change as fast as the kernel
            takes it: {perSecond:N0} transactions a second. Meanwhile {bursts * 20_000:N0} packets opened a session
            each, and as many followed in sessions that live: all arrived.
            """));
        report.Target("allowed packets lost, of " + (bursts * 40_000).ToString("N0", CultureInfo.InvariantCulture)
            + $", during {perSecond.ToString("N0", CultureInfo.InvariantCulture)} transactions a second", "0", 0, 0,
            lost => lost.ToString(CultureInfo.InvariantCulture));
    }

    // Reads and writes as programs do, and asks nothing of the kernel.
    private static double BesideWork(Func<double> measure)
    {
        using var stop = new CancellationTokenSource();
        Task work = Task.Run(() => Turns.Pinned(() =>
        {
            byte[] bytes = new byte[1 << 20];
            while (!stop.IsCancellationRequested)
            {
                System.Security.Cryptography.SHA256.HashData(bytes).CopyTo(bytes, 0);
            }
        }, ChurnCpu));
        double measured = measure();
        stop.Cancel();
        work.GetAwaiter().GetResult();
        return measured;
    }

    private static double Wall(Func<double> burst)
    {
        long began = Stopwatch.GetTimestamp();
        burst();
        return Stopwatch.GetElapsedTime(began).TotalNanoseconds / 60_000;
    }

    /// <summary>The real daemon on the second core.</summary>
    private sealed class DaemonRules : IFirewall
    {
        public DaemonProcess? Daemon { get; private set; }

        public string Name => "sg-agentd";

        public bool HasPolicy => true;

        public IDisposable Load(NetNamespace host, TrafficPolicy policy)
        {
            DaemonProcess daemon = DaemonProcess.StartAsync(host, new DaemonOptions
            {
                ManagedInterfaces = ["tap*"],
                Wrapper = $"taskset -c {ChurnCpu}",
                Configure = config => config["limits"] = new JsonObject
                {
                    ["group_rules_per_basic_group"] = 2000,
                },
                ReadyTimeout = TimeSpan.FromMinutes(1),
            }).GetAwaiter().GetResult();
            Daemon = daemon;
            ApplyResponse loaded = new SecurityGroupAgent.SecurityGroupAgentClient(daemon.Channel).ApplySnapshot(
                new ApplySnapshotRequest { Snapshot = SnapshotWriter.Write(policy.Snapshot()) });
            return loaded.Accepted is not null ? new Ending(daemon)
                : throw new InvalidOperationException($"the policy is refused: {loaded.Refused}");
        }

        private sealed class Ending(DaemonProcess daemon) : IDisposable
        {
            public void Dispose() => daemon.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    /// <summary>Changes of one group, at a rate, while they are wanted.</summary>
    private sealed class Churn : IDisposable
    {
        private const int Variants = 50;

        private readonly AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call;
        private readonly SecurityGroup[] variants;
        private readonly Task reading;
        private readonly HashSet<ulong> commits = [];
        private ulong revision = 1;
        private long sent;
        private long answered;

        public Churn(DaemonRules rules, TrafficPolicy policy)
        {
            // Made before, so that what sends them takes nothing from what is measured.
            string group = policy.PolicyOf(new TrafficPort(1));
            variants = [.. Enumerable.Range(1, Variants).Select(i =>
                SnapshotWriter.Write(policy.Snapshot(i)).Groups.Single(one => one.Id == group))];
            call = new SecurityGroupAgent.SecurityGroupAgentClient(rules.Daemon!.Channel).Sync();
            reading = Task.Run(ReadAsync);
        }

        public long Answered => Interlocked.Read(ref answered);

        public int Commits => commits.Count;

        /// <summary>Measures between the first change and the last one.</summary>
        public double During(Func<double> measure)
        {
            using var stop = new CancellationTokenSource();
            Task writing = Task.Run(() => WriteAsync(stop.Token));
            SpinWait.SpinUntil(() => Interlocked.Read(ref sent) > Answered, TimeSpan.FromSeconds(1));
            double measured = measure();
            stop.Cancel();
            writing.GetAwaiter().GetResult();
            while (Answered < Interlocked.Read(ref sent))
            {
                Thread.Sleep(5);
            }

            return measured;
        }

        public void Dispose()
        {
            call.RequestStream.CompleteAsync().GetAwaiter().GetResult();
            reading.GetAwaiter().GetResult();
            call.Dispose();
        }

        private async Task WriteAsync(CancellationToken stop)
        {
            var clock = Stopwatch.StartNew();
            for (int i = 0; !stop.IsCancellationRequested; i++)
            {
                TimeSpan early = TimeSpan.FromSeconds((double)i / UpdatesPerSecond) - clock.Elapsed;
                if (early > TimeSpan.Zero)
                {
                    await Task.Delay(early, CancellationToken.None);
                }

                var delta = new Delta { BaseRevision = revision, Revision = ++revision };
                delta.UpsertGroups.Add(variants[revision % Variants]);
                await call.RequestStream.WriteAsync(new SyncRequest { Delta = delta }, CancellationToken.None);
                Interlocked.Increment(ref sent);
            }
        }

        private async Task ReadAsync()
        {
            while (await call.ResponseStream.MoveNext(CancellationToken.None))
            {
                SyncResponse response = call.ResponseStream.Current;
                if (response.Accepted is { } accepted)
                {
                    commits.Add(accepted.CommitRevision);
                    Interlocked.Increment(ref answered);
                }
                else
                {
                    throw new InvalidOperationException($"a change was not accepted: {response}");
                }
            }
        }
    }
}
