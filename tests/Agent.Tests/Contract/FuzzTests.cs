using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using Agent.Contract;
using Agent.Daemon.State;
using Agent.Policy;
using Agent.Tests.State;
using Google.Protobuf;
using Delta = Agent.V1.Delta;
using Snapshot = Agent.V1.Snapshot;
using SyncRequest = Agent.V1.SyncRequest;

namespace Agent.Tests.Contract;

/// <summary>
/// Broken messages by the thousand, from valid ones: each is no message, or is refused and changes nothing, or is a
/// state that survives being written, saved and read. A failure names its seed; SG_FUZZ_SECONDS makes it look longer.
/// </summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    /// <summary>A seed is a life: a state, and some hundred broken messages to it.</summary>
    private const int Seeds = 12;

    private const int MessagesPerSeed = 150;

    private static readonly TimeSpan Longer = TimeSpan.FromSeconds(
        int.TryParse(Environment.GetEnvironmentVariable("SG_FUZZ_SECONDS"), CultureInfo.InvariantCulture, out int asked)
            ? asked : 0);

    private int unreadable;
    private int refused;
    private int accepted;

    [Fact]
    public void A_broken_snapshot_is_no_message_or_refused_or_a_whole_state() => Run(seed =>
    {
        var random = new Random(seed);
        byte[] wire = RandomStates.Next(random, 3).ToByteArray();
        for (int i = 0; i < MessagesPerSeed; i++)
        {
            if (Parsed(Snapshot.Parser, WireMutations.Of(wire, random)) is { } snapshot)
            {
                Judge(SnapshotReader.Read(snapshot, PolicyLimits.Default), snapshot.Revision);
            }
        }
    });

    [Fact]
    public void A_broken_delta_is_no_message_or_refused_and_leaves_what_is_held() => Run(seed =>
    {
        var random = new Random(seed);
        Snapshot state = RandomStates.Next(random, 3);
        Snapshot next = state.Clone();
        next.Revision = 4;
        for (int i = 0; i < 5; i++)
        {
            RandomStates.Change(next, random);
        }

        byte[] wire = RandomStates.Between(state, next, random).ToByteArray();
        PolicySnapshot held = DeltaTests.Read(state);
        byte[] before = StateHash.Of(held);
        Snapshot written = SnapshotWriter.Write(held);
        for (int i = 0; i < MessagesPerSeed; i++)
        {
            if (Parsed(Delta.Parser, WireMutations.Of(wire, random)) is not { } delta)
            {
                continue;
            }

            SnapshotResult result = DeltaReader.Apply(held, delta, PolicyLimits.Default);
            Assert.Equal(before, StateHash.Of(held));
            Assert.Equal(written, SnapshotWriter.Write(held));
            Judge(result, delta.Revision);
            if (result.Policy is { } policy)
            {
                AssertSaved(policy, file =>
                {
                    file.WriteSnapshot(1, written.ToByteArray());
                    file.AppendDelta(1, delta.ToByteArray());
                });
            }
        }
    });

    [Fact]
    public void A_broken_stream_is_answered_message_by_message_and_gives_its_memory_back() => Run(seed =>
    {
        var random = new Random(seed);
        var budget = new SnapshotBudget(1 << 20);
        Snapshot whole = RandomStates.Next(random, 3);
        byte[][] parts = [.. AssemblerTests.Stream(whole, random).Select(part => part.ToByteArray())];
        using (var assembler = new SnapshotAssembler(PolicyLimits.Default, budget))
        {
            for (int i = 0; i < MessagesPerSeed; i++)
            {
                byte[] part = parts[i % parts.Length];
                part = random.Next(8) == 0 ? WireMutations.Of(part, random) : part;
                if (Parsed(SyncRequest.Parser, part) is not { } request)
                {
                    continue;
                }

                switch (request.MessageCase)
                {
                    case SyncRequest.MessageOneofCase.SnapshotBegin: assembler.Begin(request.SnapshotBegin); break;
                    case SyncRequest.MessageOneofCase.SnapshotChunk: assembler.Add(request.SnapshotChunk); break;
                    case SyncRequest.MessageOneofCase.SnapshotEnd:
                        (Snapshot? snapshot, SnapshotResult read) = assembler.End(request.SnapshotEnd);
                        Assert.Equal(snapshot is null, read.Policy is null);
                        Assert.False(assembler.IsOpen);
                        Judge(read, snapshot?.Revision ?? 0);
                        break;
                }
            }
        }

        Assert.True(budget.TryTake(budget.MostBytes));
    });

    /// <summary>A weight that is not found, or found after the memory is taken, is no bound.</summary>
    [Fact]
    public void Whatever_the_bytes_are_their_weight_is_found_without_memory() => Run(seed =>
    {
        var random = new Random(seed);
        byte[] wire = RandomStates.Next(random, 3).ToByteArray();
        for (int i = 0; i < MessagesPerSeed; i++)
        {
            var bytes = new ReadOnlySequence<byte>(WireMutations.Of(wire, random));
            long before = GC.GetAllocatedBytesForCurrentThread();
            long weight = MessageWeight.Of(bytes, Snapshot.Descriptor);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1000);
            Assert.InRange(weight, 0, 96 * (bytes.Length + 1));
        }
    });

    private void Run(Action<int> life)
    {
        long started = Stopwatch.GetTimestamp();
        int seed = 0;
        for (; seed < Seeds || Stopwatch.GetElapsedTime(started) < Longer; seed++)
        {
            try
            {
                life(seed);
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                throw new InvalidOperationException($"seed {seed}", e);
            }
        }

        output.WriteLine($"{seed} seeds: {unreadable} no message, {refused} refused, {accepted} accepted");
    }

    private T? Parsed<T>(MessageParser<T> parser, byte[] wire) where T : class, IMessage<T>
    {
        try
        {
            return parser.WithDiscardUnknownFields(true).ParseFrom(wire);
        }
        catch (InvalidProtocolBufferException)
        {
            unreadable++;
            return null;
        }
    }

    private void Judge(SnapshotResult result, ulong revision)
    {
        Assert.Equal(result.Policy is null, result.Faults.Length > 0);
        Assert.All(result.Faults, fault => Assert.True(PlainText.Is(fault.ToString()), fault.ToString()));
        if (result.Policy is not { } policy)
        {
            refused++;
            return;
        }

        accepted++;
        Assert.Equal(revision, policy.Revision);
        AssertSaved(policy, file => file.WriteSnapshot(1, SnapshotWriter.Write(policy).ToByteArray()));
    }

    private static void AssertSaved(PolicySnapshot policy, Action<StateFile> save)
    {
        var disk = new TornDisk();
        using (var file = new StateFile(disk))
        {
            save(file);
        }

        using var again = new StateFile(disk);
        (PolicySnapshot found, _, string? damage) = SavedPolicy.Load(again);
        Assert.Null(damage);
        Assert.Equal(StateHash.Of(policy), StateHash.Of(found));
        Assert.Equal(SnapshotWriter.Write(policy), SnapshotWriter.Write(found));
    }
}
