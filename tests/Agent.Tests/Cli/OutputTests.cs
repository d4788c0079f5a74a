using System.Text;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Tests.Cli;

/// <summary>What a person sees.</summary>
public sealed class OutputTests
{
    private static readonly Accepted Change = new()
    {
        Revision = 4,
        Changes = new Changes
        {
            GroupsAdded = 2,
            VnicsChanged = 1,
            ListsRemoved = 3,
            NetlinkMessages = 412,
            NetlinkBytes = 39_117,
            Transactions = 2,
            SessionsRevalidated = true,
        },
        Timings = new Timings
        {
            Validate = Duration.FromTimeSpan(TimeSpan.FromMicroseconds(1234)),
            Persist = new Duration(),
            Compile = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(1500)),
            Prove = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(250)),
            Commit = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(9)),
        },
        Warnings = { "groups[a]: odd" },
    };

    [Fact]
    public void An_accepted_change_says_what_and_how_long() => Assert.Equal(
        """
        applied revision 4
          groups    2 added
          lists     3 removed
          vnics     1 changed
          commit    412 messages, 38.2 KiB, 2 transactions
          sessions  judged again: the change takes something away
          time      validate 1.2 ms, compile 1.50 s, prove 250.0 ms, commit 9.0 ms
        warning: groups[a]: odd

        """, Text(screen => ApplyText.Accepted(screen, Change, dryRun: false)));

    [Fact]
    public void A_dry_run_says_what_would_be()
    {
        var would = new Accepted { Revision = 4, Unchanged = true, Changes = new Changes { VnicsRemoved = 1 } };
        Assert.Equal(
            "dry run: this would become revision 4; nothing was changed\n  vnics     1 removed\n",
            Text(screen => ApplyText.Accepted(screen, would, dryRun: true)));
        Assert.Equal("dry run: the agent holds this already\n",
            Text(screen => ApplyText.Accepted(screen, new Accepted { Revision = 4, Unchanged = true }, dryRun: true)));
    }

    [Fact]
    public void An_unchanged_state_says_so() => Assert.Equal("unchanged: the agent held this already; now revision 4\n",
        Text(screen => ApplyText.Accepted(screen, new Accepted { Revision = 4, Unchanged = true }, dryRun: false)));

    [Fact]
    public void A_step_that_is_held_says_what_it_would_remove_and_how_to_go_on()
    {
        var change = new MassChange
        {
            Revision = 8,
            HeldRevision = 7,
            Message = "would remove 412 of 500 vNICs (82.4 %)",
            Removals =
            {
                new Removal { Kind = "vNICs", Before = 500, Removed = 412, After = 90, IsReason = true },
                new Removal { Kind = "members", Before = 20, Removed = 1, After = 19 },
            },
        };
        Assert.Equal(
            """
            held: revision 8 would remove 412 of 500 vNICs (82.4 %); revision 7 stays enforced
                     now  removed  afterwards
            vNICs    500  412      90
            members  20   1        19
              look at it  sgctl staged
              confirm     sgctl staged --commit --revision 8
              discard     sgctl staged --discard

            """, Text(screen => MassChangeText.Answer(screen, change)));
        var report = new StagedReport
        {
            Staged = true,
            Revision = 8,
            HeldRevision = 7,
            StagedOnRevision = 7,
            MassChange = change,
            Since = new Timestamp(),
            Uncounted = "no memory",
        };
        Assert.Contains(
            "held: nobody staged it; it would remove 412 of 500 vNICs (82.4 %), and waits for --commit --revision 8\n",
            Text(screen => StagedText.Print(screen, report)));
    }

    [Fact]
    public void How_far_the_state_is_real_is_said_of_vnics_and_groups()
    {
        var status = new AgentStatus
        {
            DesiredRevision = 9,
            IssuedAt = new Timestamp { Seconds = 1_795_955_400 },
            EnforcedAfter = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(45)),
            Vnics =
            {
                new VnicStatus { VnicId = "a", EnforcedRevision = 9, ProvedRevision = 9 },
                new VnicStatus { VnicId = "b", EnforcedRevision = 9, ProvedRevision = 8 },
                new VnicStatus { InterfaceName = "tap9" },
            },
        };
        Assert.Equal("revision 9 enforced for 2 of 2 vNICs, proved for 1", RealisationText.Vnics(status));
        Assert.Equal("made 2026-11-29 12:30:00 UTC, enforced 45.0 ms later", RealisationText.Intent(status));
        Assert.Equal("", RealisationText.Intent(new AgentStatus()) + RealisationText.Vnics(new AgentStatus()));
        Assert.Equal(
            "group  vnics  changed  enforced  proved\nsg-a   2      9        9         8\n"
            + "sg-b   0      -        9         -\n",
            Text(screen => RealisationText.Groups(screen,
            [
                new GroupStatus
                {
                    GroupId = "sg-a", VnicCount = 2, ChangedRevision = 9, EnforcedRevision = 9, ProvedRevision = 8,
                },
                new GroupStatus { GroupId = "sg-b", EnforcedRevision = 9 },
            ])));
    }

    [Fact]
    public void Failed_vnics_are_listed()
    {
        var answer = new Accepted { Revision = 4 };
        answer.FailedVnics.Add(new VnicStatus { VnicId = "eni-1", InterfaceName = "tap1", Reason = "too large" });
        Assert.Equal(
            "accepted revision 4, but not every vNIC follows it\n"
            + "1 vNIC not enforced; each keeps what it had, or is closed\n"
            + "vnic   interface  reason\neni-1  tap1       too large\n",
            Text(screen => ApplyText.Accepted(screen, answer, dryRun: false)));
    }

    [Fact]
    public void A_refusal_names_each_fault_with_line_path_code_and_remedy()
    {
        PolicyFile file = PolicyFile.Read(
            "p.yaml", Encoding.UTF8.GetBytes("revision: 1\ngroups:\n- id: a\n  vpc_id: v\n")).File!;
        var answer = new Refused { HeldRevision = 9 };
        answer.Faults.Add(
            new Fault { Path = "groups[a].vpc_id", Code = "Code1", Message = "wrong", Remedy = "Do this." });
        answer.Faults.Add(
            new Fault { Path = "revision", Code = "StaleRevision", Message = "old", Remedy = "Greater." });
        Assert.Equal(
            """
            refused: 2 faults; nothing was changed, the agent holds revision 9

            p.yaml:4:3  groups[a].vpc_id
              wrong (Code1)
              Do this.

            p.yaml:1:1  revision
              old (StaleRevision)
              Greater.
              Or let the agent number it: sgctl apply --next-revision.

            """, Text(screen => ApplyText.Refused(screen, file, answer)));
    }

    [Fact]
    public void A_table_that_does_not_fit_becomes_blocks()
    {
        Cell[][] rows = [["eni-1", "tap1", "enforced"], ["eni-22", "", "failed"]];
        void Print(Screen screen) => screen.Table(["vnic", "interface", "state"], rows);
        Assert.Equal(
            "vnic    interface  state\neni-1   tap1       enforced\neni-22             failed\n",
            Text(Print, width: 27));
        Assert.Equal(
            "eni-1\n  interface  tap1\n  state      enforced\neni-22\n  state      failed\n", Text(Print, width: 26));
    }

    [Fact]
    public void Colours_only_where_wanted_and_nothing_from_outside_steers_the_terminal()
    {
        Assert.Equal("a\nb\\u001b\n", Text(screen => screen.Table(["a"], [["b\u001b"]])));
        void Print(Screen screen) => screen.Line(("a\u001b[2J\u202e", Screen.Bad), (" [b]", Screen.Plain));
        Assert.Equal("a\\u001b[2J\\u202e [b]\n", Text(Print));
        string painted = Text(Print, color: true);
        Assert.StartsWith("\u001b[", painted);
        Assert.DoesNotContain("\u001b[2J", painted);
    }

    private static string Text(Action<Screen> print, int? width = null, bool color = false)
    {
        var writer = new StringWriter { NewLine = "\n" };
        print(new Screen(writer, width, color));
        return writer.ToString();
    }
}
