using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Agent.Daemon.Access;
using Microsoft.Extensions.Logging.Abstractions;
using Prometheus;

namespace Agent.Tests.Access;

/// <summary>What is in the files is used, as soon as it makes sense.</summary>
public sealed class CertificateFileTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("sg-tls").FullName;
    private readonly CollectorRegistry registry = Metrics.NewCustomRegistry();

    [Fact]
    public async Task Replaced_files_are_read_once_and_their_expiry_is_shown()
    {
        Write(folder, "one", years: 10);
        CertificateFiles files = Files();
        Assert.Equal("CN=one", Shown(files));
        files.Refresh();
        Assert.Equal((0, 0, 1980), await SeriesAsync());
        Write(folder, "two", years: 20);
        files.Refresh();
        files.Refresh();
        Assert.Equal("CN=two", Shown(files));
        Assert.Equal((1, 0, 1990), await SeriesAsync());
    }

    [Fact]
    public async Task What_makes_no_sense_leaves_what_there_was_and_counts_once()
    {
        Write(folder, "one");
        CertificateFiles files = Files();
        string key = File.ReadAllText(In("key"));
        Write(folder, "two");
        string newKey = File.ReadAllText(In("key"));
        File.WriteAllText(In("key"), key); // the certificate came first
        files.Refresh();
        files.Refresh();
        Assert.Equal("CN=one", Shown(files));
        Assert.Equal((0, 1), await CountsAsync());

        File.WriteAllText(In("key"), newKey[..40]); // half written
        files.Refresh();
        File.Delete(In("key"));
        files.Refresh();
        files.Refresh();
        Assert.Equal("CN=one", Shown(files));
        Assert.Equal((0, 3), await CountsAsync());

        File.WriteAllText(In("key"), newKey);
        files.Refresh();
        Assert.Equal("CN=two", Shown(files));
        File.WriteAllText(In("ca"), "");
        files.Refresh();
        Assert.Equal("CN=two", Assert.Single(files.Current.Authorities!).Subject);
        Assert.Equal((1, 4), await CountsAsync());
    }

    [Fact]
    public void A_swapped_link_is_a_replaced_file()
    {
        // As Kubernetes does: the files are links through a link to a folder, and that one is swapped.
        string[] versions = ["v1", "v2"];
        foreach (string version in versions)
        {
            Write(Directory.CreateDirectory(In(version)).FullName, version);
        }

        File.CreateSymbolicLink(In("data"), "v1");
        foreach (string name in (string[])["certificate", "key", "ca"])
        {
            File.CreateSymbolicLink(In(name), $"data/{name}");
        }

        CertificateFiles files = Files();
        Assert.Equal("CN=v1", Shown(files));
        Directory.Delete(In("data"));
        files.Refresh(); // between the two there is nothing
        File.CreateSymbolicLink(In("data"), "v2");
        files.Refresh();
        Assert.Equal("CN=v2", Shown(files));
        Assert.Equal("CN=v2", Assert.Single(files.Current.Authorities!).Subject);
    }

    [Fact]
    public void Files_that_make_no_sense_at_the_start_are_an_error()
    {
        Assert.Throws<FileNotFoundException>(Files);
        Write(folder, "one");
        File.WriteAllText(In("key"), "");
        Assert.ThrowsAny<Exception>(Files);
        Write(folder, "one");
        File.WriteAllText(In("ca"), "nothing");
        Assert.Throws<CryptographicException>(Files);
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private string In(string name) => Path.Combine(folder, name);

    private CertificateFiles Files() => new(
        "tcp", In("certificate"), In("key"), In("ca"), new AccessMetrics(registry), NullLogger.Instance);

    private static string Shown(CertificateFiles files) => files.Current.Shown.TargetCertificate.Subject;

    private async Task<(int Loaded, int Failed)> CountsAsync()
    {
        (int loaded, int failed, _) = await SeriesAsync();
        return (loaded, failed);
    }

    private async Task<(int Loaded, int Failed, int Year)> SeriesAsync()
    {
        using var page = new MemoryStream();
        await registry.CollectAndExportAsTextAsync(page, TestContext.Current.CancellationToken);
        string[] lines = Encoding.UTF8.GetString(page.ToArray()).Split('\n');
        return (
            (int)Value("sg_agent_tls_reloads_total{result=\"loaded\"}"),
            (int)Value("sg_agent_tls_reloads_total{result=\"failed\"}"),
            DateTimeOffset.FromUnixTimeSeconds(
                (long)Value("sg_agent_tls_certificate_expiry_timestamp_seconds{listener=\"tcp\"}")).Year);

        double Value(string series) => double.Parse(
            lines.Single(line => line.StartsWith(series, StringComparison.Ordinal)).Split(' ')[^1],
            System.Globalization.CultureInfo.InvariantCulture);
    }

    private static void Write(string folder, string name, int years = 10)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        using X509Certificate2 made = request.CreateSelfSigned(
            DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(years));
        File.WriteAllText(Path.Combine(folder, "certificate"), made.ExportCertificatePem());
        File.WriteAllText(Path.Combine(folder, "key"), key.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(Path.Combine(folder, "ca"), made.ExportCertificatePem());
    }
}
