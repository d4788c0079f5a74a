using System.Globalization;
using Agent.Compiler;
using Agent.Daemon.Config;
using Agent.Daemon.State;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Nftables;

namespace Agent.Daemon.Removal;

/// <summary>
/// Ends enforcement: takes away what <see cref="Footprint"/> names, and our tables by the configuration's name. Nothing
/// else of the agent ever opens a host.
/// </summary>
internal sealed class RulesetRemoval(DaemonConfig config, string sysctls, TextWriter report, TextWriter faults)
{
    public const int Removed = 0;
    public const int NotRemoved = 1;

    /// <summary>Removes all of it in one transaction, and says what it removed.</summary>
    /// <returns>The exit code.</returns>
    public int Run(ILogger log)
    {
        try
        {
            if (DaemonLock.Take(config.StateDirectory) is not { } mine)
            {
                faults.WriteLine($"an sg-agentd is running with {config.StateDirectory}; stop it first "
                    + "(systemctl stop sg-agentd.socket sg-agentd.service)");
                return NotRemoved;
            }

            using (mine)
            {
                return RemoveAll(log);
            }
        }
        catch (NetlinkException e)
        {
            faults.WriteLine($"nothing more can be removed: {e.Message}");
            return NotRemoved;
        }
    }

    private int RemoveAll(ILogger log)
    {
        var file = new FootprintFile(config.StateDirectory, log: null);
        Dictionary<string, uint> tables = new(file.Held.Tables) { [config.Compiler.Table] = config.Compiler.EpochMask };
        if (RemoveTables(tables.Keys) is not { } removed)
        {
            return NotRemoved;
        }

        int unmarked = tables.Values.Distinct().Sum(Unmark);
        report.WriteLine(removed.Count == 0 ? "there was no table" : $"removed {string.Join(", ", removed)}");
        if (unmarked > 0)
        {
            report.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"took the policy epoch off the marks of {unmarked} sessions"));
        }

        bool restored = true;
        foreach ((string name, ChangedSysctl changed) in file.Held.Sysctls)
        {
            restored &= Restore(name, changed);
        }

        if (removed.Count > 0)
        {
            report.WriteLine("security groups are no longer enforced: whatever this host routes or bridges reaches "
                + "every vNIC");
            log.RulesetRemoved(string.Join(", ", removed));
        }

        if (restored)
        {
            file.Delete();
        }

        return restored ? Removed : NotRemoved;
    }

    /// <returns>What was removed, as nft names it; null: nothing could be, and why was said.</returns>
    private List<string>? RemoveTables(IEnumerable<string> names)
    {
        using var kernel = new NftConnection();
        string[] all =
            [.. names, .. names.Select(name => StagedRuleset.TableOf(config.Compiler with { Table = name }))];
        TableOwner[] found = [.. all.SelectMany(kernel.ReadOwners)];
        if (found.FirstOrDefault(one => one.Hold == TableHold.Foreign) is { } foreign)
        {
            faults.WriteLine(
                $"table {NameOf(foreign)} belongs to another program's netlink socket (port {foreign.OwnerPort}, most "
                + "often its process id): an sg-agentd is running; stop it first");
            return null;
        }

        if (Delete(kernel, found) is not CommitOutcome.Committed)
        {
            // Somebody may have taken a table away meanwhile, or claimed it, or the answer was lost: once more, with
            // what there is now.
            TableOwner[] left = [.. all.SelectMany(kernel.ReadOwners)];
            found = [.. found.UnionBy(left, one => (one.Family, one.Name))];
            CommitOutcome outcome = Delete(kernel, left);
            if (outcome is not CommitOutcome.Committed)
            {
                faults.WriteLine(outcome is CommitOutcome.Refused refused
                    ? $"the kernel refuses to delete our tables: {refused.Refusals[0].Error}"
                    : "our tables cannot be deleted: others commit without pause");
                return null;
            }
        }

        return [.. found.Select(one => $"table {NameOf(one)}")];
    }

    private static CommitOutcome Delete(NftConnection kernel, TableOwner[] tables) =>
        kernel.Commit([.. tables.Select(one => new NftOp.DeleteTable(one.Family, one.Name))], generation: null);

    private int Unmark(uint marks)
    {
        try
        {
            using var sessions = new ConntrackConnection();
            return sessions.ClearMarks(0, 0, marks);
        }
        catch (NetlinkException e)
        {
            faults.WriteLine($"sessions keep their marks: {e.Message}");
            return 0;
        }
    }

    private bool Restore(string name, ChangedSysctl changed)
    {
        switch (ConntrackSysctls.Restore(sysctls, name, changed))
        {
            case { IsRestored: true }:
                report.WriteLine(string.Create(
                    CultureInfo.InvariantCulture, $"put {name} back from {changed.Put} to {changed.Found}"));
                return true;
            case { Obstacle: { } obstacle }:
                faults.WriteLine($"{name} stays {changed.Put} instead of {changed.Found}: {obstacle}");
                return false;
            default:
                return true; // somebody has set it since, or the kernel was started anew
        }
    }

    private static string NameOf(TableOwner table) => $"{table.Family.ToString().ToLowerInvariant()} {table.Name}";
}
