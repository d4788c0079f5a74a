using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Metrics;

/// <summary>Where metrics can be read, and by whom.</summary>
public sealed class EndpointTests
{
    [Fact]
    public async Task Over_a_socket_file_with_the_mode_that_was_asked_for_and_nowhere_else()
    {
        DirectoryInfo files = ScratchDirectory.Create("metrics");
        string path = Path.Combine(files.FullName, "metrics.sock");
        try
        {
            await using DaemonLab lab = await DaemonLab.StartAsync(config => config["metrics"] = new JsonObject
            {
                ["listen"] = "",
                ["socket"] = path,
                ["socket_mode"] = "0640",
            });
            await lab.ApplyAsync(DaemonLab.OneWayIn());
            ExpositionPage page = ExpositionPage.Of(await GetAsync(new Uri("http://localhost/metrics"),
                () => ConnectAsync(new UnixDomainSocketEndPoint(path))));
            Assert.Equal(1, page.Samples["sg_agent_applied_revision"]);
            Assert.Equal("640 socket\n", SystemCommand.Run("stat", "-c", "%a %F", path));
            await Assert.ThrowsAsync<HttpRequestException>(lab.Daemon.ReadPageAsync);
        }
        finally
        {
            files.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Over_TLS_with_our_certificate_and_if_it_is_asked_for_with_theirs(bool mutual)
    {
        DirectoryInfo files = ScratchDirectory.Create("metrics");
        try
        {
            using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            CertificateRequest request = new("CN=localhost", key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
            using X509Certificate2 ours = request.CreateSelfSigned(
                DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
            string certificate = Path.Combine(files.FullName, "server.pem");
            string keyFile = Path.Combine(files.FullName, "server.key");
            await File.WriteAllTextAsync(
                certificate, ours.ExportCertificatePem(), TestContext.Current.CancellationToken);
            await File.WriteAllTextAsync(
                keyFile, key.ExportPkcs8PrivateKeyPem(), TestContext.Current.CancellationToken);
            await using DaemonLab lab = await DaemonLab.StartAsync(config =>
            {
                JsonObject tls = new() { ["certificate"] = certificate, ["key"] = keyFile };
                if (mutual)
                {
                    tls["client_ca"] = certificate;
                }

                config["metrics"]!["tls"] = tls;
            });
            await DaemonLab.UntilAsync("a listener", () => OpensAsync(lab));
            string page = await ReadAsync(lab, ours, ours);
            Assert.Contains("sg_agent_build_info", page, StringComparison.Ordinal);
            await Assert.ThrowsAnyAsync<HttpRequestException>(lab.Daemon.ReadPageAsync); // in the clear
            if (mutual)
            {
                await Assert.ThrowsAnyAsync<Exception>(() => ReadAsync(lab, ours, client: null));
            }
            else
            {
                Assert.NotEmpty(await ReadAsync(lab, ours, client: null));
            }
        }
        finally
        {
            files.Delete(recursive: true);
        }
    }

    private static async Task<bool> OpensAsync(DaemonLab lab)
    {
        try
        {
            await using Stream stream = await OverTcpAsync(lab);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static Task<string> ReadAsync(
        DaemonLab lab, X509Certificate2 server, X509Certificate2? client) =>
        GetAsync(new Uri("http://localhost/metrics"), async () =>
        {
            SslStream secure = new(await OverTcpAsync(lab));
            await secure.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
            {
                TargetHost = "localhost",
                ClientCertificates = client is null ? [] : [client],
                EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
                RemoteCertificateValidationCallback = (_, shown, _, _) =>
                    shown is not null && shown.GetCertHashString() == server.GetCertHashString(),
            });
            return secure;
        });

    private static Task<Stream> OverTcpAsync(DaemonLab lab) => lab.Network.Host.ConnectAsync(9477);

    private static async Task<Stream> ConnectAsync(UnixDomainSocketEndPoint end)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(end);
        return new NetworkStream(socket, ownsSocket: true);
    }

    private static async Task<string> GetAsync(Uri page, Func<Task<Stream>> connect)
    {
        using HttpClient client = new(new SocketsHttpHandler
        {
            ConnectCallback = async (_, _) => await connect(),
        });
        return await client.GetStringAsync(page, TestContext.Current.CancellationToken);
    }
}
