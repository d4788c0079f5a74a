using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Agent.Daemon.Access;

/// <summary>What a listener shows and whom it trusts, as its files were when they last made sense.</summary>
/// <param name="Shown">Certificate, key and intermediates.</param>
/// <param name="Authorities">Whose clients are heard; null: anybody.</param>
internal sealed record ServerCertificate(SslStreamCertificateContext Shown, X509Certificate2Collection? Authorities);

/// <summary>
/// Certificate, key and authority of a listener, read again and again: what is in the files is used for the next
/// connection. What makes no sense (half written, a key of another certificate) leaves what there was.
/// </summary>
/// <remarks>
/// The contents are compared, not the times: replaced files, swapped links and restored backups are all the same.
/// </remarks>
internal sealed class CertificateFiles
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    /// <summary>In place of a fingerprint.</summary>
    private const string Unreadable = "";

    private readonly string listener;
    private readonly string[] paths;
    private readonly AccessMetrics metrics;
    private readonly ILogger log;
    private string seen;

    /// <param name="listener">Whose they are.</param>
    /// <param name="certificate">PEM file; intermediates behind the certificate.</param>
    /// <param name="key">PEM file.</param>
    /// <param name="clientCa">PEM file of one or more; null: none.</param>
    /// <param name="metrics">Shows when the certificate expires.</param>
    /// <param name="log">Told of each change.</param>
    /// <exception cref="CryptographicException">The files make no sense.</exception>
    /// <exception cref="IOException">They cannot be read.</exception>
    public CertificateFiles(
        string listener, string certificate, string key, string? clientCa, AccessMetrics metrics, ILogger log)
    {
        (this.listener, this.metrics, this.log) = (listener, metrics, log);
        paths = clientCa is null ? [certificate, key] : [certificate, key, clientCa];
        byte[][] contents = Read();
        seen = Fingerprint(contents);
        Current = Parse(contents);
        Show();
    }

    /// <summary>Any thread may look.</summary>
    public ServerCertificate Current { get; private set; }

    public async Task RunAsync(CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(Interval);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false))
            {
                Refresh();
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>Looks at the files; says each content that it cannot use once.</summary>
    public void Refresh()
    {
        try
        {
            byte[][] contents = Read();
            string found = Fingerprint(contents);
            if (found == seen)
            {
                return;
            }

            seen = found;
            Current = Parse(contents);
            metrics.Reloaded(loaded: true);
            Show();
            log.CertificateLoaded(listener, Current.Shown.TargetCertificate.Subject, Expiry);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (seen != Unreadable)
            {
                Fail(e);
            }

            seen = Unreadable;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            Fail(e);
        }
    }

    private DateTimeOffset Expiry => new(Current.Shown.TargetCertificate.NotAfter);

    private void Fail(Exception e)
    {
        metrics.Reloaded(loaded: false);
        log.CertificateUnusable(listener, e.Message);
    }

    private void Show() => metrics.Expires(listener, Expiry);

    private byte[][] Read() => [.. paths.Select(File.ReadAllBytes)];

    private static string Fingerprint(byte[][] contents) =>
        string.Join(' ', contents.Select(content => Convert.ToHexString(SHA256.HashData(content))));

    private static ServerCertificate Parse(byte[][] contents)
    {
        string[] texts = [.. contents.Select(Encoding.UTF8.GetString)];
        X509Certificate2Collection shown = [];
        shown.ImportFromPem(texts[0]);
        X509Certificate2Collection? authorities = null;
        if (texts.Length > 2)
        {
            authorities = [];
            authorities.ImportFromPem(texts[2]);
            if (authorities.Count == 0)
            {
                throw new CryptographicException("no certificate in the file of the authority");
            }
        }

        // Offline: what is not in the file is not looked for elsewhere.
        return new ServerCertificate(
            SslStreamCertificateContext.Create(
                X509Certificate2.CreateFromPem(texts[0], texts[1]), [.. shown.Skip(1)], offline: true),
            authorities);
    }
}
