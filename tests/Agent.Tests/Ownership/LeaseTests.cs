using Agent.Daemon.Ownership;

namespace Agent.Tests.Ownership;

/// <summary>The lease as a value: whatever comes in whatever order, one writer at a time, and terms never go back.
/// </summary>
public sealed class LeaseTests
{
    private static readonly TimeSpan Life = TimeSpan.FromSeconds(30);

    private static readonly string[] Names = ["a", "b", "c"];

    [Fact]
    public void A_newer_term_takes_over_at_once_and_an_older_one_never_comes_back()
    {
        Lease lease = Granted(Lease.None, new Claim("a", 5), At(0)).Opened();
        Assert.Equal((5ul, "a"), (lease.Term, lease.Holder));
        Refused("StaleTerm", lease, new Claim("b", 5), At(1));
        Refused("StaleTerm", lease, new Claim("b", 4), At(1));
        lease = Granted(lease, new Claim("b", 6), At(1)); // while a's stream is open
        Assert.Equal((6ul, "b", 0), (lease.Term, lease.Holder, lease.Streams));
        string told = Refused("StaleTerm", lease, new Claim("a", 5), At(2));
        Assert.Contains("6, which b has", told, StringComparison.Ordinal);
        Refused("StaleTerm", lease, new Claim("a", 5), At(1000)); // free or not
        Assert.Equal(lease, lease.Closed(5, At(3), Life)); // the end of a's stream is none of b's business
        Granted(lease, new Claim("b", 6), At(1000)); // who was not replaced goes on
    }

    [Fact]
    public void Without_a_term_one_waits_until_the_holder_is_gone_and_some_time_more()
    {
        Lease lease = Granted(Lease.None, new Claim("a", 5), At(0)).Opened().Opened();
        Refused("LeaseHeld", lease, Claim.None, At(1000));
        lease = lease.Closed(5, At(1000), Life);
        Refused("LeaseHeld", lease, Claim.None, At(2000));
        lease = lease.Closed(5, At(2000), Life);
        string told = Refused("LeaseHeld", lease, Claim.None, At(2010.5));
        Assert.Contains("a holds the lease with term 5, for 20 s more", told, StringComparison.Ordinal);
        Granted(lease, Claim.None, At(2030));
        Assert.Equal(5ul, Granted(lease, Claim.None, At(2030)).Term);
        Granted(Lease.None, Claim.None, At(0));
    }

    [Fact]
    public void Who_has_no_election_gets_the_next_term_if_nobody_else_holds_the_lease()
    {
        var wish = new Claim("b", 0) { Acquires = true };
        Lease lease = Granted(Lease.None, new Claim("a", 5), At(0));
        Refused("LeaseHeld", lease, wish, At(29));
        LeaseAnswer.Granted got = Assert.IsType<LeaseAnswer.Granted>(lease.Judge(wish, At(30), Life));
        Assert.Equal((6ul, "b", 6ul), (got.Lease.Term, got.Lease.Holder, got.Claim.Term));
        Assert.False(got.Claim.Acquires);
        Assert.Equal(7ul, Granted(got.Lease, wish, At(31)).Term); // it was restarted
        Refused("InvalidTerm", lease with { Term = Lease.TermMax }, wish, At(1000));
    }

    [Fact]
    public void An_override_writes_and_changes_nothing_of_the_lease()
    {
        Lease lease = Granted(Lease.None, new Claim("a", 5), At(0)).Opened();
        Claim over = Claim.None with { Overrides = true };
        LeaseAnswer.Granted got = Assert.IsType<LeaseAnswer.Granted>(lease.Judge(over, At(1), Life));
        Assert.True(got.IsOverride);
        Assert.Equal(lease, got.Lease);
        got = Assert.IsType<LeaseAnswer.Granted>(lease.Closed(5, At(1), Life).Judge(over, At(100), Life));
        Assert.False(got.IsOverride); // there was nothing to override
    }

    [Fact]
    public void Where_the_terms_are_not_known_nobody_is_taken_but_an_override()
    {
        Lease lease = Lease.None with { Damage = "the file is damaged" };
        foreach (Claim claim in (Claim[])[new Claim("a", 5), new Claim("a", Lease.TermMax), Claim.None,
            new Claim("a", 0) { Acquires = true }])
        {
            Assert.Contains("the file is damaged", Refused("LeaseUnknown", lease, claim, At(1e6)),
                StringComparison.Ordinal);
        }

        Assert.True(Assert.IsType<LeaseAnswer.Granted>(
            lease.Judge(Claim.None with { Overrides = true }, At(0), Life)).IsOverride);
    }

    [Fact]
    public void What_makes_no_sense_is_refused_and_changes_nothing()
    {
        Lease lease = Granted(Lease.None, new Claim("a", 5), At(0));
        Refused("InvalidTerm", lease, new Claim("b", ulong.MaxValue), At(1));
        Refused("InvalidTerm", lease, new Claim("b", 9) { Acquires = true }, At(1));
        foreach (string name in (string[])["", "b\nterm 99", "\u0007", new string('b', 257)])
        {
            Refused("InvalidText", lease, new Claim(name, 9), At(1));
        }

        Refused("InvalidText", lease, new Claim("", 0) { Acquires = true }, At(1));
    }

