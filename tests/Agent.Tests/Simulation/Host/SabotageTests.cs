using Agent.Daemon.Enforcement;
using Agent.Daemon.State;
using Agent.Nftables;

namespace Agent.Tests.Simulation.Host;

/// <summary>The simulation finds what it is there for: each of these breaks one thing, and some seed shows it.
/// </summary>
public sealed class SabotageTests
{
    private const string Bounds = "nothing passes beyond the policies, and nothing that all of them allow is cut";
    private const string Sessions = "sessions live as long as they are allowed";

    /// <summary>By a packet that opens a session or one that goes on: whichever comes first.</summary>
    private const string Packets = $"{Bounds}|{Sessions}";

    private const int Lives = 120;
    private const int Steps = 10;

    [Fact]
    public void A_disk_that_does_not_sync_loses_an_acknowledged_state() => Finds(
        "no acknowledged state is lost", new Sabotage { Disk = disk => new CarelessDisk(disk, syncs: false) });

    [Fact]
    public void A_disk_error_that_is_passed_over_loses_an_acknowledged_state() => Finds(
        "no acknowledged state is lost", new Sabotage { Disk = disk => new CarelessDisk(disk, syncs: true) });

    [Fact]
    public void An_epoch_that_does_not_move_lets_sessions_live_on() => Finds(
        Sessions, new Sabotage { ForgetsEpoch = true });

    [Fact]
    public void A_transaction_in_two_parts_opens_or_cuts_in_between() => Finds(
        Bounds, new Sabotage { Firewall = firewall => new MeddlingFirewall(firewall) { InTwoParts = true } });

    [Fact]
    public void A_switch_before_its_preparation_is_over_opens_or_cuts() => Finds(
        Packets, new Sabotage { Firewall = firewall => new MeddlingFirewall(firewall) { WithoutElements = true } });

    [Fact]
    public void A_compiler_that_opens_a_profile_is_found_by_a_packet() => Finds(
        Packets, new Sabotage
        {
            Compiler = request => ErringCompiler.Compile(
                request, (_, table) => table.Chains.FirstOrDefault(chain => IsProfile(chain.Name)) is { } chain
                    ? ErringCompiler.Open(request, table, chain.Name[..^"_in".Length]) : table),
        });

    [Fact]
    public void What_is_never_cleaned_up_does_not_converge() => Finds(
        "when faults stop, it converges",
        new Sabotage { Firewall = firewall => new MeddlingFirewall(firewall) { WithoutCleanup = true } });

    [Fact]
    public void A_step_that_is_not_judged_when_it_is_taken_is_a_replaced_controllers() => Finds(
        "a replaced controller changes nothing", new Sabotage { TakesFencedSteps = true });

    [Fact]
    public void A_lease_that_is_not_synced_is_forgotten() => Finds(
        "no granted term is forgotten", new Sabotage { LeaseDisk = disk => new CarelessDisk(disk, syncs: false) });

    [Fact]
    public void What_keeps_everything_that_was_committed_grows() => Finds(
        "nothing is held for ever", new Sabotage { Firewall = firewall => new HoardingFirewall(firewall) }, steps: 40);

    private static bool IsProfile(string chain) => chain.StartsWith("p_", StringComparison.Ordinal)
        && chain.EndsWith("_in", StringComparison.Ordinal);

    private static void Finds(string promise, Sabotage sabotage, int steps = Steps)
    {
        (FailedLife? failed, int lived, _) = HostLives.Live(1, Lives, steps, sabotage);
        Assert.True(failed is not null, $"not found in {lived} lives");
        Assert.True(promise.Split('|').Contains(failed.Promise), failed.ToString());
    }

    /// <summary>Says that all is well, and either does not sync, or passes over what fails.</summary>
    private sealed class CarelessDisk(IStateDisk disk, bool syncs) : IStateDisk
    {
        public string PathOf(string name) => disk.PathOf(name);

        public byte[]? Read(string name) => disk.Read(name);

        public IStateDiskFile Open(string name, bool anew) => new CarelessFile(disk.Open(name, anew), syncs);

        public void Rename(string from, string to) => disk.Rename(from, to);

        public void Delete(string name) => disk.Delete(name);

        public void Sync()
        {
            if (syncs)
            {
                disk.Sync();
            }
        }

        public DateTimeOffset? WrittenAt(string name) => disk.WrittenAt(name);
    }

    private sealed class CarelessFile(IStateDiskFile file, bool syncs) : IStateDiskFile
    {
        public long Length
        {
            get => file.Length;
            set => file.Length = value;
        }

        public void Write(long at, ReadOnlySpan<byte> bytes)
        {
            try
            {
                file.Write(at, bytes);
            }
            catch (IOException) when (syncs)
            {
            }
        }

        public void Sync()
        {
            if (syncs)
            {
                file.Sync();
            }
        }

        public void Dispose() => file.Dispose();
    }

    /// <summary>Changes nothing.</summary>
    private abstract class PassingFirewall(IFirewall firewall) : IFirewall
    {
        public uint ReadGeneration() => firewall.ReadGeneration();

        public (Ruleset Ruleset, uint Generation) Read() => firewall.Read();

        public (Ruleset Ruleset, uint Generation) ReadBack(
            Ruleset expected, IReadOnlyList<NftOp> ops, uint generation) =>
            firewall.ReadBack(expected, ops, generation);

        public Ruleset ReadAside(string table) => firewall.ReadAside(table);

        public void Unmark(uint mask, uint value, uint clear) => firewall.Unmark(mask, value, clear);

        public int Retrack(IReadOnlySet<ushort> zones) => firewall.Retrack(zones);

        public virtual CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation) =>
            firewall.Commit(ops, generation);
    }

    /// <summary>Never lets go of what it was given.</summary>
    private sealed class HoardingFirewall(IFirewall inner) : PassingFirewall(inner)
    {
        private readonly List<IReadOnlyList<NftOp>> hoard = [];

        public override CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation)
        {
            hoard.Add(ops);
            return base.Commit(ops, generation);
        }
    }

    /// <summary>Changes transactions on their way.</summary>
    private sealed class MeddlingFirewall(IFirewall inner) : PassingFirewall(inner)
    {
        public bool InTwoParts { get; init; }

        public bool WithoutElements { get; init; }

        public bool WithoutCleanup { get; init; }

        public override CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation)
        {
            bool isCleanup = ops.All(op => op is NftOp.FlushChain or NftOp.DeleteChain or NftOp.DeleteSet
                or NftOp.DeleteElements or NftOp.DeleteObject);
            if (WithoutCleanup && isCleanup)
            {
                return new CommitOutcome.Committed(generation ?? ReadGeneration(), 0, 0);
            }

            bool isPreparation = ops.All(op => op is not NftOp.FlushChain);
            NftOp[] some = WithoutElements && isPreparation ? [.. ops.Where(op => op is not NftOp.AddElements)] : [];
            if (some.Length > 0)
            {
                return base.Commit(some, generation);
            }

            NftOp[] flushes = InTwoParts && !isCleanup ? [.. ops.Where(op => op is NftOp.FlushChain)] : [];
            return flushes.Length > 0 && base.Commit(flushes, generation) is CommitOutcome.Committed half
                ? base.Commit([.. ops.Except(flushes)], half.Generation) : base.Commit(ops, generation);
        }
    }
}
