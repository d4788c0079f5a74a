using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;
using Rpc = Agent.V1.SecurityGroupAgent.SecurityGroupAgentClient;

namespace Agent.KernelTests.Access;

/// <summary>A daemon that knows its clients by name.</summary>
public sealed class NamedClients : IAsyncLifetime
{
    private AccessLab? made;

    internal AccessLab Access => made ?? throw new InvalidOperationException("not initialized");

    public async ValueTask InitializeAsync()
    {
        made = await AccessLab.StartAsync(grpc =>
        {
            grpc["tls"]!["controllers"] = new JsonArray("ctl.example", "spiffe://td/ctl");
            grpc["tls"]!["observers"] = new JsonArray("*.mon.example", "reader@example");
            grpc["socket_mode"] = "0666";
            grpc["socket_controllers"] = new JsonArray(20001);
            grpc["socket_observers"] = new JsonArray(20002, "@20100");
        });

        // Whom the socket's folder keeps out, nobody has to ask.
        File.SetUnixFileMode(made.Lab.Daemon.Directory, (UnixFileMode)0b111_001_001);
        await made.Lab.ApplyAsync(DaemonLab.OneWayIn());
    }

    public async ValueTask DisposeAsync()
    {
        if (made is not null)
        {
            await made.DisposeAsync();
        }
    }
}

/// <summary>Who may do what, over TCP and over the socket; each refusal is told and counted.</summary>
public sealed class RoleTests(NamedClients named) : IClassFixture<NamedClients>
{
    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    private readonly AccessLab access = named.Access;

