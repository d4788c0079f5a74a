using System.Text;
using Agent.Daemon.State;

namespace Agent.Tests.State;

/// <summary>
/// The power goes at any call and any byte, or any call fails: what is found afterwards is the last acknowledged state,
/// or the one that was being written. Never damage, never an older one.
/// </summary>
public class PowerCutTests
{
    private const string State = "state";

    /// <summary>S: a snapshot; d: a delta.</summary>
    public static TheoryData<string> Lives => ["S", "Sd", "Sdd", "SdS", "SSd", "SddSd"];

    [Theory]
    [MemberData(nameof(Lives))]
    public void Whenever_the_power_goes_the_last_acknowledged_state_or_the_next_is_found(string life)
    {
        int states = 0;
        for (int calls = 0; ; calls++)
        {
            var disk = new TornDisk();
            int left = calls;
            disk.Before = (_, _) => left = left > 0 ? left - 1 : throw new PowerCutException();
            (List<string> acknowledged, List<string>? underway) = Live(disk, life);
            foreach (byte[]? found in disk.AfterCut(State))
            {
                AssertFound(found, acknowledged, underway);
                states++;
            }

            if (underway is null)
            {
                break;
            }
        }

        Assert.True(states >= life.Length * 8, $"{states} states");
    }

    /// <summary>And the life after it goes on where that one ended, whatever tail it left.</summary>
    [Fact]
    public void What_is_appended_after_a_power_cut_survives_the_next_one()
    {
        var disk = new TornDisk();
        disk.Before = (call, _) =>
        {
            if (call == "sync" && disk.Read(State) is { Length: > 60 })
            {
                throw new PowerCutException();
            }
        };
        (List<string> first, List<string>? underway) = Live(disk, "Sd");
        Assert.NotNull(underway);
        foreach (byte[]? found in disk.AfterCut(State))
        {
            TornDisk next = TornDisk.With(State, found!);
            using var file = new StateFile(next);
            List<string> held = Texts(file.Load());
            bool isCut = false;
            next.Before = (call, _) =>
            {
                isCut |= call == "sync";
                _ = isCut ? throw new PowerCutException() : 0;
            };
            Assert.Throws<PowerCutException>(() => file.AppendDelta(2, "second life"u8.ToArray()));
            Assert.StartsWith(string.Join(',', first), string.Join(',', held), StringComparison.Ordinal);
            foreach (byte[]? again in next.AfterCut(State))
            {
                AssertFound(again, held, [.. held, "second life"]);
            }
        }
    }

    /// <summary>
    /// A process is killed between a write and its sync, and the next one tells everybody that it holds what was
    /// written.
    /// </summary>
    [Theory]
    [InlineData("sync")]
    [InlineData("sync directory")]
    public void What_a_killed_process_did_not_sync_and_the_next_one_holds_survives_a_power_cut(string killedAt)
    {
        var disk = new TornDisk();
        int left = killedAt == "sync" ? 1 : 0; // the first one is the snapshot's
        disk.Before = (call, _) => _ = call == killedAt && left-- == 0 ? throw new PowerCutException() : 0;
        Live(disk, "Sd");
        disk.Before = (_, _) => { };
        using var file = new StateFile(disk);
        List<string> held = Texts(file.Load());
        Assert.NotEmpty(held);
        Assert.Null(file.Objection());
        foreach (byte[]? found in disk.AfterCut(State))
        {
            AssertFound(found, held, underway: null);
        }
    }

    [Fact]
    public void As_long_as_what_was_loaded_cannot_be_synced_it_is_told()
    {
        var disk = new TornDisk();
        Live(disk, "Sd");
        using var file = new StateFile(disk);
        file.Load();
        disk.Before = (call, _) => _ = call == "sync directory" ? throw new IOException("no sync") : 0;
        Assert.Equal("no sync", file.Objection());
        disk.Before = (_, _) => { };
        Assert.Null(file.Objection());
    }

    public static TheoryData<string, int> Failures
    {
        get
        {
            var all = new TheoryData<string, int>();
            foreach (string call in (string[])["create", "open", "write", "sync", "rename", "cut", "delete",
                "sync directory"])
            {
                foreach (int partial in (int[])[0, 1, 30, 1000])
                {
                    all.Add(call, partial);
                }
            }

            return all;
        }
    }

