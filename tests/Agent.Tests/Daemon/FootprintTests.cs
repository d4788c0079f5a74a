using Agent.Daemon.Removal;
using Agent.Daemon.State;

namespace Agent.Tests.Daemon;

/// <summary>What the agent leaves in the kernel is noted, and what is noted is read again.</summary>
public sealed class FootprintTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("sgt-").FullName;

    private string Path => System.IO.Path.Combine(directory, "state", "footprint");

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public void Each_note_is_on_disk_at_once_and_the_next_start_knows_it()
    {
        var first = new FootprintFile(System.IO.Path.Combine(directory, "state"), log: null);
        Assert.Equal(Footprint.None.Format(), first.Held.Format());
        first.NoteTable("sg_agent", 0xffff0000);
        first.NoteSysctl("nf_conntrack_generic_timeout", new ChangedSysctl(600, 30));
        Assert.Equal(
            "sg-agent footprint 1\ntable sg_agent marks ffff0000\n"
                + "sysctl nf_conntrack_generic_timeout found 600 put 30\n",
            File.ReadAllText(Path));

        var second = new FootprintFile(System.IO.Path.Combine(directory, "state"), log: null);
        Assert.Equal(first.Held.Format(), second.Held.Format());
        second.NoteTable("other", 0x00ff0000); // the table was given another name: the old one is still to go
        Assert.Equal(["other", "sg_agent"], new FootprintFile(
            System.IO.Path.Combine(directory, "state"), log: null).Held.Tables.Keys);
    }

    [Fact]
    public void A_note_that_is_there_already_writes_nothing_and_one_that_was_lost_is_written_again()
    {
        var file = new FootprintFile(System.IO.Path.Combine(directory, "state"), log: null);
        file.NoteTable("sg_agent", 1);
        File.SetLastWriteTimeUtc(Path, DateTime.UnixEpoch);
        file.NoteTable("sg_agent", 1);
        Assert.Equal(DateTime.UnixEpoch, File.GetLastWriteTimeUtc(Path));
        File.Delete(Path);
        file.NoteTable("sg_agent", 1);
        Assert.True(File.Exists(Path));
    }

    [Theory]
    [InlineData("sysctl ../../../kernel/core_pattern found 1 put 2")]
    [InlineData("sysctl nf_conntrack_acct/../../../kernel/x found 1 put 2")]
    [InlineData("sysctl nf_conntrack_acct found -1 put 1")]
    [InlineData("table  marks 1")]
    [InlineData("what")]
    [InlineData("")]
    public void A_line_that_makes_no_sense_is_left_out_and_takes_no_other_with_it(string line)
    {
        Footprint read = Footprint.Parse(
            $"sg-agent footprint 1\n{line}\ntable sg_agent marks ffff0000\nsysctl nf_conntrack_acct found 0 put 1\n");
        Assert.Equal("sg_agent", Assert.Single(read.Tables).Key);
        Assert.Equal("nf_conntrack_acct", Assert.Single(read.Sysctls).Key);
    }

    [Fact]
    public void What_cannot_be_noted_stops_nothing()
    {
        var file = new FootprintFile("/proc/none/sg-agent", log: null);
        file.NoteTable("sg_agent", 1);
        Assert.Equal("sg_agent", Assert.Single(file.Held.Tables).Key);
    }

    [Fact]
    public void A_directory_has_one_daemon_at_a_time()
    {
        string state = System.IO.Path.Combine(directory, "state");
        using (DaemonLock.Take(state))
        {
            Assert.Null(DaemonLock.Take(state));
            Assert.NotNull(DaemonLock.Take(System.IO.Path.Combine(directory, "other")));
        }

        using DaemonLock? after = DaemonLock.Take(state);
        Assert.NotNull(after);
        Assert.Empty(Directory.EnumerateFileSystemEntries(state)); // nothing that a purge would leave behind
        Assert.NotNull(DaemonLock.Take("/proc/none/sg-agent")); // no lock there: no reason not to enforce
    }
}
