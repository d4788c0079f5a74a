using Agent.Daemon.State;

namespace Agent.Tests.Daemon;

/// <summary>The state file survives a crash at any byte, and damage is never read as a state.</summary>
public sealed class StateFileTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("sg-state").FullName;

    private string FileName => Path.Combine(folder, "state");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void What_was_written_is_loaded()
    {
        Write();
        using var file = new StateFile(folder);
        Assert.Equal([(1, 5u, "snapshot"), (2, 5u, "first"), (2, 6u, "")], Texts(file.Load()));
    }

    [Fact]
    public void Loading_does_not_make_the_last_step_any_younger()
    {
        Write();
        var written = new DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero);
        File.SetLastWriteTimeUtc(FileName, written.UtcDateTime);
        using var file = new StateFile(folder);
        file.Load();
        Assert.Equal(written, file.WrittenAt);
    }

    [Fact]
    public void No_file_is_no_state()
    {
        using var file = new StateFile(folder);
        Assert.Empty(file.Load());
        Assert.True(file.WantsSnapshot);
    }

    [Fact]
    public void Appending_goes_on_after_a_load_and_a_snapshot_starts_anew()
    {
        Write();
        using (var file = new StateFile(folder))
        {
            file.Load();
            Assert.False(file.WantsSnapshot);
            file.AppendDelta(7, "more"u8.ToArray());
        }

        using (var file = new StateFile(folder))
        {
            Assert.Equal("more", Texts(file.Load())[^1].Text);
            file.WriteSnapshot(8, "new"u8.ToArray());
            file.AppendDelta(9, "on it"u8.ToArray());
        }

        using var last = new StateFile(folder);
        Assert.Equal([(1, 8u, "new"), (2, 9u, "on it")], Texts(last.Load()));
    }

    [Fact]
    public void Cut_off_at_any_byte_it_is_the_records_before_or_damage()
    {
        Write();
        byte[] whole = File.ReadAllBytes(FileName);
        int[] ends = Ends();
        for (int length = 0; length <= whole.Length; length++)
        {
            File.WriteAllBytes(FileName, whole[..length]);
            int records = ends.Count(end => end <= length);
            using var file = new StateFile(folder);
            if (records == 0)
            {
                // The snapshot replaces the file whole: without it, this is no crash of ours.
                Assert.Throws<StateDamagedException>(file.Load);
                continue;
            }

            Assert.Equal(records, file.Load().Count);

            // And what is appended now is found behind them.
            file.AppendDelta(1, "next"u8.ToArray());
            using var again = new StateFile(folder);
            Assert.Equal(records + 1, again.Load().Count);
        }
    }

    private const int VersionByte = 7;

    [Fact]
    public void Any_flipped_bit_is_damage_or_takes_the_last_record_away()
    {
        Write();
        byte[] whole = File.ReadAllBytes(FileName);
        int[] ends = Ends();
        IReadOnlyList<StateRecord> records;
        using (var file = new StateFile(folder))
        {
            records = file.Load();
        }

        for (int at = 0; at < whole.Length * 8; at++)
        {
            byte[] flipped = [.. whole];
            flipped[at / 8] ^= (byte)(1 << (at % 8));
            File.WriteAllBytes(FileName, flipped);
            using var file = new StateFile(folder);
            if (at / 8 == VersionByte && flipped[VersionByte] > whole[VersionByte])
            {
                Assert.Throws<StateTooNewException>(file.Load); // it could be: it stays
                Assert.Equal(flipped, File.ReadAllBytes(FileName));
            }
            else if (at / 8 < ends[^2])
            {
                Assert.Throws<StateDamagedException>(file.Load);
                Assert.Equal(flipped, File.ReadAllBytes(FileName + ".damaged"));
                Assert.False(File.Exists(FileName));
            }
            else
            {
                Assert.Equal(Texts(records)[..^1], Texts(file.Load())); // a torn append looks the same
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(41)]
    [InlineData(4096)]
    [InlineData(100_000)]
    public void A_tail_of_zeros_is_cut_off(int zeros)
    {
        Write();
        byte[] whole = File.ReadAllBytes(FileName);
        File.WriteAllBytes(FileName, [.. whole, .. new byte[zeros]]);
        using (var file = new StateFile(folder))
        {
            Assert.Equal(3, file.Load().Count);
        }

        Assert.Equal(whole, File.ReadAllBytes(FileName));
    }

    [Theory]
    [InlineData("SGAGENT\u0000", "not a state file")]
    [InlineData("{ \"json\": 1 }", "not a state file")]
    [InlineData("SGAGEN", "not a state file")]
    [InlineData("", "not a state file")]
    [InlineData("SGAGENT\u0001", "no snapshot")]
    public void What_cannot_be_used_is_set_aside_and_told(string content, string word)
    {
        File.WriteAllText(FileName, content);
        using var file = new StateFile(folder);
        StateDamagedException damage = Assert.Throws<StateDamagedException>(file.Load);
        Assert.Contains(word, damage.Message);
        Assert.Contains(FileName + ".damaged", damage.Message);
        Assert.Equal(content, File.ReadAllText(FileName + ".damaged"));
        Assert.Empty(new StateFile(folder).Load());
    }

    [Theory]
    [InlineData("SGAGENT\u0003", 3)]
    [InlineData("SGAGENT\u0009rest", 9)]
    [InlineData("SGAGENT\u007f", 127)]
    public void A_file_of_a_newer_format_stays_for_who_wrote_it_until_a_state_is_saved(string content, int format)
    {
        File.WriteAllText(FileName, content);
        using (var file = new StateFile(folder))
        {
            string said = Assert.Throws<StateTooNewException>(file.Load).Message;
            Assert.Contains($"{FileName} is of format {format}", said);
            Assert.Null(file.Objection()); // the directory takes steps, and trying that leaves no trace
            Assert.Null(file.WrittenAt);
            Assert.True(file.IsTooNew);
            Assert.True(file.WantsSnapshot);
        }

        Assert.Equal([FileName], Directory.GetFiles(folder));
        Assert.Equal(content, File.ReadAllText(FileName));
        using (var file = new StateFile(folder))
        {
            Assert.Throws<StateTooNewException>(file.Load);
            file.WriteSnapshot(5, "ours"u8.ToArray());
            Assert.False(file.IsTooNew);
            Assert.NotNull(file.WrittenAt);
        }

        using var after = new StateFile(folder);
        Assert.Equal([(1, 5u, "ours")], Texts(after.Load()));
    }

    [Fact]
    public void A_delta_without_a_snapshot_before_it_is_damage()
    {
        File.WriteAllBytes(
            FileName, [.. "SGAGENT\u0001"u8, .. StateFile.Format(new StateRecord(StateRecordKind.Delta, 1, [1, 2]))]);
        using var file = new StateFile(folder);
        Assert.Contains("no snapshot", Assert.Throws<StateDamagedException>(file.Load).Message);
    }

    [Fact]
    public void A_snapshot_that_was_not_finished_leaves_the_old_one()
    {
        Write();
        File.WriteAllBytes(FileName + ".new", [1, 2, 3]);
        using var file = new StateFile(folder);
        Assert.Equal(3, file.Load().Count);
    }

    [Fact]
    public void Deltas_that_outweigh_the_snapshot_ask_for_a_new_one()
    {
        using var file = new StateFile(folder);
        file.WriteSnapshot(1, new byte[1000]);
        Assert.False(file.WantsSnapshot);
        file.AppendDelta(1, new byte[1 << 20]);
        Assert.True(file.WantsSnapshot);
        file.WriteSnapshot(1, new byte[1000]);
        Assert.False(file.WantsSnapshot);
    }

    [Fact]
    public void Deltas_that_are_acknowledged_together_are_there_together_or_not_at_all()
    {
        using (var file = new StateFile(folder))
        {
            file.WriteSnapshot(5, new byte[100]);
            file.AppendDelta(5, "first"u8.ToArray());
            file.AppendDeltas(6, [.. Enumerable.Range(0, 5000).Select(i => (byte)(1 + i % 255))]);
        }

        byte[] whole = File.ReadAllBytes(FileName);
        int batch = whole.Length - (9 + 5000 + 32);

        // A power cut keeps any pages of what was not synced.
        for (int from = batch; from < whole.Length; from += 97)
        {
            byte[] torn = [.. whole];
            Array.Clear(torn, from, Math.Min(4096, whole.Length - from));
            File.WriteAllBytes(FileName, torn);
            using var file = new StateFile(folder);
            Assert.Equal([1, 2], file.Load().Select(record => (int)record.Kind));
        }
    }

    [Fact]
    public void A_file_of_the_first_version_is_read_and_written_anew_with_the_next_step()
    {
        Write();
        byte[] old = File.ReadAllBytes(FileName);
        old[7] = 1;
        File.WriteAllBytes(FileName, old);
        using var file = new StateFile(folder);
        Assert.Equal(3, file.Load().Count);
        Assert.True(file.WantsSnapshot);
        file.WriteSnapshot(6, "new"u8.ToArray());
        Assert.False(file.WantsSnapshot);
        Assert.Equal(2, File.ReadAllBytes(FileName)[7]);
    }

    private void Write()
    {
        using var file = new StateFile(folder);
        file.WriteSnapshot(5, "snapshot"u8.ToArray());
        file.AppendDelta(5, "first"u8.ToArray());
        file.AppendDelta(6, []);
    }

    /// <summary>Where each record of <see cref="Write"/> ends.</summary>
    private static int[] Ends()
    {
        int snapshot = 8 + 9 + 8 + 32;
        int first = snapshot + 9 + 5 + 32;
        return [snapshot, first, first + 9 + 32];
    }

    private static (int Kind, uint Epoch, string Text)[] Texts(IReadOnlyList<StateRecord> records) =>
        [.. records.Select(
            record => ((int)record.Kind, record.Epoch, System.Text.Encoding.UTF8.GetString(record.Payload)))];
}
