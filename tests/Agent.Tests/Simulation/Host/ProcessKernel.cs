using Agent.Daemon.Enforcement;
using Agent.Netlink;
using Agent.Nftables;

namespace Agent.Tests.Simulation.Host;

/// <summary>The kernel as one process sees it, with all that may go wrong on the way there and back.</summary>
internal sealed class ProcessKernel(SimulatedHost host, Fate fate, IHostWatch watch) : IFirewall
{
    private static readonly int[] ObjectErrors = [12, KernelError.Ebusy, KernelError.Eexist, 28];
    private static readonly int[] BatchErrors = [KernelError.Emsgsize, KernelError.Enobufs, 12];

    /// <summary>Of 100 calls, so many fail.</summary>
    public int Faults { get; set; }

    /// <summary>The kernel does not take objects of this name; empty: it takes all.</summary>
    public string RefusedName { get; set; } = "";

    /// <summary>One object of the next transaction will not be taken, for a while.</summary>
    public bool RefusesSoon { get; set; }

    /// <summary>Others write at the worst moments.</summary>
    public int Interference { get; set; }

    public uint ReadGeneration()
    {
        watch.At("read generation");
        Fail("read generation", KernelError.Enobufs);
        return host.Nftables.ReadGeneration();
    }

    public (Ruleset Ruleset, uint Generation) Read()
    {
        watch.At("read");
        Fail("read ruleset", KernelError.Eintr);
        return (host.Ours, host.Nftables.ReadGeneration());
    }

    public (Ruleset Ruleset, uint Generation) ReadBack(Ruleset expected, IReadOnlyList<NftOp> ops, uint generation)
    {
        watch.At("read back");
        Interfere();
        Fail("read ruleset", KernelError.Eintr);
        Ruleset read = host.Ours;
        return (read == expected ? expected : read, host.Nftables.ReadGeneration());
    }

    public Ruleset ReadAside(string table)
    {
        watch.At("read aside");
        Fail("read ruleset", KernelError.Eintr);
        return new Ruleset(host.Nftables.Ruleset.Tables.Where(one => one.Name == table).ToValueArray());
    }

    public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation)
    {
        watch.At("commit");
        Interfere();
        if (fate.Strikes(Faults))
        {
            int errno = fate.Pick(BatchErrors); // sent in part, or not at all: nothing is applied
            watch.Tell($"  the transaction fails as a whole: errno {errno}");
            return Refused(-1, errno);
        }

        // What is owned is changed by nobody else, so nobody is asked (KernelFirewall).
        uint? planned = host.IsOwned && ops.All(op => op.Table == SimulatedHost.Table) ? null : generation;
        CommitOutcome outcome = Objection(ops, planned) ?? host.Nftables.Commit(ops, planned);
        watch.Tell($"  {ops.Count} operations, {ops[0]} ...: {Said(ops, outcome)}");
        if (outcome is CommitOutcome.Refused)
        {
            watch.Refused();
        }

        if (outcome is not CommitOutcome.Committed)
        {
            return outcome;
        }

        watch.Committed();
        watch.At("committed");
        Fail("read generation", KernelError.Enobufs); // it is in, and the process does not know
        if (fate.Strikes(Faults))
        {
            // Acknowledgements were lost, and who committed last is not known: it may as well be stale.
            watch.Tell("  its answers are lost");
            host.Nftables.CommitElsewhere();
            return new CommitOutcome.Stale();
        }

        return outcome;
    }

    public void Unmark(uint mask, uint value, uint clear)
    {
        watch.At("unmark");
        Fail("clear marks", KernelError.Enobufs);
        host.Unmark(mask, value, clear);
    }

    public int Retrack(IReadOnlySet<ushort> zones)
    {
        watch.At("retrack");
        Fail("track sessions anew", KernelError.Enobufs);
        return 0; // the simulated host knows no sequence numbers
    }

    private static CommitOutcome.Refused Refused(int op, int errno) =>
        new([new OpRefusal(op, new KernelError(errno, "simulated"))]);

    private static string Said(IReadOnlyList<NftOp> ops, CommitOutcome outcome) => outcome switch
    {
        CommitOutcome.Committed committed => $"generation {committed.Generation}",
        CommitOutcome.Refused refused => string.Join("; ", refused.Refusals.Take(3).Select(
            one => $"{(one.OpIndex < 0 ? "batch" : ops[one.OpIndex])}: {one.Error}")),
        _ => "stale",
    };

    private CommitOutcome.Refused? Objection(IReadOnlyList<NftOp> ops, uint? planned)
    {
        if (planned is { } on && on != host.Nftables.ReadGeneration())
        {
            return null; // stale comes first
        }

        if (RefusesSoon && ops.Any(Creates))
        {
            RefusesSoon = false;
            RefusedName = fate.Pick([.. ops.Where(Creates)]).ObjectName;
            watch.Tell($"  from here on {RefusedName} is refused");
        }

        for (int i = 0; i < ops.Count; i++)
        {
            if (RefusedName.Length > 0 && !fate.IsCalm && Creates(ops[i]) && ops[i].ObjectName == RefusedName)
            {
                return Refused(i, fate.Pick(ObjectErrors));
            }

            if (!host.HooksByName && ops[i] is NftOp.AddChain { Hook.Device: string device }
                && !host.Devices.ContainsKey(device))
            {
                return Refused(i, KernelError.Enoent);
            }
        }

        return null;
    }

    private static bool Creates(NftOp op) =>
        op is NftOp.AddChain or NftOp.AddRule or NftOp.AddSet or NftOp.AddElements or NftOp.AddObject;

    private void Interfere()
    {
        if (fate.Strikes(Interference))
        {
            watch.Interfere("  ", toOurs: !host.IsOwned && fate.Pick(3) == 0);
        }
    }

    private void Fail(string what, int errno)
    {
        if (fate.Strikes(Faults))
        {
            watch.Tell($"  {what} fails");
            throw new NetlinkException(what, new KernelError(errno, "simulated"));
        }
    }
}

/// <summary>What the run is told of.</summary>
internal interface IHostWatch
{
    /// <summary>A call to kernel or disk, or a step of the loop. The process may die here.</summary>
    void At(string point);

    /// <summary>A transaction of the process is in the kernel.</summary>
    void Committed();

    /// <summary>Operations were refused.</summary>
    void Refused();

    /// <summary>Others write.</summary>
    void Interfere(string when, bool toOurs);

    void DiskFails(string how);

    void Tell(string line);
}
