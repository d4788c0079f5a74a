using System.Collections.Immutable;
using System.Formats.Asn1;
using System.Net;
using System.Security.Cryptography.X509Certificates;

namespace Agent.Daemon.Access;

/// <summary>Kinds of names that a certificate gives its holder: the tags of GeneralName (RFC 5280, 4.2.1.6).</summary>
internal enum NameKind
{
    Email = 1,
    Dns = 2,
    Uri = 6,
    Ip = 7,
}

/// <summary>A name of a client: what an operator allows, or what a certificate says.</summary>
/// <remarks>The kinds never mix: an authority that hands out e-mail names freely does not hand out hosts.
/// </remarks>
internal readonly record struct CertificateName(NameKind Kind, string Text)
{
    /// <summary>One of the configuration: its form shows its kind. "*.SUFFIX" is any one label before it.</summary>
    public static CertificateName? Parse(string text) => text switch
    {
        _ when text.Length == 0 || text.Any(c => c is <= ' ' or > '~') => null,
        _ when text.Contains("://", StringComparison.Ordinal) => new CertificateName(NameKind.Uri, text),
        _ when text.Contains('@', StringComparison.Ordinal) => new CertificateName(NameKind.Email, text),
        _ when IPAddress.TryParse(text, out IPAddress? address) => new CertificateName(NameKind.Ip, $"{address}"),
        _ when text.TrimStart('*').Contains('*', StringComparison.Ordinal)
            || (text[0] == '*' && !(text.StartsWith("*.", StringComparison.Ordinal) && text.Length > 2)) => null,
        _ => new CertificateName(NameKind.Dns, text),
    };

    /// <summary>The alternative names of a certificate (SAN); its common name is none.</summary>
    /// <returns>Empty also if the extension cannot be read.</returns>
    public static ImmutableArray<CertificateName> Of(X509Certificate2 certificate)
    {
        X509Extension? extension = certificate.Extensions["2.5.29.17"];
        if (extension is null)
        {
            return [];
        }

        var names = ImmutableArray.CreateBuilder<CertificateName>();
        try
        {
            AsnReader reader = new AsnReader(extension.RawData, AsnEncodingRules.DER).ReadSequence();
            while (reader.HasData)
            {
                if (Next(reader) is CertificateName name)
                {
                    names.Add(name);
                }
            }
        }
        catch (AsnContentException)
        {
            return [];
        }

        return names.ToImmutable();
    }

    /// <summary>Whether this, of the configuration, names that, of a certificate.</summary>
    public bool Covers(CertificateName other)
    {
        if (Kind != other.Kind)
        {
            return false;
        }

        if (Kind != NameKind.Dns)
        {
            return Text == other.Text;
        }

        int label = other.Text.IndexOf('.', StringComparison.Ordinal);
        string compared = Text[0] == '*' && label > 0 ? "*" + other.Text[label..] : other.Text;
        return string.Equals(Text, compared, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Fit to be shown, whatever an authority signed.</summary>
    public override string ToString() =>
        string.Concat(Text.Take(200).Select(c => c is < ' ' or > '~' ? '?' : c));

    private static CertificateName? Next(AsnReader reader)
    {
        Asn1Tag tag = reader.PeekTag();
        switch ((NameKind)tag.TagValue)
        {
            case NameKind.Email or NameKind.Dns or NameKind.Uri:
                return new CertificateName(
                    (NameKind)tag.TagValue, reader.ReadCharacterString(UniversalTagNumber.IA5String, tag));
            case NameKind.Ip when reader.ReadOctetString(tag) is { Length: 4 or 16 } bytes:
                return new CertificateName(NameKind.Ip, $"{new IPAddress(bytes)}");
            case NameKind.Ip:
                return null;
            default:
                reader.ReadEncodedValue();
                return null;
        }
    }
}