    private static readonly (string Name, bool Reads, Func<Rpc, CancellationToken, Task> Call)[] Calls =
    [
        ("GetState", true, async (c, t) => await c.GetStateAsync(new GetStateRequest(), cancellationToken: t)),
        ("GetStatus", true, async (c, t) => await c.GetStatusAsync(new GetStatusRequest(), cancellationToken: t)),
        ("WatchStatus", true, (c, t) => FirstAsync(c.WatchStatus(new GetStatusRequest(), cancellationToken: t))),
        ("WatchDrops", true, (c, t) => FirstAsync(c.WatchDrops(new WatchDropsRequest(), cancellationToken: t))),
        ("ListSessions", true, (c, t) => FirstAsync(c.ListSessions(new ListSessionsRequest(), cancellationToken: t))),
        ("GetStaged", true, async (c, t) => await c.GetStagedAsync(new GetStagedRequest(), cancellationToken: t)),
        ("Analyze", true, async (c, t) => await c.AnalyzeAsync(new AnalyzeRequest(), cancellationToken: t)),
        ("Verify", true, async (c, t) => await c.VerifyAsync(new VerifyRequest(), cancellationToken: t)),
        ("ApplySnapshot", false, async (c, t) => await c.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = DaemonLab.OneWayIn(), NextRevision = true }, cancellationToken: t)),
        ("ApplySnapshot", false, async (c, t) => await c.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = DaemonLab.OneWayIn(), DryRun = true }, cancellationToken: t)),
        ("StageSnapshot", false, async (c, t) => await c.StageSnapshotAsync(
            new StageSnapshotRequest { Snapshot = DaemonLab.OneWayIn(), NextRevision = true }, cancellationToken: t)),
        ("DiscardStaged", false, async (c, t) =>
            await c.DiscardStagedAsync(new DiscardStagedRequest(), cancellationToken: t)),
        ("ExportSessions", false, async (c, t) => await c.ExportSessionsAsync(
            new ExportSessionsRequest { Vnic = "eni-e1" }, cancellationToken: t)),
        ("ImportSessions", false, async (c, t) => await c.ImportSessionsAsync(
            new ImportSessionsRequest { Vnic = "eni-e1" }, cancellationToken: t)),
        ("Sync", false, SyncAsync),
    ];

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Over_TCP_the_names_of_a_certificate_give_a_role()
    {
        (Wish Who, bool Controls)[] known =
        [
            (new Wish { Dns = "ctl.example" }, true),
            (new Wish { Dns = "host7.example", Uri = "spiffe://td/ctl" }, true),
            (new Wish { Dns = "ctl.example", Usage = null }, true),
            (new Wish { Dns = "prometheus.mon.example" }, false),
            (new Wish { Email = "reader@example" }, false),
        ];
        foreach ((Wish who, bool controls) in known)
        {
            using X509Certificate2 certificate = access.Authority.Issue(who);
            using GrpcChannel channel = access.Connect(certificate);
            foreach ((string name, bool reads, Func<Rpc, CancellationToken, Task> call) in Calls)
            {
                if (reads || controls)
                {
                    await call(new Rpc(channel), Cancel);
                    continue;
                }

                double before = await access.RefusalsAsync("tcp", "role");
                RpcException refused = await Assert.ThrowsAsync<RpcException>(() => call(new Rpc(channel), Cancel));
                Assert.Equal(StatusCode.PermissionDenied, refused.StatusCode);
                Assert.Equal(
                    $"{who.Dns ?? who.Email} has the role observer; /agent.v1.SecurityGroupAgent/{name} needs"
                    + " controller: name one of its alternative names in grpc.tls.controllers or grpc.tls.observers",
                    refused.Status.Detail);
                Assert.Equal(before + 1, await access.RefusalsAsync("tcp", "role"));
            }

            await new Health.HealthClient(channel).CheckAsync(new HealthCheckRequest(), cancellationToken: Cancel);
        }
    }

    [Fact]
    public async Task Who_is_in_no_list_may_not_even_ask_for_health()
    {
        (Wish Who, StatusCode Code)[] strangers =
        [
            (new Wish { Dns = "other.example" }, StatusCode.PermissionDenied),
            (new Wish { Dns = "mon.example" }, StatusCode.PermissionDenied),
            (new Wish { Dns = "a.b.mon.example" }, StatusCode.PermissionDenied),
            (new Wish { Uri = "spiffe://td/ctl/2" }, StatusCode.PermissionDenied),
            (new Wish { Email = "ctl@ctl.example" }, StatusCode.PermissionDenied),
            (new Wish(), StatusCode.Unauthenticated), // no alternative name
        ];
        foreach ((Wish who, StatusCode code) in strangers)
        {
            double before = await access.RefusalsAsync("tcp", "identity");
            using X509Certificate2 certificate = access.Authority.Issue(who);
            using GrpcChannel channel = access.Connect(certificate);
            RpcException refused = await Assert.ThrowsAsync<RpcException>(async () =>
                await new Rpc(channel).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel));
            Assert.Equal(code, refused.StatusCode);
            Assert.Contains("grpc.tls.observers", refused.Status.Detail, StringComparison.Ordinal);
            refused = await Assert.ThrowsAsync<RpcException>(async () => await new Health.HealthClient(channel)
                .CheckAsync(new HealthCheckRequest(), cancellationToken: Cancel));
            Assert.Equal(code, refused.StatusCode);
            Assert.Equal(before + 2, await access.RefusalsAsync("tcp", "identity"));
        }
    }

    [Fact]
    public async Task Without_a_certificate_that_is_good_today_nobody_is_heard()
    {
        using Authority others = new("ours"); // of the same name
        using X509Certificate2 honest = access.Authority.Issue("ctl.example");
        X509Certificate2?[] wrong =
        [
            null,
            others.Issue("ctl.example"),
            Authority.SelfSigned("ctl.example"),
            access.Authority.Issue(new Wish { Dns = "ctl.example", Days = -1 }),
            access.Authority.Issue(new Wish { Dns = "ctl.example", Usage = Wish.ForServers }),
        ];
        foreach (X509Certificate2? certificate in wrong)
        {
            double before = await access.RefusalsAsync("tcp", "certificate");
            RpcException refused = await access.RefusedAsync(certificate, async client =>
                await client.GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel));
            Assert.Contains(refused.StatusCode, AccessLab.NoSession);
            await DaemonLab.UntilAsync(
                "a count", async () => await access.RefusalsAsync("tcp", "certificate") > before);
            await access.AnswersPromptlyAsync(honest);
            certificate?.Dispose();
        }

        Assert.Contains("refused (Certificate) at tcp", access.Lab.Daemon.Log, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("-tls1_1", false)]
    [InlineData("-tls1_2", true)]
    [InlineData("-tls1_3", true)]
    public async Task Old_versions_of_TLS_are_refused(string version, bool heard)
    {
        using X509Certificate2 certificate = access.Authority.Issue("ctl.example");
        string file = Path.Combine(access.Files, "client.pem");
        await File.WriteAllTextAsync(
            file, certificate.ExportCertificatePem() + "\n" + Authority.KeyPem(certificate), Cancel);
        double before = await access.RefusalsAsync("tcp", "handshake");
        CommandOutcome said = access.Lab.Network.Host.TryExec(
            "openssl", "s_client", version, "-cipher", "DEFAULT@SECLEVEL=0", "-connect", "127.0.0.1:9443",
            "-cert", file, "-alpn", "h2", "-brief");
        Assert.Equal(heard, (said.Output + said.Error).Contains("CONNECTION ESTABLISHED", StringComparison.Ordinal));
        if (!heard)
        {
            await DaemonLab.UntilAsync(
                "a count", async () => await access.RefusalsAsync("tcp", "handshake") == before + 1);
        }
    }

    [Theory]
    [InlineData(0, "", "controller")]
    [InlineData(20001, "", "controller")]
    [InlineData(20002, "", "observer")]
    [InlineData(20003, "20100", "observer")]
    [InlineData(20003, "20101,20100,20102", "observer")]
    [InlineData(20003, "20101", "none")]
    [InlineData(20100, "", "none")]
    public async Task Over_the_socket_the_kernel_says_who_asks(int user, string groups, string role)
    {
        CommandOutcome status = Run("status");
        CommandOutcome discard = Run("staged", "--discard");
        if (role == "none")
        {
            Assert.Equal(1, status.ExitCode);
            Assert.Contains($"uid {user} has no role", status.Error, StringComparison.Ordinal);
            Assert.Contains("grpc.socket_observers", status.Error, StringComparison.Ordinal);
        }
        else
        {
            Assert.True(status.ExitCode == 0, status.Error);
        }

        Assert.True(role == "controller" == (discard.ExitCode == 0), discard.Output + discard.Error);
        if (role == "observer")
        {
            Assert.Contains($"uid {user} has the role observer", discard.Error, StringComparison.Ordinal);
            Assert.True(await access.RefusalsAsync("socket", "role") > 0);
        }

        CommandOutcome Run(params string[] verb) => SystemCommand.TryRun("setpriv", null,
        [
            $"--reuid={user}", "--regid=20999", groups.Length > 0 ? $"--groups={groups}" : "--clear-groups", Sgctl,
            .. verb, "--socket", access.Lab.Daemon.SocketPath,
        ]);
    }

    [Fact]
    public async Task What_is_no_gRPC_is_not_served_beside_metrics()
    {
        using HttpClient http = new(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancel) => await access.Lab.Network.Host.ConnectAsync(9477, cancel),
        });
        using HttpResponseMessage page = await http.GetAsync(new Uri("http://localhost/metrics"), Cancel);
        Assert.True(page.IsSuccessStatusCode);
        using var asked = new HttpRequestMessage(
            HttpMethod.Post, "http://localhost/agent.v1.SecurityGroupAgent/GetStatus");
        using HttpResponseMessage answer = await http.SendAsync(asked, Cancel);
        Assert.Equal(System.Net.HttpStatusCode.NotFound, answer.StatusCode);
    }

    private static async Task FirstAsync<T>(AsyncServerStreamingCall<T> call)
    {
        using (call)
        {
            await call.ResponseStream.MoveNext(Cancel);
        }
    }

    private static async Task SyncAsync(Rpc client, CancellationToken cancel)
    {
        using AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call = client.Sync(cancellationToken: cancel);
        try
        {
            await call.RequestStream.WriteAsync(new SyncRequest { Hello = new SyncHello() }, cancel);
        }
        catch (RpcException)
        {
            // What ended it is said when it is read.
        }

        Assert.True(await call.ResponseStream.MoveNext(cancel));
        Assert.NotNull(call.ResponseStream.Current.Held);
    }
}
