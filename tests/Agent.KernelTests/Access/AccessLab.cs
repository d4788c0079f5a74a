using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace Agent.KernelTests.Access;

/// <summary>A daemon that listens on TCP as well, an authority, and clients with certificates of it.</summary>
internal sealed class AccessLab : IAsyncDisposable
{
    private const int Port = 9443;

    /// <summary>An honest client waits no longer than this, whatever others do.</summary>
    public static readonly TimeSpan Promptly = Pace.Scaled(TimeSpan.FromSeconds(3));

    /// <summary>
    /// What a client makes of an alert: with TLS 1.3 it comes when the client has begun to speak HTTP/2, or before.
    /// </summary>
    public static readonly StatusCode[] NoSession = [StatusCode.Unavailable, StatusCode.Internal];

    private readonly DirectoryInfo files = ScratchDirectory.Create("tls");
    private DaemonLab? lab;

    private AccessLab()
    {
    }

    public DaemonLab Lab => lab ?? throw new InvalidOperationException("not started");

    public Authority Authority { get; } = new("ours");

    public string Files => files.FullName;

    /// <param name="grpc">Last word on the section "grpc".</param>
    public static async Task<AccessLab> StartAsync(Action<JsonObject>? grpc = null)
    {
        var made = new AccessLab();
        try
        {
            made.lab = await DaemonLab.StartAsync(config =>
            {
                var section = new JsonObject
                {
                    ["socket"] = config["grpc"]!["socket"]!.GetValue<string>(),
                    ["listen"] = $"127.0.0.1:{Port}",
                    ["tls"] = made.Authority.WriteServerFiles(made.Files),
                };
                grpc?.Invoke(section);
                config["grpc"] = section;
            });
            await DaemonLab.UntilAsync("a listener", made.ListensAsync);
            return made;
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }
    }

    /// <summary>A channel with a connection of its own.</summary>
    /// <param name="certificate">Null: none.</param>
    /// <param name="shown">Gets the server's certificate.</param>
    /// <param name="open">Another way there than from the host itself.</param>
    public GrpcChannel Connect(
        X509Certificate2? certificate, Action<X509Certificate2>? shown = null,
        Func<CancellationToken, ValueTask<Stream>>? open = null)
    {
        var handler = new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                CertificateChainPolicy = Authority.Trust(),
                LocalCertificateSelectionCallback = certificate is null ? null : (_, _, _, _, _) => certificate,
                RemoteCertificateValidationCallback = shown is null ? null : (_, theirs, _, errors) =>
                {
                    shown(X509CertificateLoader.LoadCertificate(theirs!.GetRawCertData()));
                    return errors == SslPolicyErrors.None;
                },
            },
            ConnectCallback = async (_, cancel) => open is null ? await OpenAsync(cancel) : await open(cancel),
        };
        return GrpcChannel.ForAddress($"https://localhost:{Port}", new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = null,
            MaxSendMessageSize = null,
        });
    }

    /// <summary>TCP, and not a word.</summary>
    public async Task<NetworkStream> OpenAsync(CancellationToken cancel = default)
    {
        Socket socket = Lab.Network.Host.OpenSocket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, Port), cancel);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>TLS, and not a word.</summary>
    public async Task<SslStream> OpenTlsAsync(X509Certificate2 certificate)
    {
        var stream = new SslStream(await OpenAsync());
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            CertificateChainPolicy = Authority.Trust(),
            LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate,
            ApplicationProtocols = [SslApplicationProtocol.Http2],
            EnabledSslProtocols = SslProtocols.Tls13,
        });
        return stream;
    }

    /// <summary>A question of somebody who does nothing wrong is answered soon.</summary>
    public async Task AnswersPromptlyAsync(X509Certificate2 honest)
    {
        using GrpcChannel channel = Connect(honest);
        await AnswersPromptlyAsync(channel);
    }

    /// <inheritdoc cref="AnswersPromptlyAsync(X509Certificate2)"/>
    public static async Task AnswersPromptlyAsync(GrpcChannel channel) =>
        await new SecurityGroupAgent.SecurityGroupAgentClient(channel).GetStatusAsync(
            new GetStatusRequest(), deadline: DateTime.UtcNow + Promptly);

    /// <summary>What a call is refused with.</summary>
    public async Task<RpcException> RefusedAsync(
        X509Certificate2? certificate, Func<SecurityGroupAgent.SecurityGroupAgentClient, Task> call)
    {
        using GrpcChannel channel = Connect(certificate);
        return await Assert.ThrowsAsync<RpcException>(
            () => call(new SecurityGroupAgent.SecurityGroupAgentClient(channel)));
    }

    public Task<double> RefusalsAsync(string listener, string reason) => Lab.MetricAsync(
        $"sg_agent_access_refusals_total{{listener=\"{listener}\",reason=\"{reason}\"}}");

    public Task<double> ConnectionsAsync(string listener) =>
        Lab.MetricAsync($"sg_agent_connections{{listener=\"{listener}\"}}");

    /// <summary>Resident memory of the daemon.</summary>
    public long ResidentBytes()
    {
        string line = File.ReadLines($"/proc/{Lab.Daemon.ProcessId}/status")
            .Single(one => one.StartsWith("VmRSS:", StringComparison.Ordinal));
        return 1024 * long.Parse(
            line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
            System.Globalization.CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        if (lab is not null)
        {
            await lab.DisposeAsync();
        }

        Authority.Dispose();
        files.Delete(recursive: true);
    }

    // The socket, by which readiness is known, opens a moment before TCP does.
    private async Task<bool> ListensAsync()
    {
        try
        {
            await using NetworkStream stream = await OpenAsync();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
