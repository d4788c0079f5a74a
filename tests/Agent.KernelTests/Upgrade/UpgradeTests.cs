using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Upgrade;

/// <summary>
/// An upgrade, and a downgrade, with state and ruleset in place: none is let through, and no packet is lost, but while
/// a table is made anew.
/// </summary>
public sealed class UpgradeTests
{
    private const string PreviousVariable = "SG_PREVIOUS_AGENTD";
    private const string KeepVariable = "SG_KEEP_VERSION";

    public static TheoryData<string> Versions => [.. EarlierVersion.Names];

    /// <summary>Null: it was not built. `make test-upgrade` builds it from the history.</summary>
    private static string? Previous => Environment.GetEnvironmentVariable(PreviousVariable);

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task What_an_earlier_version_left_is_taken_over_with_its_sessions(string version)
    {
        DirectoryInfo files = ScratchDirectory.Create("upgrade");
        RunningTraffic? traffic = null;
        try
        {
            await using DaemonLab lab = await DaemonLab.StartAsync(
                config => config["log"] = new JsonObject { ["level"] = "debug" },
                before: network =>
                {
                    new EarlierVersion(version).Restore(network.Host, files.FullName);
                    traffic = RunningTraffic.StartAsync(network).GetAwaiter().GetResult();
                },
                adapt: options => options with { Directory = files.FullName });
            AgentStatus status = await lab.StatusAsync();
            Assert.Equal(
                (EarlierVersion.Revision, EarlierVersion.Revision), (status.DesiredRevision, status.AppliedRevision));
            Assert.Empty(status.Alarms);
            Assert.All(status.Vnics, vnic => Assert.Equal(VnicState.Enforced, vnic.State));
            Assert.Contains("ruleset adopted", lab.Daemon.Log, StringComparison.Ordinal);
            VerifyResponse proof = await lab.Client.VerifyAsync(
                new VerifyRequest(), cancellationToken: TestContext.Current.CancellationToken);
            Assert.Equal("proved", proof.Result);
            await traffic!.GoesOnAsync(lab);
            await GoOnAsync(lab, new EarlierVersion(version).HasLease);
            await traffic.GoesOnAsync(lab);
            await lab.Daemon.RestartAsync();
            Assert.Equal(EarlierVersion.Revision + 1, (await lab.StatusAsync()).AppliedRevision);
            // A set of that version had another shape: its table is made anew, and hooks without rules drop meanwhile.
            bool isRebuilt = lab.Daemon.Log.Contains("DeleteTable", StringComparison.Ordinal);
            await traffic.AssertWholeAsync(mayLose: isRebuilt ? RunningTraffic.Rate / 10 : 0);
        }
        finally
        {
            traffic?.Dispose();
            files.Delete(recursive: true);
        }
    }

    /// <summary>The daemon of the version before this one, this one, that one, and this one again.</summary>
    [Fact]
    public async Task Up_down_and_up_again_between_adjacent_versions()
    {
        Assert.SkipUnless(Previous is not null, $"{PreviousVariable} names no daemon: make test-upgrade builds one");
        await using DaemonLab lab = await DaemonLab.StartAsync(binary: Previous);
        string present = BuiltProgram.Find("SG_AGENTD", "Agent.Daemon", "sg-agentd");
        await EarlierVersion.SendAsync(lab);
        using RunningTraffic traffic = await RunningTraffic.StartAsync(lab);

        ulong revision = EarlierVersion.Revision;
        foreach ((string next, bool kill) in (IEnumerable<(string, bool)>)
            [(present, false), (Previous!, false), (present, true), (Previous!, true), (present, false)])
        {
            lab.Daemon.Binary = next;
            _ = kill ? await lab.Daemon.KillAsync() : await lab.Daemon.StopAsync();
            await lab.Daemon.LaunchAsync();
            AgentStatus status = await lab.StatusAsync();
            await traffic.GoesOnAsync(lab);
            if (status.DesiredRevision != revision)
            {
                // A downgrade across a change of format: nothing is known, and nothing is touched.
                Assert.Equal((Previous, 0ul), (next, status.DesiredRevision));
                Assert.Contains("newer", Assert.Single(status.Alarms), StringComparison.Ordinal);
                continue;
            }

            Assert.Equal(revision, status.AppliedRevision);
            Assert.Empty(status.Alarms);
            await using SyncClient sync = SyncClient.Open(lab);
            await sync.AskAsync(EarlierVersion.Hello);
            await sync.AcceptedAsync(EarlierVersion.Members(revision, change => change.Add.Add($"10.9.1.{revision}")));
            revision++;
            await traffic.GoesOnAsync(lab);
        }

        await traffic.AssertWholeAsync();
    }

    /// <summary>Writes what a version leaves into this tree.</summary>
    [Fact]
    public async Task What_a_version_leaves_is_kept()
    {
        string? name = Environment.GetEnvironmentVariable(KeepVariable);
        Assert.SkipUnless(
            Previous is not null && name is not null,
            $"{PreviousVariable} and {KeepVariable} are not set: make keep-version");
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["protect_tables"] = false, binary: Previous);
        await EarlierVersion.SendAsync(lab);
        await lab.SettledAsync();
        await lab.Daemon.StopAsync();
        new EarlierVersion(name!).Keep(lab);
    }

    // The lease that it left, if it knew any, fences; and its revision is built upon.
    private static async Task GoOnAsync(DaemonLab lab, bool isFenced)
    {
        if (isFenced)
        {
            await using SyncClient stale = SyncClient.Open(lab);
            SyncResponse answer = await stale.AskAsync(new SyncRequest
            {
                Hello = new SyncHello { Controller = "old", Term = EarlierVersion.Term - 1 },
            });
            Assert.Equal("StaleTerm", Assert.Single(answer.Refused.Faults).Code);
        }

        await using SyncClient sync = SyncClient.Open(lab);
        SyncResponse hello = await sync.AskAsync(new SyncRequest
        {
            Hello = new SyncHello { Controller = "next", Term = EarlierVersion.Term + 1 },
        });
        Assert.Equal(EarlierVersion.Revision, hello.Held.Revision);
        await sync.AcceptedAsync(EarlierVersion.Members(
            EarlierVersion.Revision, change => change.Remove.Add("10.9.0.1")));
    }
}
