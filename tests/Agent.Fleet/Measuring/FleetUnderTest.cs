using System.Diagnostics;
using System.Globalization;
using Agent.Fleet.Agents;
using Agent.Fleet.Store;

namespace Agent.Fleet.Measuring;

/// <summary>etcd, a region in it, agents, and controllers that come and go.</summary>
internal sealed class FleetUnderTest : IAsyncDisposable
{
    private readonly List<RealAgent> real = [];
    private readonly List<ControllerProcess> controllers = [];
    private readonly EtcdServer etcd;
    private readonly Random random = new(1);
    private AgentFarm? farm;
    private int changes;
    private int started;

    private FleetUnderTest(EtcdServer etcd)
    {
        this.etcd = etcd;
        Store = new EtcdStore(etcd.Socket);
    }

    public EtcdStore Store { get; }

    public IReadOnlyList<IFleetAgent> Agents { get; private set; } = [];

    /// <summary>What controllers complained of: faults, lost connections to the store.</summary>
    public IEnumerable<string> Complaints => controllers.SelectMany(one => one.Said)
        .Where(line => line.Contains(": ", StringComparison.Ordinal));

    public static async Task<FleetUnderTest> StartAsync(int simulated, int real, CancellationToken cancel)
    {
        var fleet = new FleetUnderTest(await EtcdServer.StartAsync(cancel));
        try
        {
            fleet.farm = await AgentFarm.StartAsync(simulated, cancel);
            for (int i = 0; i < real; i++)
            {
                fleet.real.Add(await RealAgent.StartAsync());
            }

            fleet.Agents = [.. fleet.farm.Agents, .. fleet.real];
            IEnumerable<Write> region = RegionPlan.Groups()
                .Concat(fleet.Agents.SelectMany((agent, i) => RegionPlan.Host(i, agent.Socket)));
            foreach (Write[] part in region.Chunk(EtcdStore.MostWrites))
            {
                await fleet.Store.WriteAsync(part, cancel);
            }

            return fleet;
        }
        catch
        {
            await fleet.DisposeAsync();
            throw;
        }
    }

    public ControllerProcess StartController()
    {
        var controller = new ControllerProcess(
            etcd.Socket, string.Create(CultureInfo.InvariantCulture, $"controller-{++started}"));
        controllers.Add(controller);
        return controller;
    }

    /// <summary>Changes something that concerns every host.</summary>
    /// <returns>For each agent, from the write to enforced; the longest last.</returns>
    public async Task<TimeSpan[]> ChangeAsync(CancellationToken cancel)
    {
        long began = Stopwatch.GetTimestamp();
        long revision = await Store.WriteAsync([RegionPlan.ForEverybody(++changes)], cancel);
        return await EnforcedAsync(revision, began, cancel);
    }

    /// <summary>From a moment on, until each agent enforces a revision.</summary>
    public async Task<TimeSpan[]> EnforcedAsync(long revision, long began, CancellationToken cancel)
    {
        TimeSpan[] times = await Task.WhenAll(Agents.Select(async agent =>
        {
            await agent.EnforcedAsync((ulong)revision, cancel);
            return Stopwatch.GetElapsedTime(began);
        }));
        Array.Sort(times);
        return times;
    }

    /// <summary>Members come and go at a steady pace, ten in a transaction.</summary>
    /// <returns>How many were written.</returns>
    public async Task<int> ChurnAsync(int perSecond, TimeSpan time, CancellationToken cancel)
    {
        const int Together = 10;
        int written = 0;
        Stopwatch clock = Stopwatch.StartNew();
        var open = new Queue<Task<long>>();
        while (clock.Elapsed < time)
        {
            // A store that is slower than that is no reason to go on for longer.
            while (clock.Elapsed < time && written < clock.Elapsed.TotalSeconds * perSecond)
            {
                // A key may stand once in a transaction.
                IEnumerable<Write> writes = Enumerable.Range(0, Together).Select(_ => RegionPlan.Churn(random))
                    .DistinctBy(write => write.Key);
                open.Enqueue(Store.WriteAsync([.. writes], cancel));
                written += Together;
                if (open.Count > 32)
                {
                    await open.Dequeue();
                }
            }

            await Task.Delay(5, cancel);
        }

        await Task.WhenAll(open);
        return written;
    }

    public async ValueTask DisposeAsync()
    {
        controllers.ForEach(one => one.Dispose());
        await Task.WhenAll(real.Select(agent => agent.DisposeAsync().AsTask()));
        if (farm is not null)
        {
            await farm.DisposeAsync();
        }

        Store.Dispose();
        etcd.Dispose();
    }
}
