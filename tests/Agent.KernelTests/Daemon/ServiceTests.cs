using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;
using Grpc.Reflection.V1Alpha;

namespace Agent.KernelTests.Daemon;

/// <summary>Who may ask, and what answers beside the agent's own service.</summary>
public sealed class ServiceTests
{
    private const string Service = "agent.v1.SecurityGroupAgent";

    [Fact]
    public async Task Health_and_reflection_answer_and_the_socket_is_for_its_group_alone()
    {
        string group = File.ReadLines("/etc/group").Select(line => line.Split(':'))
            .First(parts => parts[2] is not "0")[0];
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["grpc"]!["socket_group"] = group);
        foreach (string name in (string[])["", Service])
        {
            HealthCheckResponse health = await new Health.HealthClient(lab.Daemon.Channel).CheckAsync(
                new HealthCheckRequest { Service = name }, cancellationToken: TestContext.Current.CancellationToken);
            Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, health.Status);
        }

        Assert.Equal(
            [Service, "grpc.health.v1.Health"],
            (await ServicesAsync(lab.Daemon.Channel)).Intersect([Service, "grpc.health.v1.Health"]));
        Assert.Equal($"{group} 660 socket\n", SystemCommand.Run("stat", "-c", "%G %a %F", lab.Daemon.SocketPath));

        await lab.Daemon.StopAsync();
        string mode = (await File.ReadAllTextAsync(lab.Daemon.ConfigurationPath, TestContext.Current.CancellationToken))
            .Replace("\"socket_group\"", "\"socket_mode\": \"0600\", \"socket_group\"", StringComparison.Ordinal);
        await File.WriteAllTextAsync(lab.Daemon.ConfigurationPath, mode, TestContext.Current.CancellationToken);
        await lab.Daemon.LaunchAsync();
        await lab.StatusAsync();
        Assert.Equal($"{group} 600 socket\n", SystemCommand.Run("stat", "-c", "%G %a %F", lab.Daemon.SocketPath));
    }

    [Fact]
    public async Task Over_TCP_only_a_client_of_our_authority_is_heard()
    {
        CancellationToken cancel = TestContext.Current.CancellationToken;
        using Authority ours = new("ours");
        using Authority others = new("others");
        DirectoryInfo files = ScratchDirectory.Create("tls");
        try
        {
            await using DaemonLab lab = await DaemonLab.StartAsync(c => c["grpc"] = new JsonObject
            {
                ["socket"] = c["grpc"]!["socket"]!.GetValue<string>(),
                ["listen"] = "127.0.0.1:9443",
                ["tls"] = ours.WriteServerFiles(files.FullName),
            });
            using (GrpcChannel right = Connect(lab, ours, ours.Issue("controller", server: false)))
            {
                SecurityGroupAgent.SecurityGroupAgentClient client = new(right);
                await DaemonLab.UntilAsync("an answer over TCP", () => AnswersAsync(client));
                ApplyResponse answer = await client.ApplySnapshotAsync(
                    new ApplySnapshotRequest { Snapshot = DaemonLab.OneWayIn(), NextRevision = true },
                    cancellationToken: cancel);
                Assert.NotNull(answer.Accepted);
            }

            foreach (X509Certificate2? wrong in (X509Certificate2?[])
                [null, others.Issue("controller", server: false), Authority.SelfSigned("ours"),
                    ours.Issue("late", server: false, days: -1)])
            {
                using GrpcChannel channel = Connect(lab, ours, wrong);
                SecurityGroupAgent.SecurityGroupAgentClient client = new(channel);
                RpcException refused = await Assert.ThrowsAsync<RpcException>(
                    async () => await client.GetStatusAsync(new GetStatusRequest(), cancellationToken: cancel));
                Assert.Equal(StatusCode.Unavailable, refused.StatusCode);
            }

            Assert.Equal(1ul, (await lab.StatusAsync()).AppliedRevision);
        }
        finally
        {
            files.Delete(recursive: true);
        }
    }

    private static async Task<List<string>> ServicesAsync(GrpcChannel channel)
    {
        using AsyncDuplexStreamingCall<ServerReflectionRequest, ServerReflectionResponse> call =
            new ServerReflection.ServerReflectionClient(channel).ServerReflectionInfo();
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { ListServices = "" });
        Assert.True(await call.ResponseStream.MoveNext());
        List<string> names = [.. call.ResponseStream.Current.ListServicesResponse.Service.Select(s => s.Name)];
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { FileContainingSymbol = $"{Service}.Sync" });
        Assert.True(await call.ResponseStream.MoveNext());
        Assert.NotEmpty(call.ResponseStream.Current.FileDescriptorResponse.FileDescriptorProto);
        await call.RequestStream.CompleteAsync();
        return names;
    }

    // The unix socket, by which readiness is known, opens a moment before TCP does.
    private static async Task<bool> AnswersAsync(SecurityGroupAgent.SecurityGroupAgentClient client)
    {
        try
        {
            return (await client.GetStatusAsync(new GetStatusRequest())).AppliedRevision == 0;
        }
        catch (RpcException e) when (e.StatusCode == StatusCode.Unavailable)
        {
            return false;
        }
    }

    private static GrpcChannel Connect(DaemonLab lab, Authority authority, X509Certificate2? certificate)
    {
        SocketsHttpHandler handler = new()
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                CertificateChainPolicy = authority.Trust(),
                LocalCertificateSelectionCallback = certificate is null ? null : (_, _, _, _, _) => certificate,
            },
            ConnectCallback = async (_, cancelled) =>
            {
                Socket socket = lab.Network.Host.OpenSocket(
                    AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, 9443), cancelled);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        return GrpcChannel.ForAddress(
            "https://localhost:9443",
            new GrpcChannelOptions { HttpHandler = handler, DisposeHttpClient = true });
    }

    private sealed class Authority : IDisposable
    {
        private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        private readonly X509Certificate2 root;

        public Authority(string name)
        {
            CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
            root = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-10), DateTimeOffset.UtcNow.AddDays(10));
        }

        public X509Certificate2 Issue(string name, bool server, int days = 1)
        {
            using ECDsa own = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            CertificateRequest request = RequestFor(name, own, server);
            using X509Certificate2 signed = request.Create(
                root, DateTimeOffset.UtcNow.AddDays(-5), DateTimeOffset.UtcNow.AddDays(days),
                RandomNumberGenerator.GetBytes(8));
            using X509Certificate2 whole = signed.CopyWithPrivateKey(own);
            return X509CertificateLoader.LoadPkcs12(whole.Export(X509ContentType.Pfx), null);
        }

        public static X509Certificate2 SelfSigned(string name)
        {
            using ECDsa own = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            using X509Certificate2 made = RequestFor(name, own, server: false).CreateSelfSigned(
                DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
            return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
        }

        public X509ChainPolicy Trust() => new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            CustomTrustStore = { root },
            RevocationMode = X509RevocationMode.NoCheck,
        };

        public JsonObject WriteServerFiles(string directory)
        {
            using X509Certificate2 server = Issue("localhost", server: true);
            using ECDsa serverKey = server.GetECDsaPrivateKey()!;
            return new JsonObject
            {
                ["certificate"] = Write("server.pem", server.ExportCertificatePem()),
                ["key"] = Write("server.key", serverKey.ExportPkcs8PrivateKeyPem()),
                ["client_ca"] = Write("ca.pem", root.ExportCertificatePem()),
            };

            string Write(string name, string text)
            {
                string path = Path.Combine(directory, name);
                File.WriteAllText(path, text);
                return path;
            }
        }

        public void Dispose()
        {
            root.Dispose();
            key.Dispose();
        }

        private static CertificateRequest RequestFor(string name, ECDsa key, bool server)
        {
            CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256);
            string purpose = server ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2";
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], critical: false));
            SubjectAlternativeNameBuilder names = new();
            names.AddDnsName(name);
            request.CertificateExtensions.Add(names.Build());
            return request;
        }
    }
}
