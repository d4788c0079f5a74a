using System.Collections.Immutable;
using System.Net;
using Agent.Daemon.Config;
using Agent.Daemon.Supervision;
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
    /// <summary>FileDescriptorName= of an inherited socket for gRPC; that of metrics is its listener's.</summary>
    private const string Grpc = "grpc";

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
    private readonly ImmutableArray<InheritedSocket> inherited;
    private readonly ILogger log;
    private readonly AccessMetrics metrics;
    private readonly Callers callers;
    private readonly CertificateFiles? certificate;
    private readonly CertificateFiles? metricsCertificate;

    /// <param name="config">Where, and for whom.</param>
    /// <param name="inherited">Sockets that are open already; one takes the place of a configured one.</param>
    /// <param name="registry">Where the series go.</param>
    /// <param name="time">Clock.</param>
    /// <param name="log">Log.</param>
    /// <exception cref="IOException">Certificates cannot be read.</exception>
    /// <exception cref="System.Security.Cryptography.CryptographicException">They make no sense.</exception>
    public Listeners(
        DaemonConfig config, ImmutableArray<InheritedSocket> inherited, CollectorRegistry registry, TimeProvider time,
        ILogger log)
    {
        (this.config, this.inherited, this.log) = (config, inherited, log);
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
    public ImmutableArray<string> Alarms =>
    [
        .. config.Grpc is { Listen.Length: > 0, Tls: { } tls } && Callers.IsOpen(tls)
            ? (string[])["over TCP, every client with a certificate of the authority may change the policy: name those"
                + " who may in grpc.tls.controllers"]
            : [],
        .. Elsewhere("grpc.socket", Inherited(Grpc, config.Grpc.Socket), config.Grpc.Socket),
        .. Elsewhere("metrics.socket", Inherited(Metrics, config.Metrics.Socket), config.Metrics.Socket),
    ];

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

    /// <summary>Takes other accounts and limits; open connections are judged by them, too.</summary>
    public void Set(GrpcConfig next)
    {
        callers.Set(next);
        int ended = Calls.Set(next);
        if (ended > 0)
        {
            log.CallsEnded(ended);
        }
    }

    /// <summary>Opens the socket files to their groups, when there are any.</summary>
    public void Open()
    {
        Open(Grpc, config.Grpc.Socket, config.Grpc.SocketGroup, config.Grpc.SocketMode);
        Open(Metrics, config.Metrics.Socket, config.Metrics.SocketGroup, config.Metrics.SocketMode);
        foreach (InheritedSocket unused in inherited)
        {
            if (unused != Inherited(Grpc, config.Grpc.Socket) && unused != Inherited(Metrics, config.Metrics.Socket))
            {
                log.SocketUnused($"{unused.Path} '{unused.Name}' is neither grpc.socket nor metrics.socket");
            }
        }
    }

    private void Open(string name, string path, string group, UnixFileMode mode)
    {
        InheritedSocket? given = Inherited(name, path);
        if (given is not null)
        {
            log.SocketTaken(name, given.Path);
        }

        if (UnixSocket.Open(given?.Path ?? path, group, mode) is string reason)
        {
            log.SocketClosed(given?.Path ?? path, reason);
        }
    }

    // By its name; one without a name that we know, by its path.
    private InheritedSocket? Inherited(string name, string path) => path.Length == 0 ? null
        : inherited.FirstOrDefault(one => one.Name == name) ?? inherited.FirstOrDefault(one => one.Path == path);

    private static string[] Elsewhere(string key, InheritedSocket? given, string path) =>
        given is null || given.Path == path ? []
            : [$"{key} is {path}, and the service manager listens on {given.Path} for it: change one of them"];

    private void ListenUnix(
        KestrelServerOptions kestrel, string name, string path, Action<ListenOptions> configure)
    {
        if (path.Length == 0)
        {
            return;
        }

        if (Inherited(name, path) is { } given)
        {
            kestrel.ListenHandle((ulong)given.Descriptor, configure);
            return;
        }

        UnixSocket.Prepare(path);
        kestrel.ListenUnixSocket(path, configure);
    }

    private void ListenGrpc(KestrelServerOptions kestrel, GrpcConfig grpc)
    {
        ListenUnix(kestrel, Grpc, grpc.Socket, options =>
        {
            options.Protocols = HttpProtocols.Http2;
            Bound(options, Socket, grpc.MaxConnections, grpc.MaxConnectionsPerClient);
            options.Use(next => connection =>
            {
                PeerCredentials peer = PeerOf(connection);
                return Know(connection, () => callers.Of(peer), next);
            });
        });

        if (certificate is not null)
        {
            kestrel.Listen(IPEndPoint.Parse(grpc.Listen), options =>
            {
                options.Protocols = HttpProtocols.Http2;
                Bound(options, Tcp, grpc.MaxConnections, grpc.MaxConnectionsPerClient);
                Secure(options, certificate);
                options.Use(next => connection => Know(connection, () => callers.Of(
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

        ListenUnix(kestrel, Metrics, served.Socket, options =>
        {
            options.Protocols = HttpProtocols.Http1;
            Bound(options, Metrics, MetricsConnections, MetricsConnections);
        });
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

    private Task Know(ConnectionContext connection, Func<Caller> ask, ConnectionDelegate next)
    {
        connection.Features.Get<Guest>()!.Identify = callers.Follow(ask);
        return next(connection);
    }

    private static PeerCredentials PeerOf(ConnectionContext connection) =>
        PeerCredentials.Of(connection.Features.GetRequiredFeature<IConnectionSocketFeature>().Socket);
}
