using Agent.Daemon.Enforcement;

namespace Agent.Tests.Daemon;

/// <summary>What proofs remember is forgotten when it has outgrown what the host needs, and not before.</summary>
public sealed class ProofMemoryTests
{
    private const long Spare = ProofMemory.SpareBytes;

    private (long Number, long Bytes) last = (3, 100);

    [Fact]
    public void What_was_there_before_the_beginning_says_nothing()
    {
        last = (3, 100 * Spare);
        var memory = new ProofMemory(() => last);
        Assert.False(memory.IsFull());
    }

    [Fact]
    public void Twice_of_what_is_needed_and_some_to_spare_is_full()
    {
        var memory = new ProofMemory(() => last);
        last = (4, 5 * Spare);
        Assert.False(memory.IsFull()); // a large host needs that much
        last = (9, 11 * Spare);
        Assert.False(memory.IsFull());
        last = (10, (11 * Spare) + 1);
        Assert.True(memory.IsFull());
    }

    [Fact]
    public void After_a_new_beginning_the_next_collection_says_what_is_needed()
    {
        var memory = new ProofMemory(() => last);
        last = (4, 1);
        Assert.False(memory.IsFull());
        last = (5, 2 * Spare);
        Assert.True(memory.IsFull());
        memory.Begin();
        Assert.False(memory.IsFull()); // the same collection
        last = (6, 2 * Spare);
        Assert.False(memory.IsFull());
    }

    [Fact]
    public void The_collector_counts_its_full_collections()
    {
        GC.Collect();
        (long before, long bytes) = ProofMemory.ReadCollector();
        Assert.True(before > 0 && bytes > 0);
        GC.Collect();
        Assert.True(ProofMemory.ReadCollector().Number > before);
    }
}
