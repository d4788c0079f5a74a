using Agent.Cli;
using Agent.Cli.Live;
using Agent.Cli.Output;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Tests.Cli;

/// <summary>What a person sees and presses at <c>sgctl top</c>.</summary>
public sealed class TopTests
{
    private static readonly TopReport Report = new()
    {
        Time = new Timestamp { Seconds = 1_795_968_000 },
        Interval = Duration.FromTimeSpan(TimeSpan.FromSeconds(2)),
        Sessions = 3,
        Notes = { "the kernel does not count" },
        Vnics =
        {
            Vnic("eni-a", bits: 1000, drops: 0, begun: 1, Talker(1, bits: 600, bytes: 20_000)),
            Vnic("eni-b", bits: 5000, drops: 0, begun: 0,
                Talker(2, bits: 4000, bytes: 500), Talker(3, bits: null, bytes: 0)),
            Vnic("eni-c", bits: 0, drops: 7.5, begun: null),
        },
    };

    [Fact]
    public void A_report_is_two_tables_with_the_first_first()
    {
        Assert.Equal(
            """
            2026-11-29 16:00:00 UTC, over 2.0 s: 3 vNICs, 3 sessions
            note: the kernel does not count

            vnic   in bit/s  out bit/s  in pkt/s  out pkt/s  drops/s  mostly   sessions  new/s
            eni-b  2.50k     2.50k      1.0       0          0                 2         0
            eni-a  500       500        1.0       0          0                 1         1.0
            eni-c  0         0          1.0       0          7.5      in rule  0         ?

            session                            vnic   opened  remote  in bit/s  out bit/s  pkt/s  bytes     age   ~
            udp 10.0.0.1:2 -> 198.51.100.7:53  eni-b  out     sg-x    0         4.00k      1.0    500 B     20 s  ~
            udp 10.0.0.1:1 -> 198.51.100.7:53  eni-a  out     sg-x    0         600        1.0    19.5 KiB  20 s  ~

            """,
            Text(screen => TopText.Print(screen, Report, TopSort.Bits, talkers: 2))
                .Replace("state\n", "~\n", StringComparison.Ordinal)
                .Replace("answered\n", "~\n", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("bits", "eni-b eni-a eni-c")]
    [InlineData("drops", "eni-c eni-a eni-b")]
    [InlineData("sessions", "eni-a eni-b eni-c")]
    [InlineData("bytes", "eni-b eni-a eni-c")]
    public void Each_order_has_its_first(string sort, string expected)
    {
        TopSort by = System.Enum.Parse<TopSort>(sort, ignoreCase: true);
        Assert.Equal(expected, string.Join(' ', TopText.Sorted(Report, by).Select(vnic => vnic.VnicId)));
        Assert.Equal(
            by == TopSort.Bytes ? [1u, 2, 3] : [2u, 1, 3],
            TopText.Talkers(Report.Vnics, by).Select(row => row.Talker.Packet.SourcePort));
    }

    [Fact]
    public void A_session_between_two_vNICs_is_listed_once_as_its_opener_sees_it()
    {
        Talker near = Talker(9, bits: 8, bytes: 1);
        near.RemoteVnicId = "eni-b";
        Talker far = near.Clone();
        (far.RemoteVnicId, far.Direction) = ("eni-a", Direction.Ingress);
        Talker stranger = Talker(9, bits: 8, bytes: 1); // the same addresses in another VPC
        VnicTraffic[] vnics = [Vnic("eni-b", 1, 0, 0, far), Vnic("eni-a", 1, 0, 0, near), Vnic("x", 1, 0, 0, stranger)];
        Assert.Equal(["eni-a", "x"], TopText.Talkers(vnics, TopSort.Bits).Select(row => row.VnicId));
        Assert.Equal(["eni-b"], TopText.Talkers(vnics[..1], TopSort.Bits).Select(row => row.VnicId));
    }

    [Fact]
    public void Keys_sort_choose_look_inside_pause_and_quit()
    {
        string[] rows = ["b", "a", "c"];
        TopView view = new();
        Assert.Null(Press("q"));
        Assert.Equal(TopSort.Packets, Press("s")!.Sort);
        Assert.Equal(TopSort.Bits, Press("s s s s s")!.Sort);
        Assert.Equal([TopOrder.Bits, TopOrder.Packets, TopOrder.Bits, TopOrder.Bits, TopOrder.Bytes],
            ((string[])["x", "s", "s s", "s s s", "s s s s"]).Select(keys => Press(keys)!.Order));
        Assert.Equal("a", Press("DownArrow")!.Chosen);
        Assert.Equal("c", Press("j j j j")!.Chosen);
        Assert.Equal("b", Press("End Home")!.Chosen);
        Assert.Equal("b", Press("j k k")!.Chosen);
        Assert.Equal((true, "b"), (Press("Enter")!.IsInside, Press("Enter")!.Chosen));
        Assert.False(Press("Enter Escape")!.IsInside);
        Assert.True(Press("p")!.IsPaused);
        Assert.False(Press("p p")!.IsPaused);
        Assert.Equal(view, view.Press(Key("Enter"), []));
        Assert.Equal(view, view.Press(Key("DownArrow"), []));

        TopView? Press(string keys) =>
            keys.Split(' ').Aggregate((TopView?)view, (at, key) => at!.Press(Key(key), rows));

        static ConsoleKeyInfo Key(string name) => name.Length == 1
            ? new ConsoleKeyInfo(name[0], ConsoleKey.None, false, false, false)
            : new ConsoleKeyInfo('\0', System.Enum.Parse<ConsoleKey>(name), false, false, false);
    }

    [Theory]
    [InlineData(120, 24)]
    [InlineData(80, 24)]
    [InlineData(60, 12)]
    [InlineData(40, 8)]
    [InlineData(20, 5)]
    [InlineData(5, 2)]
    [InlineData(1, 1)]
    public void A_frame_has_the_size_of_the_terminal(int width, int height)
    {
        foreach (TopView view in (TopView[])[new(), new() { Chosen = "eni-a", IsInside = true }])
        {
            IReadOnlyList<string> lines = new TopFrame(width, height, color: false).Lines(view, Report);
            Assert.Equal(height, lines.Count);
            Assert.StartsWith("q quit"[..Math.Min(6, width)], lines[^1]);
            if (height > 5)
            {
                // A session's own column and what is chosen cannot be left out: the terminal cuts them off.
                Assert.All(lines.Where(line => !line.Contains("udp", StringComparison.Ordinal)),
                    line => Assert.InRange(line.TrimEnd().Length, 0, width));
                Assert.Contains(lines, line => line.Contains("eni-a", StringComparison.Ordinal));
            }
        }

        Assert.StartsWith("waiting"[..Math.Min(7, width)],
            new TopFrame(width, Math.Max(2, height), color: false).Lines(new TopView(), report: null)[0]);
    }

    [Fact]
    public void Of_many_vNICs_the_chosen_one_is_in_sight_and_marked()
    {
        var many = new TopReport { Time = Report.Time, Interval = Report.Interval };
        many.Vnics.AddRange(Enumerable.Range(100, 200).Select(i => Vnic($"eni-{i}", i, 0, 0)));
        foreach (string chosen in (string[])["eni-299", "eni-200", "eni-100"])
        {
            IReadOnlyList<string> lines =
                new TopFrame(80, 24, color: false).Lines(new TopView { Chosen = chosen }, many);
            Assert.Equal(24, lines.Count);
            Assert.Single(lines, line => line.StartsWith($">  {chosen} ", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Inside_a_vNIC_its_own_sessions_are_shown_and_one_that_is_gone_leads_back()
    {
        TopView view = new() { Chosen = "eni-c", IsInside = true, IsPaused = true };
        string text = string.Join('\n', new TopFrame(80, 12, color: false).Lines(view, Report));
        Assert.Contains("eni-c  tap-c\n", text, StringComparison.Ordinal);
        Assert.Contains("7.5 drops/s, mostly rule\n", text, StringComparison.Ordinal);
        Assert.Contains(", paused, by bits\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("udp", text, StringComparison.Ordinal);
        Assert.Contains(new TopFrame(80, 12, color: false).Lines(view with { Chosen = "gone" }, Report),
            line => line.Contains("eni-b", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(0, "0")]
    [InlineData(0.04, "0.0")]
    [InlineData(9.96, "10.0")]
    [InlineData(99.96, "100")]
    [InlineData(999.4, "999")]
    [InlineData(999.6, "1.00k")]
    [InlineData(12_345, "12.3k")]
    [InlineData(99_960, "100k")]
    [InlineData(9_999_999, "10.0M")]
    [InlineData(4.2e15, "4200T")]
    public void Rates_have_three_digits(double number, string expected) =>
        Assert.Equal(expected, Count.Rate(number));

    [Theory]
    [InlineData(10_239ul, "10239 B")]
    [InlineData(39_117ul, "38.2 KiB")]
    [InlineData(10ul << 20, "10.0 MiB")]
    [InlineData(ulong.MaxValue, "16777216.0 TiB")]
    public void Bytes_have_their_unit(ulong number, string expected) =>
        Assert.Equal(expected, Count.Bytes(number));

    [Theory]
    [InlineData(59.9, "59 s")]
    [InlineData(200, "3 min 20 s")]
    [InlineData(7500, "2 h 5 min")]
    [InlineData(3_553_200, "41 d 3 h")]
    public void Ages_have_their_two_largest_units(double seconds, string expected) =>
        Assert.Equal(expected, Count.Age(TimeSpan.FromSeconds(seconds)));

    [Theory]
    [InlineData("--interval 0.5", "--interval is a number from 1 to 3600")]
    [InlineData("--interval NaN", "--interval is a number from 1 to 3600")]
    [InlineData("--talkers 101", "--talkers is a number from 0 to 100")]
    [InlineData("--count 0", "--count is a number from 1")]
    [InlineData("--sort names", "'names' not recognized")]
    public async Task What_cannot_be_asked_is_usage(string line, string says)
    {
        CliRun run = await CliRun.Of(["top", .. line.Split(' ')]);
        Assert.Equal(ExitCode.Usage, run.ExitCode);
        Assert.Contains(says, run.Error);
    }

    private static VnicTraffic Vnic(string id, double bits, double drops, double? begun, params Talker[] talkers)
    {
        var vnic = new VnicTraffic
        {
            VnicId = id,
            InterfaceName = id.Replace("eni", "tap", StringComparison.Ordinal),
            Ingress = new TrafficRate
            {
                BitsPerSecond = bits / 2,
                PacketsPerSecond = 1,
                DropsPerSecond = drops,
                TopDropReason = drops > 0 ? "rule" : "",
            },
            Egress = new TrafficRate { BitsPerSecond = bits / 2 },
            Sessions = (ulong)talkers.Length,
            Talkers = { talkers },
        };
        if (begun is double number)
        {
            vnic.NewSessionsPerSecond = number;
        }

        return vnic;
    }

    private static Talker Talker(uint port, double? bits, ulong bytes) => new()
    {
        Packet = new Packet
        {
            Source = "10.0.0.1",
            Destination = "198.51.100.7",
            Protocol = "udp",
            SourcePort = port,
            DestinationPort = 53,
        },
        Direction = Direction.Egress,
        Remote = "198.51.100.7",
        RemoteGroupIds = { "sg-x" },
        State = "answered",
        Age = Duration.FromTimeSpan(TimeSpan.FromSeconds(20)),
        Sent = bits is double rate
            ? new TalkerCount { Packets = 1, Bytes = bytes, PacketsPerSecond = 1, BitsPerSecond = rate } : null,
        Received = bits is null ? null : new TalkerCount(),
    };

    private static string Text(Action<Screen> print)
    {
        var writer = new StringWriter { NewLine = "\n" };
        print(new Screen(writer, null, color: false));
        return writer.ToString();
    }
}
