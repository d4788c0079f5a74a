using Agent.Daemon.Counting;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Tests.Counting;

/// <summary>Totals neither fall nor count twice, whatever becomes of what they are read from.</summary>
public sealed class LedgerTests : IDisposable
{
    private static readonly CountKey Key = new("eni-1", Direction.Ingress, CountKind.Drop, "default");
    private static readonly CountPlace Inet = new(NftFamily.Inet, "tap1");
    private static readonly CountPlace Bridge = new(NftFamily.Bridge, "tap1");
    private static readonly DateTimeOffset Noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    private readonly string folder = Directory.CreateTempSubdirectory("sg-ledger").FullName;

    [Fact]
    public void A_counter_that_goes_on_is_its_own_total()
    {
        CounterLedger ledger = new();
        foreach (ulong count in (ulong[])[0, 3, 3, 10])
        {
            ledger.Observe(Key, Inet, life: 1, Of(count), Noon);
            Assert.Equal(Of(count), ledger.TotalOf(Key));
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(10)]
    [InlineData(25)]
    public void A_counter_of_another_life_adds_to_what_was_before(ulong next)
    {
        CounterLedger ledger = new();
        ledger.Observe(Key, Inet, life: 1, Of(10), Noon);
        ledger.Observe(Key, Inet, life: 2, Of(next), Noon);
        Assert.Equal(Of(10 + next), ledger.TotalOf(Key));
        ledger.Observe(Key, Inet, life: 2, Of(next + 1), Noon);
        Assert.Equal(Of(11 + next), ledger.TotalOf(Key));
    }

    [Fact]
    public void A_counter_that_fell_has_begun_anew_and_one_that_was_renewed_need_not_fall()
    {
        CounterLedger ledger = new();
        ledger.Observe(Key, Inet, life: 1, Of(10), Noon);
        ledger.Observe(Key, Inet, life: 1, Of(4), Noon);
        Assert.Equal(Of(14), ledger.TotalOf(Key));
        ledger.Renew(Key, Inet);
        ledger.Observe(Key, Inet, life: 1, Of(4), Noon);
        Assert.Equal(Of(18), ledger.TotalOf(Key));
        ledger.Observe(Key, Inet, life: 1, Of(5), Noon);
        Assert.Equal(Of(19), ledger.TotalOf(Key));
    }

    [Fact]
    public void Places_add_up_and_live_their_own_lives()
    {
        CounterLedger ledger = new();
        ledger.Observe(Key, Inet, life: 1, Of(10), Noon);
        ledger.Observe(Key, Bridge, life: 7, Of(100), Noon);
        ledger.Observe(Key, Inet, life: 2, Of(1), Noon);
        ledger.Observe(Key, Bridge, life: 7, Of(101), Noon);
        Assert.Equal(Of(112), ledger.TotalOf(Key));
    }

    [Fact]
    public void A_new_process_goes_on_with_the_kernels_counter_or_with_the_next_one()
    {
        CounterLedger ledger = new();
        ledger.Observe(Key, Inet, life: 1, Of(10), Noon);
        ledger.Observe(Key, Inet, life: 2, Of(5), Noon);
        Assert.True(ledger.IsChanged);
        CounterLedger same = Reloaded(ledger);
        Assert.Equal(Of(15), same.TotalOf(Key));
        same.Observe(Key, Inet, life: 2, Of(6), Noon); // a restart
        Assert.Equal(Of(16), same.TotalOf(Key));
        CounterLedger rebooted = Reloaded(same);
        rebooted.Observe(Key, Inet, life: 3, Of(50), Noon); // more than ever before
        Assert.Equal(Of(66), rebooted.TotalOf(Key));
    }

    [Fact]
    public void Hits_keep_their_times_and_what_was_never_hit_keeps_since_when()
    {
        CountKey hit = new("eni-1", Direction.Egress, CountKind.Rule, "sg-1/hit");
        CountKey never = hit with { Name = "sg-1/never" };
        CounterLedger ledger = new();
        foreach (CountKey key in (CountKey[])[hit, never])
        {
            ledger.Observe(key, Inet, life: 1, default, Noon);
        }

        ledger.Observe(hit, Inet, life: 1, Of(2), Noon.AddSeconds(10));
        ledger.Observe(hit, Inet, life: 1, Of(2), Noon.AddSeconds(20));
        CounterLedger again = Reloaded(ledger);
        again.Observe(hit, Inet, life: 1, Of(2), Noon.AddHours(1));
        again.Observe(never, Inet, life: 1, default, Noon.AddHours(1));
        Assert.Equal((Noon, Noon.AddSeconds(10)), (again.States[hit].Since, again.States[hit].LastHit));
        Assert.Equal((Noon, null), (again.States[never].Since, again.States[never].LastHit));
        Assert.Equal(Of(2), again.TotalOf(hit));
    }

    [Fact]
    public void A_computed_number_follows_upwards_only_and_is_kept()
    {
        CountKey key = Key with { Kind = CountKind.Accept, Name = "" };
        CounterLedger ledger = new();
        ledger.Raise(key, Of(10), Noon);
        ledger.Raise(key, Of(8), Noon);
        Assert.Equal(Of(10), ledger.TotalOf(key));
        Assert.Equal(Of(10), Reloaded(ledger).TotalOf(key));
    }

    [Fact]
    public void What_is_gone_is_forgotten_and_begins_at_nothing()
    {
        CounterLedger ledger = new();
        ledger.Observe(Key, Inet, life: 1, Of(10), Noon);
        ledger.Keep(_ => false);
        Assert.Empty(ledger.States);
        Assert.Empty(ledger.Entries);
        ledger.Observe(Key, Inet, life: 1, Of(2), Noon);
        Assert.Equal(Of(2), ledger.TotalOf(Key));
    }

    [Fact]
    public void Random_lives_and_crashes_lose_at_most_what_was_not_read()
    {
        for (int seed = 0; seed < 30; seed++)
        {
            Random random = new(seed);
            CounterLedger ledger = new();
            (ulong life, ulong kernel, ulong truth, ulong read) = (1, 0, 0, 0);
            for (int step = 0; step < 60; step++)
            {
                switch (random.Next(5))
                {
                    case 0: // packets
                    case 1:
                        ulong more = (ulong)random.Next(20);
                        (kernel, truth) = (kernel + more, truth + more);
                        break;
                    case 2: // a reading, which is on disk before it is shown
                        ledger.Observe(Key, Inet, life, Of(kernel), Noon);
                        ledger = random.Next(2) == 0 ? ledger : Reloaded(ledger);
                        read = truth;
                        break;
                    case 3: // others delete the table: what was not read is nobody's
                        truth = read;
                        (life, kernel) = (life + 1, 0);
                        break;
                    default: // we make it anew, and read before that
                        ledger.Observe(Key, Inet, life, Of(kernel), Noon);
                        _ = Reloaded(ledger);
                        read = truth;
                        (life, kernel) = (life + 1, 0);
                        break;
                }

                Assert.True(ledger.TotalOf(Key).Packets == read, $"seed {seed}, step {step}");
            }
        }
    }

    [Fact]
    public void A_file_that_is_damaged_anywhere_is_as_none()
    {
        CounterLedger ledger = new();
        ledger.Observe(Key, Inet, life: 1, Of(10), Noon);
        new LedgerFile(folder).Save(ledger);
        string path = Path.Combine(folder, "counters");
        byte[] whole = File.ReadAllBytes(path);
        for (int at = 0; at < whole.Length; at++)
        {
            byte[] damaged = [.. whole];
            damaged[at] ^= 0x10;
            File.WriteAllBytes(path, damaged);
            Assert.Empty(new LedgerFile(folder).Load(out string? damage).States);
            Assert.NotNull(damage);
            File.WriteAllBytes(path, whole[..at]);
            Assert.Empty(new LedgerFile(folder).Load(out damage).States);
            Assert.NotNull(damage);
        }
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private CounterLedger Reloaded(CounterLedger ledger)
    {
        LedgerFile file = new(folder);
        file.Save(ledger);
        Assert.False(ledger.IsChanged);
        CounterLedger loaded = file.Load(out string? damage);
        Assert.Null(damage);
        return loaded;
    }

    private static PacketCount Of(ulong packets) => new(packets, packets * 100);
}
