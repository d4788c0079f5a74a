using Agent.Client;
using Agent.Contract;
using Agent.Policy;
using Agent.Tests.Contract;
using Agent.V1;

namespace Agent.Tests.Client;

/// <summary>What is sent in parts is put together again by the agent's assembler.</summary>
public sealed class SnapshotPartsTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(60_000)]
    public void A_state_in_parts_is_the_state(int members)
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Vpcs.Add(new V1.Vpc { Id = "vpc-9", UplinkInterfaces = { "eth9" } });
        snapshot.Group("peers").Members.AddRange(
            Enumerable.Range(0, members).Select(i => $"10.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}"));
        DesiredState state = DesiredState.Of(snapshot);
        SyncRequest[] parts = [.. SnapshotParts.Of(state)];
        Assert.All(parts, part => Assert.True(part.CalculateSize() < 300 << 10));
        Assert.Equal(members > 1000, parts.Length > 4);
        SnapshotResult read = Assemble(parts);
        Assert.True(read.Policy is not null, string.Join('\n', read.Faults));
        Assert.Equal(state.Revision, read.Policy.Revision);
        Assert.Equal(state.Hash.ToByteArray(), StateHash.Of(read.Policy));
    }

    [Fact]
    public void Random_states_too()
    {
        var random = new Random(1);
        for (int i = 0; i < 100; i++)
        {
            Snapshot state = RandomStates.Next(random, 1);
            SnapshotResult read = Assemble(SnapshotParts.Of(DesiredState.Of(state)));
            Assert.True(read.Policy is not null, string.Join('\n', read.Faults));
            Assert.Equal(state.IssuedAt.ToDateTimeOffset(), read.Policy.IssuedAt);
        }
    }

    /// <summary>A host's part was asked for when the whole was: what it takes counts from there.</summary>
    [Fact]
    public void What_a_host_gets_of_a_region_was_issued_when_the_region_was()
    {
        Snapshot region = RandomStates.Next(new Random(2), 1);
        DesiredState part = DesiredState.Of(region).For(region.Vnics.Take(1));
        Assert.Equal(region.IssuedAt, part.ToSnapshot().IssuedAt);
        Assert.Equal(region.Revision, part.Revision);
    }

    private static SnapshotResult Assemble(IEnumerable<SyncRequest> parts)
    {
        using var assembler = new SnapshotAssembler(PolicyLimits.Unlimited, new SnapshotBudget(long.MaxValue));
        foreach (SyncRequest part in parts)
        {
            switch (part.MessageCase)
            {
                case SyncRequest.MessageOneofCase.SnapshotBegin:
                    Assert.Empty(assembler.Begin(part.SnapshotBegin));
                    break;
                case SyncRequest.MessageOneofCase.SnapshotChunk:
                    Assert.Empty(assembler.Add(part.SnapshotChunk));
                    break;
                default: return assembler.End(part.SnapshotEnd).Read;
            }
        }

        throw new InvalidOperationException("no end");
    }
}
