using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Agent.Daemon.Config;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Agent.Daemon;

/// <summary>TCP is for clients that our own authority signed, and for nobody else; metrics may be for others.
/// </summary>
internal static class MutualTls
{
    /// <summary>For those who only read: without an authority, whoever connects.</summary>
    public static HttpsConnectionAdapterOptions Options(MetricsTlsConfig tls) => tls.ClientCa is string authority
        ? Options(new TlsConfig(tls.Certificate, tls.Key, authority))
        : new HttpsConnectionAdapterOptions
        {
            ServerCertificate = X509Certificate2.CreateFromPemFile(tls.Certificate, tls.Key),
            SslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        };

    public static HttpsConnectionAdapterOptions Options(TlsConfig tls)
    {
        X509Certificate2Collection authorities = [];
        authorities.ImportFromPemFile(tls.ClientCa);
        return new HttpsConnectionAdapterOptions
        {
            ServerCertificate = X509Certificate2.CreateFromPemFile(tls.Certificate, tls.Key),
            ClientCertificateMode = ClientCertificateMode.RequireCertificate,
            SslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            ClientCertificateValidation = (certificate, _, _) => IsSignedBy(authorities, certificate),
        };
    }

    private static bool IsSignedBy(X509Certificate2Collection authorities, X509Certificate2 certificate)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(authorities);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        return chain.Build(certificate);
    }
}
