using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;
using Agent.Daemon.Config;
using Agent.Netlink;

namespace Agent.Daemon.Access;

/// <summary>Tells who a client is, and what he may do.</summary>
/// <param name="initial">Who may do what, until <see cref="Set"/> says otherwise.</param>
internal sealed class Callers(GrpcConfig initial)
{
    private volatile GrpcConfig config = initial;

    private const string ForUsers = "name the user, or @ one of its groups, in grpc.socket_controllers or"
        + " grpc.socket_observers";

    private const string ForCertificates = "name one of its alternative names in grpc.tls.controllers or"
        + " grpc.tls.observers";

    /// <summary>Nobody says which clients of the authority may change the policy.</summary>
    public static bool IsOpen(TlsConfig tls) => tls.Controllers.IsEmpty && tls.Observers.IsEmpty;

    /// <summary>Others may do other things from now on, also over connections that are open.</summary>
    public void Set(GrpcConfig next) => config = next;

    /// <summary>Who a connection is from; asked again when <see cref="Set"/> was called.</summary>
    public Func<Caller> Follow(Func<Caller> ask)
    {
        Known? known = null;
        return () =>
        {
            Known? last = known;
            GrpcConfig now = config;
            return last is not null && ReferenceEquals(last.By, now) ? last.Caller
                : (known = new Known(now, ask())).Caller;
        };
    }

    private sealed record Known(GrpcConfig By, Caller Caller);

    /// <summary>A process of this host. Root may do anything to the host anyway, and is never locked out.</summary>
    public Caller Of(PeerCredentials peer)
    {
        bool open = config.SocketControllers.IsEmpty && config.SocketObservers.IsEmpty;
        Role role = open || peer.UserId == 0 || config.SocketControllers.Any(one => one.Covers(peer)) ? Role.Controller
            : config.SocketObservers.Any(one => one.Covers(peer)) ? Role.Observer : Role.None;
        return new Caller($"uid {peer.UserId}", role, ForUsers);
    }

    /// <param name="certificate">One that our authority signed; null: there is none.</param>
    public Caller Of(X509Certificate2? certificate)
    {
        TlsConfig tls = config.Tls!;
        ImmutableArray<CertificateName> names = certificate is null ? [] : CertificateName.Of(certificate);
        if (certificate is not null && IsOpen(tls))
        {
            return new Caller(names.IsEmpty ? certificate.Subject : $"{names[0]}", Role.Controller, ForCertificates);
        }

        foreach ((Role role, ImmutableArray<CertificateName> allowed) in
            ((Role, ImmutableArray<CertificateName>)[])
            [(Role.Controller, tls.Controllers), (Role.Observer, tls.Observers)])
        {
            foreach (CertificateName name in names)
            {
                if (allowed.Any(one => one.Covers(name)))
                {
                    return new Caller($"{name}", role, ForCertificates);
                }
            }
        }

        return new Caller(string.Join(", ", names.Take(3)), Role.None, ForCertificates);
    }
}
