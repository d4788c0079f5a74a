using System.Globalization;
using System.Runtime.InteropServices;
using Agent.Benchmarks;
using Agent.Benchmarks.Changes;
using Agent.Benchmarks.InProcess;
using Agent.Benchmarks.Packets;

// "proof", "flow", "changes", "steps" or "packets". Prints the report, and writes it to what follows --out; "--only
// TEXT" leaves out what is called otherwise.
var charts = new Dictionary<string, string>();
string Packets(string? only, int rounds)
{
    PacketReport measured = PacketBenchmarks.Run(only, rounds);
    foreach ((string name, string chart) in measured.Charts)
    {
        charts.Add(name, chart);
    }

    return measured.Text;
}

string? After(string option) => args.SkipWhile(arg => arg != option).Skip(1).FirstOrDefault();

string processor = File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith(
    "model name", StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "unknown";
string load = File.ReadAllText("/proc/loadavg").Split(' ')[0];
(string about, string tables) = args.FirstOrDefault() switch
{
    "proof" => ("""
        # How long a proof takes

        Written by `make bench`. Medians of processor time on one core; in brackets the part of the cold proof. Cold:
        nothing is remembered. The last three columns: a cache that has proved this host before, and the change. All
        rules are in play: the group of 65,536 is named by a rule of every other group.
        """, ProofBenchmarks.Run(After("--only"))),
    "flow" => ("""
        # How long a delta takes to be in force

        Written by `make bench`. A controller sends deltas at a steady rate over one `Sync` stream and waits for no
        answer; a time is from when a delta was due to be sent to its answer, which says that it is persisted, proved
        as far as `verify` asks, committed and read back. Deltas that wait are committed together. The usual host has 20
        vNICs of 5 groups with 100 rules each, and one group of 2,000 members that a rule of every other group names;
        the large one 500 vNICs of 50 groups with 200 rules, and some 65,000 members. Members: one comes or goes. Rules:
        a group is sent whole, with one rule changed. Mixed: 80 % members, 10 % rules, 10 % vNICs that go and come back.
        It begins once all that was loaded is proved. Processor: of the daemon, 100 % is a core; what it proves beside
        the loop is in it.
        """, await FlowBenchmarks.RunAsync(
            After("--only"), int.Parse(After("--seconds") ?? "10", CultureInfo.InvariantCulture))),
    "changes" => ("""
        # What changes, a start and a host's size cost

        Written by `make bench`, with the charts beside it.
        """, await ChangeBenchmarks.RunAsync(After("--only"), After("--out"))),
    "steps" => ("""
        # What the steps of a change take

        Written by `make bench`, by BenchmarkDotNet in this process, on one thread: from the bytes of a message to those
        of netlink, each step alone, without gRPC, disk, kernel and proof. "usual" has 20 vNICs of 5 groups with 100
        rules and one group of 2,000 members, "large" 500 vNICs of 50 groups with 200 rules and one of 65,536. A number
        is the median, ± half of what lies between the quartiles.
        """, InProcessBenchmarks.Run(After("--only"))),
    "packets" => ("""
        # What a packet costs

        Written by `make bench-packets`. Processor time per packet: the thread that sends is kept on one core, and
        over veth pairs the whole way of a packet (the guest's device, the host's hooks, routing, the other guest's
        device, where it is forgotten) runs in its system call. All firewalls are there at once, each on a host of
        its own in network namespaces, and have their turns one after the other, round by round. A number is the
        median of the rounds, ± half of what lies between the quartiles; over something: the median of the
        differences within a round. Every burst is checked: all that should arrive does, and nothing else.

        The rules are the same for all: accept lists for what a guest sends and for what it gets, half of them about
        groups of 256 addresses, half about prefixes, one in 16 a range of ports. The last rule of each list admits the
        traffic.
        """, Packets(After("--only"), int.Parse(After("--rounds") ?? "15", CultureInfo.InvariantCulture))),
    _ => throw new ArgumentException("say what is measured: proof, flow, changes, steps or packets"),
};
string report = string.Create(CultureInfo.InvariantCulture, $"""
    {about}

    | | |
    |---|---|
    | processor | {processor}, {Environment.ProcessorCount} cores |
    | kernel | {File.ReadAllText("/proc/sys/kernel/osrelease").Trim()} |
    | runtime | {RuntimeInformation.FrameworkDescription}, JIT, Release |
    | commit | {After("--commit") ?? "unknown"} |
    | load when it began | {load} |
    | memory at the end | {Environment.WorkingSet >> 20} MiB |

    {tables}
    """);
if (After("--out") is string output)
{
    Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(output))!);
    File.WriteAllText(output, report);
    foreach ((string name, string chart) in charts)
    {
        File.WriteAllText(Path.Combine(Path.GetDirectoryName(Path.GetFullPath(output))!, name), chart);
    }
}

Console.WriteLine(report);
