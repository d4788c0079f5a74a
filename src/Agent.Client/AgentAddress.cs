using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Grpc.Net.Client;

namespace Agent.Client;

/// <summary>Where an agent listens, and who the client is there.</summary>
public abstract record AgentAddress
{
    /// <summary>A peer that is silent for so long is asked for a sign of life.</summary>
    private static readonly TimeSpan PingDelay = TimeSpan.FromSeconds(5);

    /// <summary>And gone if it gives none: a half-open connection lives for both together.</summary>
    private static readonly TimeSpan PingPatience = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(10);

    private AgentAddress()
    {
    }

    /// <summary>Opens the byte stream below TLS and HTTP/2; null: as the address says.</summary>
    public Func<CancellationToken, ValueTask<Stream>>? Dial { get; init; }

    /// <summary>The agent of this host. The socket's peer credentials say who asks.</summary>
    public sealed record Unix(string Path) : AgentAddress
    {
        public override string ToString() => Path;

        private protected override Uri Target => new("http://localhost");

        private protected override async ValueTask<Stream> DialAsync(CancellationToken cancel)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                return await ConnectAsync(
                    socket, () => socket.ConnectAsync(new UnixDomainSocketEndPoint(Path), cancel))
                    .ConfigureAwait(false);
            }
            catch (SocketException e) when (!File.Exists(Path))
            {
                // The runtime's own word for it is about an address that cannot be assigned.
                throw new IOException($"there is no socket {Path}", e);
            }
        }
    }

    /// <summary>An agent elsewhere, over mutual TLS.</summary>
    /// <param name="Uri">"https://host-17.example:9443"; the agent's certificate must name the host.</param>
    /// <param name="Certificate">
    /// The client's, with its key. Asked for at each connection, so that a new one needs no restart.
    /// </param>
    public sealed record Https(Uri Uri, Func<X509Certificate2> Certificate) : AgentAddress
    {
        /// <summary>Who may vouch for the agent; null: whom the system trusts.</summary>
        public X509Certificate2Collection? Authorities { get; init; }

        public override string ToString() => Uri.ToString();

        private protected override Uri Target => Uri;

        private protected override async ValueTask<Stream> DialAsync(CancellationToken cancel)
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            return await ConnectAsync(
                socket, () => socket.ConnectAsync(Uri.IdnHost, Uri.Port, cancel)).ConfigureAwait(false);
        }

        private protected override SslClientAuthenticationOptions Tls()
        {
            var options = new SslClientAuthenticationOptions
            {
                LocalCertificateSelectionCallback = (_, _, _, _, _) => Certificate(),
            };
            if (Authorities is not null)
            {
                options.CertificateChainPolicy = new X509ChainPolicy
                {
                    TrustMode = X509ChainTrustMode.CustomRootTrust,
                    RevocationMode = X509RevocationMode.NoCheck, // a private authority has no list to ask
                };
                options.CertificateChainPolicy.CustomTrustStore.AddRange(Authorities);
            }

            return options;
        }
    }

    private protected abstract Uri Target { get; }

    private protected abstract ValueTask<Stream> DialAsync(CancellationToken cancel);

    private protected virtual SslClientAuthenticationOptions Tls() => new();

    /// <summary>A channel of its own; nothing is connected yet.</summary>
    internal GrpcChannel Open()
    {
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            ConnectTimeout = ConnectPatience,
            KeepAlivePingDelay = PingDelay,
            KeepAlivePingTimeout = PingPatience,
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            SslOptions = Tls(),
            ConnectCallback = (_, cancel) => Dial?.Invoke(cancel) ?? DialAsync(cancel),
        };
        return GrpcChannel.ForAddress(Target, new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = null, // a state of a host comes as one message, and the agent is trusted
            MaxSendMessageSize = null,
        });
    }

    private static async Task<Stream> ConnectAsync(Socket socket, Func<ValueTask> connect)
    {
        try
        {
            await connect().ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
