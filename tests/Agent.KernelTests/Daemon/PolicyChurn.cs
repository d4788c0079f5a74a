using Agent.V1;
using Grpc.Core;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>
/// A controller in a hurry: steps that allow and forbid, and touch members, rules, groups and vNICs; never what
/// <see cref="DaemonLab.OneWayIn"/> lets through, and never what it does not.
/// </summary>
internal sealed class PolicyChurn
{
    private static readonly TimeSpan Again = TimeSpan.FromMilliseconds(20);

    private ulong acknowledged;

    /// <summary>The last revision that was answered for.</summary>
    public ulong Acknowledged
    {
        get => Interlocked.Read(ref acknowledged);
        set => Interlocked.Exchange(ref acknowledged, value);
    }

    /// <summary>What was sent last.</summary>
    public ulong InFlight { get; private set; }

    /// <summary>The state cannot be saved now: a step that is refused for that is tried again.</summary>
    public bool MayGoUnsaved { get; set; }

    /// <summary>Sends steps until it is cancelled or the daemon dies.</summary>
    public async Task DriveAsync(DaemonLab lab, CancellationToken end)
    {
        try
        {
            await using SyncClient sync = SyncClient.Open(lab);
            while (!end.IsCancellationRequested)
            {
                Delta delta = Step(Acknowledged);
                InFlight = delta.Revision;
                await sync.SendAsync(new SyncRequest { Delta = delta });
                if (await sync.NextAsync() is not { } answer)
                {
                    return;
                }

                if (answer.Accepted is { } accepted)
                {
                    Acknowledged = accepted.Revision;
                    continue;
                }

                Assert.True(
                    MayGoUnsaved && answer.Refused.Faults.All(fault => fault.Code == "NotPersisted"),
                    $"refused: {answer.Refused}");
                await Task.Delay(Again, CancellationToken.None);
            }
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException or IOException)
        {
            // It died.
        }
    }

    private static Delta Step(ulong at)
    {
        Delta delta = new() { BaseRevision = at, Revision = at + 1 };
        switch (at % 6)
        {
            case 0:
                delta.Members.Add(new MemberChange
                {
                    GroupId = "sg-a",
                    Add = { $"10.9.{at >> 8 & 255}.{at & 255}", "10.8.0.0/24" },
                });
                break;
            case 1:
                delta.UpsertGroups.Add(
                    Isolating("sg-b", [.. Lasting, "in 2 accept tcp 80/90 10.7.0.0/16"]));
                break;
            case 2:
                delta.Members.Add(new MemberChange { GroupId = "sg-a", Remove = { "10.8.0.0/24" } });
                break;
            case 3:
                delta.UpsertVnics.Add(Nic("e3", "sg-c", "sg-d"));
                delta.UpsertGroups.Add(Isolating("sg-d", "in 1 accept tcp 22/22 sg-a"));
                break;
            case 4:
                delta.UpsertGroups.Add(Isolating("sg-b", Lasting));
                break;
            default:
                delta.UpsertVnics.Add(Nic("e3", "sg-c"));
                delta.RemoveGroups.Add("sg-d");
                break;
        }

        return delta;
    }

    private static string[] Lasting => ["in 1 accept udp 1/65535 sg-a", "in 1 accept tcp 22/22 sg-a"];
}
