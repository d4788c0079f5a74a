using System.Text.RegularExpressions;

namespace Agent.Cli.Support;

/// <summary>Takes out what nobody should send to others: keys, tokens, passwords. Counts what it takes out.</summary>
internal sealed partial class SecretFilter
{
    public const string Instead = "[removed]";

    public int Removed { get; private set; }

    /// <summary>Text of any kind; it keeps its lines.</summary>
    public string Text(string text)
    {
        text = PrivateKey().Replace(text, _ => Count("[private key removed]"));
        text = UserOfUrl().Replace(text, _ => Count(Instead));
        text = WebToken().Replace(text, _ => Count(Instead));
        text = CloudKey().Replace(text, _ => Count(Instead));
        text = Authorization().Replace(text, match => Count($"{match.Groups[1].Value} {Instead}"));
        return Assignment().Replace(text, match => Count(
            match.Groups[1].Value + (match.Groups[2].Value.StartsWith('"') ? $"\"{Instead}\"" : Instead)));
    }

    /// <summary>A text of a JSON document, and the name that it stands under.</summary>
    public string Value(string name, string value) =>
        value.Length > 0 && SecretName().IsMatch(name) ? Count(Instead) : Text(value);

    private string Count(string instead)
    {
        Removed++;
        return instead;
    }

    [GeneratedRegex(@"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)")]
    private static partial Regex PrivateKey();

    [GeneratedRegex(@"(?<=://)[^/\s@""']+(?=@)")]
    private static partial Regex UserOfUrl();

    [GeneratedRegex(@"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")]
    private static partial Regex WebToken();

    [GeneratedRegex(@"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|LTAI[0-9A-Za-z]{12,24})\b")]
    private static partial Regex CloudKey();

    [GeneratedRegex(@"\b([Bb]earer|[Bb]asic)\s+[A-Za-z0-9+/._~=-]{8,}")]
    private static partial Regex Authorization();

    [GeneratedRegex(
        """("?[\w.-]*(?:passw|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w.-]*"?"""
        + """\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;"'{}\[\]]+)""",
        RegexOptions.IgnoreCase)]
    private static partial Regex Assignment();

    [GeneratedRegex(
        "passw|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential", RegexOptions.IgnoreCase)]
    private static partial Regex SecretName();
}
