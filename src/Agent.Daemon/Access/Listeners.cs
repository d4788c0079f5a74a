using System.Collections.Immutable;
using System.Net;
using Agent.Daemon.Config;
using Agent.Netlink;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Prometheus;

namespace Agent.Daemon.Access;

/// <summary>Where clients come in, who they are there, and how many.</summary>
internal sealed class Listeners
{
    private const string Socket = "socket";
    private const string Tcp = "tcp";
    private const string Metrics = "metrics";

    /// <summary>Readers of metrics at a time: two servers, a person, and some that hang.</summary>
    private const int MetricsConnections = 64;

    /// <summary>
    /// What a stream may send unread. A connection's is a megabyte, granted anew by halves: with more, a stream that is
    /// held up would hold up all others of its connection.
    /// </summary>
    private const int StreamWindowBytes = 256 << 10;

    private readonly DaemonConfig config;
    private readonly AccessMetrics metrics;
    private readonly Callers callers;
    private readonly CertificateFiles? certificate;
    private readonly CertificateFiles? metricsCertificate;

    /// <exception cref="IOException">Certificates cannot be read.</exception>
    /// <exception cref="System.Security.Cryptography.CryptographicException">They make no sense.</exception>
    public Listeners(DaemonConfig config, CollectorRegistry registry, TimeProvider time, ILogger log)
    {
        this.config = config;
        metrics = new AccessMetrics(registry);
        Refusals = new Refusals(metrics, time, log);
        callers = new Callers(config.Grpc);
        if (config.Grpc is { Listen.Length: > 0, Tls: { } tls })
        {
            certificate = new CertificateFiles(Tcp, tls.Certificate, tls.Key, tls.ClientCa, metrics, log);
        }

        if (config.Metrics is { Listen.Length: > 0, Tls: { } forReaders })
        {
            metricsCertificate = new CertificateFiles(
                Metrics, forReaders.Certificate, forReaders.Key, forReaders.ClientCa, metrics, log);
        }

        Calls = new CallGate(
            config.Grpc, new CallRate(config.Grpc.CallsPerSecond, config.Grpc.CallsBurst, time), metrics, Refusals);
    }

    /// <summary>Before every call.</summary>
    public CallGate Calls { get; }

    public Refusals Refusals { get; }

    /// <summary>What an operator should know.</summary>
    public ImmutableArray<string> Alarms => config.Grpc is { Listen.Length: > 0, Tls: { } tls } && Callers.IsOpen(tls)
        ? ["over TCP, every client with a certificate of the authority may change the policy: name those who may in"
            + " grpc.tls.controllers"]
        : [];

    /// <summary>Reads certificates again and again.</summary>
    public Task RunAsync(CancellationToken cancel) => Task.WhenAll(
        certificate?.RunAsync(cancel) ?? Task.CompletedTask,
        metricsCertificate?.RunAsync(cancel) ?? Task.CompletedTask);

    public void Listen(KestrelServerOptions kestrel)
    {
        kestrel.Limits.RequestHeadersTimeout = config.Grpc.HandshakeTimeout;
        kestrel.Limits.Http2.MaxStreamsPerConnection = config.Grpc.MaxStreamsPerConnection;
        kestrel.Limits.Http2.InitialStreamWindowSize = StreamWindowBytes;
        kestrel.Limits.Http2.KeepAlivePingDelay = config.Grpc.KeepAlive;
        kestrel.Limits.Http2.KeepAlivePingTimeout = config.Grpc.KeepAlive;
        ListenGrpc(kestrel, config.Grpc);
        ListenMetrics(kestrel, config.Metrics);
    }

    /// <summary>Opens the socket files to their groups, when there are any.</summary>
    public void Open()
    {
        UnixSocket.Open(config.Grpc.Socket, config.Grpc.SocketGroup, config.Grpc.SocketMode);
        UnixSocket.Open(config.Metrics.Socket, config.Metrics.SocketGroup, config.Metrics.SocketMode);
    }

    private void ListenGrpc(KestrelServerOptions kestrel, GrpcConfig grpc)
    {
        if (grpc.Socket.Length > 0)
        {
            UnixSocket.Prepare(grpc.Socket);
            kestrel.ListenUnixSocket(grpc.Socket, options =>
            {
                options.Protocols = HttpProtocols.Http2;
                Bound(options, Socket, grpc.MaxConnections, grpc.MaxConnectionsPerClient);
                options.Use(next => connection => Know(connection, callers.Of(PeerOf(connection)), next));
            });
        }

        if (certificate is not null)
        {
            kestrel.Listen(IPEndPoint.Parse(grpc.Listen), options =>
            {
                options.Protocols = HttpProtocols.Http2;
                Bound(options, Tcp, grpc.MaxConnections, grpc.MaxConnectionsPerClient);
                Secure(options, certificate);
                options.Use(next => connection => Know(connection, callers.Of(
                    connection.Features.Get<ITlsConnectionFeature>()?.ClientCertificate), next));
            });
        }
    }

    private void ListenMetrics(KestrelServerOptions kestrel, MetricsConfig served)
    {
        if (served.Listen.Length > 0)
        {
            kestrel.Listen(IPEndPoint.Parse(served.Listen), options =>
            {
                options.Protocols = HttpProtocols.Http1;
                Bound(options, Metrics, MetricsConnections, MetricsConnections);
                if (metricsCertificate is not null)
                {
                    Secure(options, metricsCertificate);
                }
            });
        }

        if (served.Socket.Length > 0)
        {
            UnixSocket.Prepare(served.Socket);
            kestrel.ListenUnixSocket(served.Socket, options =>
            {
                options.Protocols = HttpProtocols.Http1;
                Bound(options, Metrics, MetricsConnections, MetricsConnections);
            });
        }
    }

    private void Bound(ListenOptions options, string listener, int most, int mostOfOne)
    {
        metrics.Begin(listener);
        var gate = new ConnectionGate(listener, most, mostOfOne, metrics, Refusals);
        options.Use(next => connection => gate.RunAsync(connection, next));
    }

    // What TLS refuses, it says to nobody but its client: who came to no session is counted here.
    private void Secure(ListenOptions options, CertificateFiles files)
    {
        options.Use(next => async connection =>
        {
            await next(connection).ConfigureAwait(false);
            if (connection.Features.Get<Guest>() is { IsSecure: false, IsTurnedAway: false } guest)
            {
                Refusals.Add(guest.Listener, Refusal.Handshake, $"no TLS session with {connection.RemoteEndPoint}");
            }
        });
        options.UseHttps(TlsSessions.Options(files, config.Grpc.HandshakeTimeout, (connection, why) =>
        {
            Guest guest = connection.Features.Get<Guest>()!;
            guest.IsTurnedAway = true;
            Refusals.Add(guest.Listener, Refusal.Certificate, $"{connection.RemoteEndPoint}: {why}");
        }));
        options.Use(next => connection =>
        {
            connection.Features.Get<Guest>()!.IsSecure = true;
            return next(connection);
        });
    }

    private static Task Know(ConnectionContext connection, Caller caller, ConnectionDelegate next)
    {
        connection.Features.Get<Guest>()!.Caller = caller;
        return next(connection);
    }

    private static PeerCredentials PeerOf(ConnectionContext connection) =>
        PeerCredentials.Of(connection.Features.GetRequiredFeature<IConnectionSocketFeature>().Socket);
}