    /// <summary>
    /// A step is refused if it may not be in the file; those that are accepted afterwards are all found, and a refused
    /// one only where it was the last.
    /// </summary>
    [Theory]
    [MemberData(nameof(Failures))]
    public void Whatever_fails_no_accepted_step_is_lost_or_follows_a_refused_one(string call, int partial)
    {
        const string Life = "SddSddd";
        for (int first = 0; first < 12; first++)
        {
            for (int times = 1; times <= 3; times++)
            {
                var disk = new TornDisk { Partial = partial };
                int seen = 0;
                int begin = first;
                int end = first + times;
                disk.Before = (now, _) =>
                {
                    // A disk without room does not take the cut either, now and then.
                    bool concerns = now == call || (call == "write" && times == 3 && now == "cut");
                    if (concerns && seen++ >= begin && seen <= end)
                    {
                        throw new IOException($"no {now}");
                    }
                };
                using var file = new StateFile(disk);
                Run run = new();
                foreach (char step in Life)
                {
                    run.Step(file, step);
                    foreach (byte[]? found in disk.AfterCut(State))
                    {
                        run.Check(found, $"{call} {partial} {first} {times}");
                    }
                }

                disk.Before = (_, _) => { };
                run.Step(file, 'd');
                Assert.Equal(run.Accepted, Texts(new StateFile(disk).Load()));
            }
        }
    }

    [Fact]
    public void A_disk_that_has_no_room_is_told_and_keeps_nothing_of_the_trial()
    {
        var disk = new TornDisk { Partial = 100 };
        using var file = new StateFile(disk);
        file.WriteSnapshot(1, new byte[9000]);
        Assert.Null(file.Objection());
        disk.Before = (call, bytes) => _ = call == "write" && bytes > 8000 ? throw new IOException("no room") : 0;
        Assert.Equal("no room", file.Objection());
        Assert.Throws<IOException>(() => file.WriteSnapshot(2, new byte[9000]));
        Assert.Equal([State], disk.Names);
        file.AppendDelta(1, new byte[100]); // for this there is room, and it is enough for the next of its size
        Assert.Null(file.Objection());
        Assert.Equal([State], disk.Names);
    }

    private static (List<string> Acknowledged, List<string>? Underway) Live(TornDisk disk, string life)
    {
        List<string> acknowledged = [];
        using var file = new StateFile(disk);
        for (int i = 0; i < life.Length; i++)
        {
            string payload = $"{life[i]}{i}";
            List<string> next = life[i] == 'S' ? [payload] : [.. acknowledged, payload];
            try
            {
                Write(file, life[i], payload);
            }
            catch (PowerCutException)
            {
                return (acknowledged, next);
            }

            acknowledged = next;
        }

        return (acknowledged, null);
    }

    private static void Write(StateFile file, char step, string payload)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(payload);
        if (step == 'S')
        {
            file.WriteSnapshot(1, bytes);
        }
        else
        {
            file.AppendDelta(1, bytes);
        }
    }

    private static void AssertFound(byte[]? found, List<string> acknowledged, List<string>? underway)
    {
        List<string> loaded = Loaded(found);
        Assert.True(
            loaded.SequenceEqual(acknowledged) || (underway is not null && loaded.SequenceEqual(underway)),
            $"found [{string.Join(' ', loaded)}], acknowledged [{string.Join(' ', acknowledged)}]");
    }

    private static List<string> Loaded(byte[]? found)
    {
        using var file = new StateFile(found is null ? new TornDisk() : TornDisk.With(State, found));
        return Texts(file.Load());
    }

    private static List<string> Texts(IEnumerable<StateRecord> records) =>
        [.. records.Select(record => Encoding.UTF8.GetString(record.Payload))];

    /// <summary>No disk says this: it is the end of the process.</summary>
    private sealed class PowerCutException() : Exception("the power is gone");

    /// <summary>Steps as the loop takes them: the next does not build on a refused one.</summary>
    private sealed class Run
    {
        private int number;
        private List<string>? refused;

        public List<string> Accepted { get; private set; } = [];

        public void Step(StateFile file, char step)
        {
            string payload = $"{step}{number++}";
            bool whole = step == 'S' || file.WantsSnapshot;
            List<string> next = whole ? [$"{payload} on {string.Join('+', Accepted)}"] : [.. Accepted, payload];
            try
            {
                Write(file, whole ? 'S' : 'd', next[^1]);
                (Accepted, refused) = (next, null);
            }
            catch (IOException)
            {
                refused = next;
            }
        }

        public void Check(byte[]? found, string when)
        {
            List<string> loaded = Loaded(found);
            Assert.True(
                loaded.SequenceEqual(Accepted) || (refused is not null && loaded.SequenceEqual(refused))
                || earlier.Any(loaded.SequenceEqual),
                $"{when}: [{string.Join(' ', loaded)}], accepted [{string.Join(' ', Accepted)}]");
            if (refused is not null && !earlier.Any(refused.SequenceEqual))
            {
                earlier.Add(refused);
            }
            else if (refused is null)
            {
                earlier.Clear();
            }
        }

        /// <summary>Refused since the last accepted step: the disk may hold any of them.</summary>
        private readonly List<List<string>> earlier = [];
    }
}
