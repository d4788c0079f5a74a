using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>Hosts of real size. Times are printed, and judged nowhere; messages and rules are.</summary>
public sealed class LargeHostTests(ITestOutputHelper output)
{
    /// <summary>One more is the most that a group may have.</summary>
    private const int Members = 65_535;

    [Fact]
    public async Task One_member_of_65536_that_200_vNICs_refer_to_is_a_handful_of_messages_and_touches_no_rule()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        ulong at = await LoadAsync(lab, Referring(vnics: 200));
        await using SyncClient sync = SyncClient.Open(lab);
        foreach (string member in (string[])["10.200.0.1", "2001:db8:9::1"])
        {
            string handles = RuleHandles(lab.Listing());
            Accepted added = await TimedAsync(lab, $"add {member}", () => sync.AcceptedAsync(new Delta
            {
                BaseRevision = at,
                Revision = ++at,
                Members = { new MemberChange { GroupId = "sg-big", Add = { member } } },
            }));
            Assert.InRange(added.Changes.NetlinkMessages, 1u, 4u);
            Assert.False(added.Changes.SessionsRevalidated);
            Assert.Equal(handles, RuleHandles(lab.Listing()));

            Accepted removed = await TimedAsync(lab, $"remove {member}", () => sync.AcceptedAsync(new Delta
            {
                BaseRevision = at,
                Revision = ++at,
                Members = { new MemberChange { GroupId = "sg-big", Remove = { member } } },
            }));
            Assert.InRange(removed.Changes.NetlinkMessages, 1u, 8u);
            Assert.True(removed.Changes.SessionsRevalidated);
            Assert.Equal(WithoutEpoch(handles), WithoutEpoch(RuleHandles(lab.Listing())));
        }
    }

    [Fact]
    public async Task A_host_with_500_vNICs_of_200_rules_loads_changes_and_restarts()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot whole = Full();
        ulong at = await LoadAsync(lab, whole);
        AgentStatus status = await lab.StatusAsync();
        Assert.Equal(
            502, status.Vnics.Count(v => v.State is VnicState.Absent or VnicState.Enforced && v.VnicId.Length > 0));
        await using SyncClient sync = SyncClient.Open(lab);

        Accepted member = await DeltaAsync(
            "add a member",
            d => d.Members.Add(new MemberChange { GroupId = "sg-big", Add = { "10.200.0.1" } }));
        Assert.InRange(member.Changes.NetlinkMessages, 1u, 4u);
        Accepted gone = await DeltaAsync(
            "remove a member",
            d => d.Members.Add(new MemberChange { GroupId = "sg-big", Remove = { "10.200.0.1" } }));
        Assert.InRange(gone.Changes.NetlinkMessages, 1u, 8u);
        V1.SecurityGroup changed = whole.Groups[7].Clone();
        changed.Members.Clear();
        changed.Rules[0].PortRange = "7/7";
        Accepted rule = await DeltaAsync("change a rule", d => d.UpsertGroups.Add(changed));
        Assert.InRange(rule.Changes.NetlinkMessages, 1u, 400u);
        Accepted attached = await DeltaAsync("attach a vNIC", d => d.UpsertVnics.Add(GeneratedNic(900, "sg-3")));
        Assert.InRange(attached.Changes.NetlinkMessages, 1u, 156u);
        Accepted detached = await DeltaAsync("detach a vNIC", d => d.RemoveVnics.Add("eni-900"));
        Assert.InRange(detached.Changes.NetlinkMessages, 1u, 156u);

        await lab.Daemon.KillAsync();
        uint generation = lab.Generation();
        await TimedAsync(lab, "restart", async () =>
        {
            await lab.Daemon.LaunchAsync();
            return await lab.StatusAsync();
        });
        Assert.InRange(lab.Generation(), generation, generation + 2); // the claim, and what was left to clean up
        Assert.Equal(at, (await lab.StatusAsync()).AppliedRevision);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));

        Task<Accepted> DeltaAsync(string what, Action<Delta> fill) => TimedAsync(lab, what, () =>
        {
            Delta delta = new() { BaseRevision = at, Revision = ++at };
            fill(delta);
            return sync.AcceptedAsync(delta);
        });
    }

    private async Task<ulong> LoadAsync(DaemonLab lab, Snapshot state)
    {
        state.Revision = 1;
        await using SyncClient sync = SyncClient.Open(lab);
        Accepted accepted = await TimedAsync(lab, "load", async () =>
        {
            SyncResponse answer = await sync.SnapshotAsync(state);
            Assert.True(answer.Accepted is not null, $"{answer.Refused}");
            return answer.Accepted;
        });
        Assert.Empty(accepted.FailedVnics);
        return accepted.Revision;
    }

    private async Task<T> TimedAsync<T>(DaemonLab lab, string what, Func<Task<T>> act)
    {
        double computed = lab.Daemon.IsRunning ? Cpu() : 0;
        long began = Stopwatch.GetTimestamp();
        T result = await act();
        string line = $"{what}: {Stopwatch.GetElapsedTime(began).TotalMilliseconds:0.0} ms";
        output.WriteLine(result is not Accepted a ? line
            : $"{line}, of which the daemon computed {Cpu() - computed:0} ms; "
                + $"{a.Changes.NetlinkMessages} messages, {a.Changes.NetlinkBytes} bytes, "
                + $"{a.Changes.Transactions} transactions; "
                + $"validate {Ms(a.Timings.Validate)}, persist {Ms(a.Timings.Persist)}, "
                + $"compile {Ms(a.Timings.Compile)}, commit {Ms(a.Timings.Commit)}");
        return result;

        double Cpu()
        {
            using Process daemon = Process.GetProcessById(lab.Daemon.ProcessId);
            return daemon.TotalProcessorTime.TotalMilliseconds;
        }

        static string Ms(Google.Protobuf.WellKnownTypes.Duration duration) =>
            duration.ToTimeSpan().TotalMilliseconds.ToString("0.0", CultureInfo.InvariantCulture);
    }

    /// <summary>e1 and e2 as ever, and vNICs whose groups take traffic from one group of 65,536.</summary>
    private static Snapshot Referring(int vnics)
    {
        Snapshot state = DaemonLab.OneWayIn();
        state.Groups.Add(Big());
        for (int i = 0; i < 10; i++)
        {
            state.Groups.Add(
                Isolating($"sg-{i}", "in 1 accept tcp 22/22 sg-big", $"in 2 accept udp {1000 + i}/{1000 + i} sg-big"));
        }

        for (int i = 0; i < vnics; i++)
        {
            state.Vnics.Add(GeneratedNic(i, $"sg-{i % 10}"));
        }

        return state;
    }

    /// <summary>
    /// 500 vNICs beside e1 to e3, 50 groups; 47 of them have 200 rules of all kinds, each vNIC is in one.
    /// </summary>
    internal static Snapshot Full()
    {
        Snapshot state = DaemonLab.OneWayIn();
        state.Vnics.RemoveAt(2);
        state.Groups.RemoveAt(2);
        state.Groups.Add(Big());
        for (int group = 0; group < 47; group++)
        {
            IEnumerable<string> rules = Enumerable.Range(0, 200).Select(i => Rule(group, i));
            state.Groups.Add(Isolating($"sg-{group}", [.. rules]));
        }

        for (int i = 0; i < 500; i++)
        {
            state.Vnics.Add(GeneratedNic(i, $"sg-{i % 47}"));
        }

        return state;
    }

    private static string Rule(int group, int i)
    {
        string head = $"{(i % 4 == 3 ? "out" : "in")} {1 + i % 100} {(i % 5 == 4 ? "drop" : "accept")}";
        string remote = i % 20 == 0 && i % 4 != 3 ? "sg-big"
            : i % 20 == 1 ? $"sg-{(group + 1 + i / 20) % 47}"
            : i % 3 == 0 ? $"172.{16 + i % 16}.{group}.0/24"
            : i % 7 == 0 ? $"2001:db8:{group + 1:x}:{i:x}::/64" : $"10.{i % 250}.0.0/16";
        return (i % 6) switch
        {
            0 => $"{head} tcp {1000 + i}/{1000 + i} {remote}",
            1 => $"{head} udp {2000 + i}/{2000 + i} {remote}",
            2 => $"{head} tcp {3000 + i}/{3010 + i} {remote}",
            3 => $"{head} tcp 443/443 {remote}",
            4 => $"{head} udp 53/53 {remote}",
            _ => $"{head} gre -1/-1 {remote}",
        };
    }

    private static V1.SecurityGroup Big()
    {
        V1.SecurityGroup big = Isolating("sg-big");
        big.Members.AddRange(Enumerable.Range(1, Members - 1).Select(i => $"10.99.{i >> 8}.{i & 255}"));
        big.Members.Add("2001:db8:99::1"); // the first of a family makes a class, which each policy has to know
        return big;
    }

    private static Vnic GeneratedNic(int i, string group) => new()
    {
        Id = $"eni-{i}",
        InterfaceName = $"tap-g{i}",
        Mac = $"02:00:00:01:{i >> 8:x2}:{i & 255:x2}",
        VpcId = Scenarios.States.Vpc,
        Addresses = { $"10.60.{i >> 8}.{i & 255}", $"2001:db8:60::{i + 1:x}" },
        GroupIds = { group },
    };

    /// <summary>Every rule and its handle; the elements of sets do not matter.</summary>
    private static string RuleHandles(string listing) => string.Join('\n', listing.Split('\n')
        .Where(line => Regex.IsMatch(line, @"^\t(chain .*|\t.*) # handle \d+$"))
        .Select(line => Regex.Replace(line, @"packets \d+ bytes \d+", "")));

    /// <summary>What a new policy epoch writes: chains live and stamp, and nothing else.</summary>
    private static string WithoutEpoch(string handles) => Regex.Replace(
        handles, @"\tchain (live|stamp) \{.*\n(\t\t.*\n)*", "");
}
