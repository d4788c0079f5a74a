using Agent.Daemon.Ownership;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Prometheus;

namespace Agent.Tests.Ownership;

/// <summary>The lease on disk: what was granted is never forgotten, and what is damaged lets nobody in.</summary>
public sealed class LeaseKeeperTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("sg-lease").FullName;
    private readonly FakeTimeProvider clock = new();

    private string FileName => Path.Combine(folder, "lease");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void A_restart_remembers_the_term_and_gives_its_holder_time_to_come_back()
    {
        LeaseKeeper first = Start();
        Assert.IsType<LeaseAnswer.Granted>(first.Admit(new Claim("ctl-ä", 17)));
        Assert.Equal("sg-agent lease 1\nterm 17\ncontroller ctl-ä\n", File.ReadAllText(FileName)[..^72]);

        LeaseKeeper second = Start();
        Assert.Equal((17ul, "ctl-ä"), (second.Lease.Term, second.Lease.Holder));
        Assert.Equal(LeaseRefusal.Stale, Reason(second.Admit(new Claim("b", 16))));
        Assert.Equal(LeaseRefusal.Stale, Reason(second.Admit(new Claim("b", 17))));
        Assert.Equal(LeaseRefusal.Held, Reason(second.Admit(Claim.None)));
        clock.Advance(TimeSpan.FromSeconds(30));
        Assert.IsType<LeaseAnswer.Granted>(second.Admit(Claim.None));
        Assert.IsType<LeaseAnswer.Granted>(second.Admit(new Claim("ctl-ä", 17)));
    }

    [Fact]
    public void Every_byte_that_is_damaged_is_noticed_and_stays_noticed()
    {
        Start().Admit(new Claim("a", 17));
        byte[] whole = File.ReadAllBytes(FileName);
        for (int i = 0; i < whole.Length; i++)
        {
            byte[] flipped = [.. whole];
            flipped[i] ^= 1;
            Damaged(flipped);
            Damaged(whole[..i]);
        }

        Damaged([.. whole, (byte)'\n']);

        void Damaged(byte[] bytes)
        {
            File.WriteAllBytes(FileName, bytes);
            foreach (LeaseKeeper keeper in (LeaseKeeper[])[Start(), Start()])
            {
                Assert.Single(keeper.Alarms);
                Assert.Equal(LeaseRefusal.Unknown, Reason(keeper.Admit(new Claim("a", 18))));
            }

            Assert.Equal(bytes, File.ReadAllBytes(FileName));
        }
    }

    [Fact]
    public void No_file_is_no_term_and_no_alarm()
    {
        LeaseKeeper keeper = Start();
        Assert.Empty(keeper.Alarms);
        Assert.IsType<LeaseAnswer.Granted>(keeper.Admit(Claim.None));
    }

    /// <summary>Whoever has been seen fences; it writes when a restart would not forget it.</summary>
    [Fact]
    public void A_term_that_cannot_be_written_down_is_not_granted_and_still_keeps_older_ones_out()
    {
        LeaseKeeper keeper = Start();
        keeper.Admit(new Claim("a", 5));
        Directory.CreateDirectory(FileName + ".new"); // where it would be written
        Assert.Equal(LeaseRefusal.Unsaved, Reason(keeper.Admit(new Claim("b", 6))));
        Assert.Equal(LeaseRefusal.Stale, Reason(keeper.Admit(new Claim("a", 5))));
        Assert.Equal(LeaseRefusal.Unsaved, Reason(keeper.Admit(new Claim("b", 6))));
        Assert.Equal(5ul, Start().Lease.Term);
        Directory.Delete(FileName + ".new");
        Assert.IsType<LeaseAnswer.Granted>(keeper.Admit(new Claim("b", 6)));
        Assert.Equal(6ul, Start().Lease.Term);
    }

    [Fact]
    public void Only_a_new_term_is_written_and_told()
    {
        LeaseKeeper keeper = Start();
        var told = new List<ulong>();
        keeper.OnTaken = lease => told.Add(lease.Term);
        keeper.Admit(new Claim("a", 5));
        DateTime written = File.GetLastWriteTimeUtc(FileName);
        for (int i = 0; i < 100; i++)
        {
            keeper.Admit(new Claim("a", 5));
            keeper.Admit(new Claim("b", 4));
        }

        Assert.Equal(written, File.GetLastWriteTimeUtc(FileName));
        keeper.Admit(new Claim("b", 7));
        Assert.Equal([5ul, 7ul], told);
    }

    private LeaseKeeper Start() => new(
        new LeaseFile(folder), TimeSpan.FromSeconds(30), clock, NullLogger.Instance,
        new OwnershipMetrics(Metrics.NewCustomRegistry()));

    private static LeaseRefusal Reason(LeaseAnswer answer) => Assert.IsType<LeaseAnswer.Refused>(answer).Reason;
}
