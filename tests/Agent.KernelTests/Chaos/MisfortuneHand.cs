using System.Diagnostics;
using System.Globalization;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Chaos;

/// <summary>When nothing could hold: whoever flushes tables that are nobody's opens what they closed.</summary>
/// <param name="From"><see cref="Stopwatch"/> timestamp before it.</param>
/// <param name="BackAt">When the agent was started again, or the flush was over with it alive.</param>
internal sealed record Opening(long From, long BackAt);

/// <summary>Does to a host what its lot is.</summary>
/// <param name="host">Whose.</param>
/// <param name="traffic">To be told of wires that are new.</param>
/// <param name="churn">The controller meanwhile.</param>
/// <param name="isProtected">The kernel keeps others off our tables while the daemon lives.</param>
/// <param name="random">For moments alone: what happens is drawn already.</param>
internal sealed class MisfortuneHand(
    ChaosHost host, ChaosTraffic traffic, PolicyChurn churn, bool isProtected, Random random)
{
    private const string Repairs = "sg_agent_drift_repairs_total";

    private const string ForeignTable = """
        table inet reloaded
        delete table inet reloaded
        table inet reloaded {
            set known { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 198.18.0.0/15 }; }
            chain input { type filter hook input priority 10; policy accept; ip saddr @known counter accept; }
            chain forward { type filter hook forward priority 10; policy accept; ct state established counter accept; }
        }

        """;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private DaemonLab Lab => host.Lab;

    /// <summary>Deaths so far.</summary>
    public int Kills { get; private set; }

    /// <summary>Lets it happen; the daemon runs afterwards, and devices are where they were.</summary>
    /// <returns>Null: nothing was to open.</returns>
    public async Task<Opening?> StrikeAsync(Misfortune misfortune)
    {
        switch (misfortune.Kind)
        {
            case MisfortuneKind.Flush:
                return await FlushAsync();
            case MisfortuneKind.FlushWhileDead:
                return await FlushWhileDeadAsync(misfortune.Duration);
            case MisfortuneKind.Kill:
                await KillAsync();
                await Lab.Daemon.LaunchAsync();
                break;
            case MisfortuneKind.KillStorm:
                await KillStormAsync(misfortune.Times);
                break;
            case MisfortuneKind.Reload:
                Reload(misfortune.Times);
                break;
            case MisfortuneKind.Replug:
            case MisfortuneKind.Rename:
            case MisfortuneKind.Move:
                await DisturbAsync(misfortune.Kind, Lab.Network.Guests[misfortune.Guest], misfortune.Duration);
                break;
            case MisfortuneKind.FullDisk:
                await FillDiskAsync(misfortune.Duration);
                break;
            case MisfortuneKind.LittleMemory:
                await SqueezeAsync(misfortune.Duration);
                break;
            case MisfortuneKind.BusyNeighbours:
                await CrowdAsync(misfortune.Duration);
                break;
            case MisfortuneKind.FewDescriptors:
                await StarveAsync(misfortune.Duration);
                break;
            default:
                throw new UnreachableException();
        }

        return null;
    }

    private async Task KillAsync()
    {
        await Lab.Daemon.KillAsync();
        Kills++;
    }

    private async Task KillStormAsync(int times)
    {
        await KillAsync();
        for (int i = 0; i < times; i++)
        {
            Lab.Daemon.Launch();
            await Task.Delay(random.Next(1, 400), Cancel);
            await KillAsync();
        }

        await Lab.Daemon.LaunchAsync();
    }

    private async Task<Opening?> FlushAsync()
    {
        double repairs = await Lab.MetricAsync(Repairs);
        long from = Stopwatch.GetTimestamp();
        Lab.Network.Host.Exec("nft", "flush", "ruleset");
        if (isProtected)
        {
            return null;
        }

        long done = Stopwatch.GetTimestamp();
        await DaemonLab.UntilAsync("a repair", async () => await Lab.MetricAsync(Repairs) > repairs);
        return new Opening(from, done);
    }

    private async Task<Opening> FlushWhileDeadAsync(TimeSpan pause)
    {
        await KillAsync();
        long from = Stopwatch.GetTimestamp();
        Lab.Network.Host.Nft($"flush ruleset\n{ForeignTable}");
        await Task.Delay(pause, Cancel);
        long back = Stopwatch.GetTimestamp();
        await Lab.Daemon.LaunchAsync();
        return new Opening(from, back);
    }

    private void Reload(int times)
    {
        for (int i = 0; i < times; i++)
        {
            Lab.Network.Host.Nft(ForeignTable);
        }
    }

    private async Task DisturbAsync(MisfortuneKind kind, Guest guest, TimeSpan pause)
    {
        string other = $"vnet{guest.Spec.Name}";
        NetNamespace elsewhere = Lab.Network.Outsider.Place;
        switch (kind)
        {
            case MisfortuneKind.Replug:
                Lab.Network.Unplug(guest);
                await Task.Delay(pause, Cancel);
                Lab.Network.Plug(guest);
                traffic.Watch(guest);
                return;
            case MisfortuneKind.Rename:
                Rename(guest.HostDevice, other);
                RouteOver(guest, other); // were it open under this name, packets would find it
                await Task.Delay(pause, Cancel);
                Rename(other, guest.HostDevice);
                break;
            default:
                Lab.Network.Host.IpBatch([$"link set {guest.HostDevice} netns {elsewhere.Name}"]);
                await Task.Delay(pause, Cancel);
                elsewhere.IpBatch([$"link set {guest.HostDevice} netns {Lab.Network.Host.Name}"]);
                break;
        }

        Lab.Network.ConfigureHostSide(guest);
    }

    private void Rename(string from, string to) => Lab.Network.Host.IpBatch(
        [$"link set {from} down", $"link set {from} name {to}", $"link set {to} up"]);

    private void RouteOver(Guest guest, string device) => Lab.Network.Host.IpBatch(
    [
        $"addr replace fe80::1/64 dev {device} nodad",
        $"route replace {guest.V4}/32 dev {device}",
        $"route replace {guest.V6}/128 dev {device}",
        $"neigh replace {guest.V4} lladdr {guest.Spec.Mac} dev {device} nud permanent",
        $"neigh replace {guest.V6} lladdr {guest.Spec.Mac} dev {device} nud permanent",
    ]);

    private async Task FillDiskAsync(TimeSpan duration)
    {
        string ballast = $"{Lab.Daemon.StateDirectory}/ballast";
        churn.MayGoUnsaved = true;
        try
        {
            Lab.Daemon.ExecInside("dd", "if=/dev/zero", $"of={ballast}", "bs=1k"); // until it is full
            await Task.Delay(duration, Cancel);
            await KillAsync();
            await Lab.Daemon.LaunchAsync();
        }
        finally
        {
            Lab.Daemon.ExecInside("rm", "-f", ballast);
        }
    }

    private async Task SqueezeAsync(TimeSpan duration)
    {
        using (MemoryLimit limit = MemoryLimit.Create())
        {
            limit.Put(Lab.Daemon.ProcessId);
            await Task.Delay(duration, Cancel);
        }

        // The kernel may have killed it, and it may take a while to be dead.
        await KillAsync();
        await Lab.Daemon.LaunchAsync();
    }

    private async Task CrowdAsync(TimeSpan duration)
    {
        Process[] hogs = [.. Enumerable.Range(0, 2 * Environment.ProcessorCount).Select(
            _ => Process.Start("sh", ["-c", "while :; do :; done"]))];
        try
        {
            await Task.Delay(duration, Cancel);
            await KillAsync();
            await Lab.Daemon.LaunchAsync();
        }
        finally
        {
            foreach (Process hog in hogs)
            {
                hog.Kill();
                await hog.WaitForExitAsync(CancellationToken.None);
                hog.Dispose();
            }
        }
    }

    private async Task StarveAsync(TimeSpan duration)
    {
        string pid = Lab.Daemon.ProcessId.ToString(CultureInfo.InvariantCulture);
        int held = Directory.GetFileSystemEntries($"/proc/{pid}/fd").Length;
        string before = SystemCommand.Run("prlimit", "-p", pid, "--nofile", "--raw", "--noheadings", "-o", "SOFT,HARD")
            .Trim().Replace(' ', ':');
        SystemCommand.Run("prlimit", "-p", pid, $"--nofile={held}:{before.Split(':')[1]}");
        await Task.Delay(duration, Cancel);
        if (Lab.Daemon.IsRunning)
        {
            SystemCommand.Run("prlimit", "-p", pid, $"--nofile={before}");
        }

        // Seen once: the runtime said "Out of memory." and ended, some moments after it had its descriptors back.
        for (int i = 0; i < 20 && Lab.Daemon.IsRunning; i++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(25), Cancel);
        }

        if (!Lab.Daemon.IsRunning)
        {
            Kills++;
            await Lab.Daemon.LaunchAsync();
        }
    }
}
