using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;

namespace Agent.KernelTests.Access;

/// <summary>What a certificate is to be like.</summary>
internal sealed record Wish
{
    public string? Dns { get; init; }

    public string? Uri { get; init; }

    public string? Email { get; init; }

    /// <summary>From now; it began five days ago.</summary>
    public int Days { get; init; } = 1;

    /// <summary>Null: for all uses.</summary>
    public string? Usage { get; init; } = ForClients;

    public const string ForServers = "1.3.6.1.5.5.7.3.1";

    public const string ForClients = "1.3.6.1.5.5.7.3.2";
}

/// <summary>A certificate authority of a test.</summary>
internal sealed class Authority : IDisposable
{
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 root;

    public Authority(string name)
    {
        CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        root = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-10), DateTimeOffset.UtcNow.AddDays(10));
    }

    public string Pem => root.ExportCertificatePem();

    /// <summary>A client of this host name.</summary>
    public X509Certificate2 Issue(string dns) => Issue(new Wish { Dns = dns });

    public X509Certificate2 Issue(Wish wish)
    {
        using ECDsa own = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 signed = RequestFor(wish, own).Create(
            root, DateTimeOffset.UtcNow.AddDays(-5), DateTimeOffset.UtcNow.AddDays(wish.Days),
            RandomNumberGenerator.GetBytes(8));
        using X509Certificate2 whole = signed.CopyWithPrivateKey(own);
        return X509CertificateLoader.LoadPkcs12(
            whole.Export(X509ContentType.Pfx), null, X509KeyStorageFlags.Exportable);
    }

    public static X509Certificate2 SelfSigned(string dns)
    {
        using ECDsa own = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 made = RequestFor(new Wish { Dns = dns }, own).CreateSelfSigned(
            DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
    }

    public X509ChainPolicy Trust() => new()
    {
        TrustMode = X509ChainTrustMode.CustomRootTrust,
        CustomTrustStore = { root },
        RevocationMode = X509RevocationMode.NoCheck,
    };

    /// <summary>Files of a server "localhost" that trusts this authority's clients.</summary>
    /// <returns>The section "tls" of a configuration.</returns>
    public JsonObject WriteServerFiles(string directory, int days = 1)
    {
        using X509Certificate2 server = Issue(new Wish { Dns = "localhost", Usage = Wish.ForServers, Days = days });
        return new JsonObject
        {
            ["certificate"] = Write("server.pem", server.ExportCertificatePem()),
            ["key"] = Write("server.key", KeyPem(server)),
            ["client_ca"] = Write("ca.pem", Pem),
        };

        string Write(string name, string text)
        {
            string path = Path.Combine(directory, name);
            File.WriteAllText(path, text);
            return path;
        }
    }

    public static string KeyPem(X509Certificate2 certificate)
    {
        using ECDsa own = certificate.GetECDsaPrivateKey()!;
        return own.ExportPkcs8PrivateKeyPem();
    }

    public void Dispose()
    {
        root.Dispose();
        key.Dispose();
    }

    private static CertificateRequest RequestFor(Wish wish, ECDsa key)
    {
        CertificateRequest request = new($"CN={wish.Dns ?? "somebody"}", key, HashAlgorithmName.SHA256);
        if (wish.Usage is { } usage)
        {
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(usage)], critical: false));
        }

        SubjectAlternativeNameBuilder names = new();
        if (wish.Dns is not null)
        {
            names.AddDnsName(wish.Dns);
        }

        if (wish.Uri is not null)
        {
            names.AddUri(new Uri(wish.Uri));
        }

        if (wish.Email is not null)
        {
            names.AddEmailAddress(wish.Email);
        }

        if ((wish.Dns ?? wish.Uri ?? wish.Email) is not null)
        {
            request.CertificateExtensions.Add(names.Build());
        }

        return request;
    }
}
