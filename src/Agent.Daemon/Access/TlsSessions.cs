using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Agent.Daemon.Access;

/// <summary>How a listener speaks TLS: by the certificate that is in its files now.</summary>
internal static class TlsSessions
{
    /// <summary>Extended key usage of clients (RFC 5280, 4.2.1.12); one without any is for all uses.</summary>
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    /// <param name="files">Certificate, and whose clients are heard.</param>
    /// <param name="patience">How long a handshake may take.</param>
    /// <param name="refused">Told of a client whose certificate is not good enough, and why.</param>
    public static TlsHandshakeCallbackOptions Options(
        CertificateFiles files, TimeSpan patience, Action<ConnectionContext, string> refused)
    {
        return new TlsHandshakeCallbackOptions
        {
            HandshakeTimeout = patience,
            OnConnection = context => ValueTask.FromResult(
                Options(files.Current, why => refused(context.Connection, why))),
        };
    }

    private static SslServerAuthenticationOptions Options(ServerCertificate ours, Action<string> refused) => new()
    {
        ServerCertificateContext = ours.Shown,
        EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        AllowRenegotiation = false,
        AllowTlsResume = ours.Authorities is null, // each connection shows its certificate to the authorities of today
        ClientCertificateRequired = ours.Authorities is not null,
        CertificateChainPolicy = ours.Authorities is null ? null : Trust(ours.Authorities),
        RemoteCertificateValidationCallback = ours.Authorities is null ? null
            : (_, certificate, chain, errors) => Judge(certificate, chain, errors, refused),
    };

    // Nothing is fetched from an address that a stranger wrote into a certificate.
    private static X509ChainPolicy Trust(X509Certificate2Collection authorities)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(authorities);
        policy.ApplicationPolicy.Add(new Oid(ClientAuthentication));
        return policy;
    }

    private static bool Judge(
        X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors, Action<string> refused)
    {
        if (errors == SslPolicyErrors.None)
        {
            return true;
        }

        refused(certificate is null ? "no certificate"
            : $"certificate of {Shown(certificate.Subject)}: "
                + string.Join(", ", (chain?.ChainStatus ?? []).Select(status => status.Status).Distinct()));
        return false;
    }

    private static string Shown(string name) => string.Concat(name.Take(200).Select(c => c < ' ' ? '?' : c));
}
