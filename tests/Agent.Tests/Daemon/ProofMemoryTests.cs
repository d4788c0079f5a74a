using Agent.Daemon.Enforcement;

namespace Agent.Tests.Daemon;

/// <summary>What proofs remember is forgotten when it has outgrown what the host needs, and not before.</summary>
public sealed class ProofMemoryTests
{
    private const long Spare = ProofMemory.SpareBytes;

    private readonly Collector collector = new();

    [Fact]
    public void Nothing_is_asked_before_the_first_proof()
    {
        var memory = new ProofMemory(collector);
        Assert.False(memory.IsFull());
        Assert.Equal(0, collector.Begun);
        Assert.False(memory.IsFull());
        Assert.Equal(1, collector.Begun);
    }

    [Fact]
    public void Twice_of_what_is_needed_and_some_to_spare_is_full()
    {
        ProofMemory memory = Needing(5 * Spare); // a large host needs that much
        Assert.False(Holds(memory, 11 * Spare));
        Assert.True(Holds(memory, (11 * Spare) + 1));
    }

    /// <summary>It costs: it is asked only where the limit may be reached, and not for each proof then.</summary>
    [Fact]
    public void The_collector_is_asked_when_there_is_more_than_the_limit()
    {
        ProofMemory memory = Needing(Spare);
        int begun = collector.Begun;
        collector.Bytes = 3 * Spare;
        Assert.False(memory.IsFull());
        Assert.Equal(begun, collector.Begun);
        collector.Bytes = (3 * Spare) + 1;
        Assert.False(memory.IsFull());
        Assert.False(memory.IsFull()); // it has not ended yet
        Assert.Equal(begun + 1, collector.Begun);
        collector.End(left: (5 * Spare) / 2); // most of it was no garbage, and the limit is near
        Assert.False(memory.IsFull());
        Assert.False(memory.IsFull());
        Assert.Equal(begun + 1, collector.Begun);
    }

    [Fact]
    public void After_a_new_beginning_what_is_needed_is_measured_anew()
    {
        ProofMemory memory = Needing(1);
        Assert.True(Holds(memory, 2 * Spare));
        memory.Begin();
        Measure(memory, 2 * Spare);
        Assert.False(Holds(memory, 5 * Spare));
    }

    [Theory]
    [InlineData(ProofMemory.FewProofs - 4, 2)]
    [InlineData(ProofMemory.FewProofs, 1)]
    public void Where_it_was_full_soon_it_may_become_more(int proofs, int times)
    {
        ProofMemory memory = Needing(0);
        for (int i = 0; i < proofs; i++)
        {
            Assert.False(memory.IsFull());
        }

        memory.Begin();
        Measure(memory, 0);
        Assert.False(Holds(memory, times * Spare));
        Assert.True(Holds(memory, (times * Spare) + 1));
    }

    [Fact]
    public void The_process_counts_its_full_collections()
    {
        var its = new ProcessCollector();
        long before = its.Last.Number;
        its.Begin();
        Assert.True(SpinWait.SpinUntil(() => its.Last.Number > before, TimeSpan.FromSeconds(10)));
        Assert.True(its.Last.Bytes > 0 && its.Bytes > 0);
    }

    private ProofMemory Needing(long bytes)
    {
        var memory = new ProofMemory(collector);
        Measure(memory, bytes);
        return memory;
    }

    private void Measure(ProofMemory memory, long bytes)
    {
        Assert.False(memory.IsFull());
        Assert.False(memory.IsFull());
        collector.End(bytes);
        Assert.False(memory.IsFull());
    }

    /// <summary>Whether it is full when there is much, of which a collection leaves so much.</summary>
    private bool Holds(ProofMemory memory, long left)
    {
        collector.Bytes = long.MaxValue;
        Assert.False(memory.IsFull());
        collector.End(left);
        return memory.IsFull();
    }

    private sealed class Collector : ICollector
    {
        public (long Number, long Bytes) Last { get; private set; } = (3, 100 * Spare);

        public long Bytes { get; set; }

        public int Begun { get; private set; }

        public void Begin() => Begun++;

        public void End(long left) => (Last, Bytes) = ((Last.Number + 1, left), left);
    }
}