    /// <summary>
    /// Against a model that only remembers what happened: which term was granted to whom, which streams are open, and
    /// when the holder was last heard.
    /// </summary>
    [Fact]
    public void Random_sequences_never_have_two_holders_and_terms_never_go_back()
    {
        for (int seed = 0; seed < 2000; seed++)
        {
            new Run(seed).Go(steps: 200);
        }
    }

    private sealed class Run(int seed)
    {
        private readonly Random chance = new(seed);
        private readonly Dictionary<ulong, string> granted = [];
        private readonly List<ulong> streams = [];
        private Lease lease = Lease.None;
        private TimeSpan now;
        private TimeSpan heard = TimeSpan.MinValue;
        private ulong highest;

        public void Go(int steps)
        {
            for (int i = 0; i < steps; i++)
            {
                now += TimeSpan.FromSeconds(chance.Next(3) == 0 ? chance.Next(40) : chance.NextDouble());
                switch (chance.Next(6))
                {
                    case 0 when streams.Count > 0: Close(streams[chance.Next(streams.Count)]); break;
                    case 1 when chance.Next(10) == 0: Restart(); break;
                    default: Ask(Any()); break;
                }

                Assert.Equal((highest, granted.GetValueOrDefault(highest, "")), (lease.Term, lease.Holder));
                Assert.Equal(IsHeld(), lease.IsHeld(now));
            }
        }

        private Claim Any()
        {
            ulong near = (ulong)Math.Max(0, (long)highest + chance.Next(-3, 3));
            return chance.Next(8) switch
            {
                0 => Claim.None,
                1 => Claim.None with { Overrides = true },
                2 => new Claim(Names[chance.Next(3)], 0) { Acquires = true },
                _ => new Claim(Names[chance.Next(3)], near),
            };
        }

        private void Ask(Claim claim)
        {
            Lease before = lease;
            bool heldByOther = IsHeld() && granted[highest] != claim.Controller;
            if (lease.Judge(claim, now, Life) is not LeaseAnswer.Granted answer)
            {
                Assert.False(claim.Overrides, $"seed {seed}");
                Assert.True(claim.Term > 0 || IsHeld(), $"seed {seed}: {claim} was refused though nobody was there");
                Assert.True(claim.Term <= highest, $"seed {seed}: a newer term was refused");
                Assert.False(granted.GetValueOrDefault(claim.Term) == claim.Controller && claim.Term == highest
                    && claim.Term > 0, $"seed {seed}: the holder was refused");
                return;
            }

            lease = answer.Lease;
            if (claim.Overrides || answer.Claim.Term == 0)
            {
                Assert.True(claim.Overrides || !IsHeld(), $"seed {seed}: two writers");
                Assert.Equal(before, lease);
                return;
            }

            Assert.False(claim.Acquires && heldByOther, $"seed {seed}: acquired from somebody who is there");
            Assert.True(answer.Claim.Term >= highest, $"seed {seed}: an older term was taken");
            Assert.Equal(
                claim.Controller, granted.GetValueOrDefault(answer.Claim.Term, claim.Controller)); // one a term
            granted[answer.Claim.Term] = claim.Controller;
            if (answer.Claim.Term > highest)
            {
                highest = answer.Claim.Term;
            }

            heard = now;
            if (chance.Next(2) == 0)
            {
                lease = lease.Opened();
                streams.Add(highest);
            }
        }

        private void Close(ulong term)
        {
            streams.Remove(term);
            lease = lease.Closed(term, now, Life);
            heard = term == highest ? now : heard;
        }

        private void Restart()
        {
            Lease remembered = LeaseFile.Parse(LeaseFile.Format(lease))!;
            Assert.Equal((lease.Term, lease.Holder), (remembered.Term, remembered.Holder));
            lease = remembered.Term > 0 ? remembered with { FreeAt = now + Life } : remembered;
            heard = highest > 0 ? now : heard;
            streams.Clear();
        }

        private bool IsHeld() =>
            highest > 0 && (streams.Contains(highest) || (heard > TimeSpan.MinValue && now - heard < Life));
    }

    private static TimeSpan At(double seconds) => TimeSpan.FromSeconds(seconds);

    private static Lease Granted(Lease lease, Claim claim, TimeSpan now) =>
        Assert.IsType<LeaseAnswer.Granted>(lease.Judge(claim, now, Life)).Lease;

    private static string Refused(string code, Lease lease, Claim claim, TimeSpan now)
    {
        LeaseAnswer.Refused refused = Assert.IsType<LeaseAnswer.Refused>(lease.Judge(claim, now, Life));
        Assert.Equal(code, refused.Fault.Code);
        return refused.Fault.Message;
    }
}
