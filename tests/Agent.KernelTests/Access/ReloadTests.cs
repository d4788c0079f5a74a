using System.Security.Cryptography.X509Certificates;
using Agent.KernelTests.Daemon;
using Agent.V1;
using Grpc.Core;
using Grpc.Net.Client;
using Rpc = Agent.V1.SecurityGroupAgent.SecurityGroupAgentClient;

namespace Agent.KernelTests.Access;

/// <summary>Certificates change while the daemon runs and clients are connected.</summary>
public sealed class ReloadTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_new_certificate_is_shown_to_the_next_client_and_the_ones_that_are_there_stay()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        using X509Certificate2 honest = access.Authority.Issue("ctl.example");
        using GrpcChannel stays = access.Connect(honest);
        using AsyncServerStreamingCall<AgentStatus> watch =
            new Rpc(stays).WatchStatus(new GetStatusRequest(), cancellationToken: Cancel);
        Assert.True(await watch.ResponseStream.MoveNext(Cancel));
        string before = await ShownAsync(access, honest);
        double expiry = await ExpiryAsync(access);

        // Half a change first: a certificate whose key is not there yet.
        string keyFile = Path.Combine(access.Files, "server.key");
        string oldKey = await File.ReadAllTextAsync(keyFile, Cancel);
        access.Authority.WriteServerFiles(access.Files, days: 5);
        string newKey = await File.ReadAllTextAsync(keyFile, Cancel);
        await File.WriteAllTextAsync(keyFile, oldKey, Cancel);
        await DaemonLab.UntilAsync("a refusal", async () =>
            await access.Lab.MetricAsync("sg_agent_tls_reloads_total{result=\"failed\"}") > 0);
        Assert.Equal(before, await ShownAsync(access, honest));
        Assert.Contains("goes on with the certificate that it has", access.Lab.Daemon.Log, StringComparison.Ordinal);

        await File.WriteAllTextAsync(keyFile, newKey, Cancel);
        await DaemonLab.UntilAsync("the new one", async () => await ShownAsync(access, honest) != before);
        Assert.Equal(4, (await ExpiryAsync(access) - expiry) / 86400, tolerance: 0.01);
        await access.Lab.ApplyAsync(DaemonLab.OneWayIn());
        Assert.True(await watch.ResponseStream.MoveNext(Cancel)); // the same stream
    }

    [Fact]
    public async Task A_new_authority_takes_the_place_of_the_old_one_by_way_of_both()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        using Authority next = new("next");
        using X509Certificate2 old = access.Authority.Issue("ctl.example");
        using X509Certificate2 young = next.Issue("ctl.example");
        string file = Path.Combine(access.Files, "ca.pem");
        Assert.True(await IsHeardAsync(access, old));
        Assert.False(await IsHeardAsync(access, young));

        await File.WriteAllTextAsync(file, access.Authority.Pem + "\n" + next.Pem, Cancel);
        await DaemonLab.UntilAsync("trust in both", () => IsHeardAsync(access, young));
        Assert.True(await IsHeardAsync(access, old));

        await File.WriteAllTextAsync(file, next.Pem, Cancel);
        await DaemonLab.UntilAsync("trust in one", async () => !await IsHeardAsync(access, old));
        Assert.True(await IsHeardAsync(access, young));
    }

    [Fact]
    public async Task Without_lists_every_client_of_the_authority_controls_and_an_alarm_says_so()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        using X509Certificate2 anybody = access.Authority.Issue("anybody");
        using GrpcChannel channel = access.Connect(anybody);
        await new Rpc(channel).ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = DaemonLab.OneWayIn(), NextRevision = true },
            cancellationToken: Cancel);
        AgentStatus status = await access.Lab.StatusAsync();
        Assert.Contains(status.Alarms, alarm => alarm.Contains("grpc.tls.controllers", StringComparison.Ordinal));
    }

    private static Task<double> ExpiryAsync(AccessLab access) =>
        access.Lab.MetricAsync("sg_agent_tls_certificate_expiry_timestamp_seconds{listener=\"tcp\"}");

    private static async Task<string> ShownAsync(AccessLab access, X509Certificate2 honest)
    {
        string serial = "";
        using GrpcChannel channel = access.Connect(honest, theirs => serial = theirs.SerialNumber);
        await new Rpc(channel).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel);
        return serial;
    }

    private static async Task<bool> IsHeardAsync(AccessLab access, X509Certificate2 certificate)
    {
        using GrpcChannel channel = access.Connect(certificate);
        try
        {
            await new Rpc(channel).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel);
            return true;
        }
        catch (RpcException e) when (AccessLab.NoSession.Contains(e.StatusCode))
        {
            return false;
        }
    }
}
