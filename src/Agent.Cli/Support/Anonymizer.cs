using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Agent.Cli.Support;

/// <summary>
/// Other names and addresses in place of those of a host, the same for the same everywhere in one dump. Names are those
/// that it was told of; addresses and MAC addresses it finds itself.
/// </summary>
internal sealed partial class Anonymizer
{
    private readonly AddressShuffle addresses = new();
    private readonly Dictionary<string, string> names = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> counts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> macs = new(StringComparer.OrdinalIgnoreCase);
    private readonly SortedSet<int> lengths = [];

    /// <param name="kind">"vnic", "group", "rule", ...: what it is called from now on, with a number.</param>
    /// <param name="name">As it stands in texts; empty is nothing.</param>
    public void Name(string kind, string name)
    {
        if (name.Length == 0 || names.ContainsKey(name))
        {
            return;
        }

        int number = counts.GetValueOrDefault(kind) + 1;
        counts[kind] = number;
        names.Add(name, string.Create(CultureInfo.InvariantCulture, $"{kind}-{number}"));
        lengths.Add(name.Length);
    }

    public string Text(string text)
    {
        text = Named(text);
        text = Mac().Replace(text, match => MacOf(match.Value));
        text = V6().Replace(text, match => Address(match.Value));
        return V4().Replace(text, match => Address(match.Value));
    }

    /// <summary>The longest name that begins here counts, and only where a word begins and ends.</summary>
    private string Named(string text)
    {
        Dictionary<string, string>.AlternateLookup<ReadOnlySpan<char>> known =
            names.GetAlternateLookup<ReadOnlySpan<char>>();
        int[] longestFirst = [.. lengths.Reverse()];
        var result = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length;)
        {
            bool begins = i == 0 || !char.IsAsciiLetterOrDigit(text[i - 1]) || !char.IsAsciiLetterOrDigit(text[i]);
            string? other = null;
            int taken = 0;
            for (int n = 0; begins && other is null && n < longestFirst.Length; n++)
            {
                taken = longestFirst[n];
                int end = i + taken;
                if (end <= text.Length && !IsInside(text, end)
                    && known.TryGetValue(text.AsSpan(i, taken), out string? found))
                {
                    other = found;
                }
            }

            result.Append(other ?? text[i].ToString());
            i += other is null ? 1 : taken;
        }

        return result.ToString();
    }

    private static bool IsInside(string text, int end) => end < text.Length
        && char.IsAsciiLetterOrDigit(text[end - 1]) && char.IsAsciiLetterOrDigit(text[end]);

    private string MacOf(string mac)
    {
        if (mac.Equals("ff:ff:ff:ff:ff:ff", StringComparison.OrdinalIgnoreCase) || mac.All(c => c is '0' or ':'))
        {
            return mac;
        }

        if (!macs.TryGetValue(mac, out string? other))
        {
            int number = macs.Count + 1;
            other = string.Create(CultureInfo.InvariantCulture,
                $"06:00:00:{number >> 16 & 0xff:x2}:{number >> 8 & 0xff:x2}:{number & 0xff:x2}");
            macs.Add(mac, other);
        }

        return other;
    }

    private string Address(string found)
    {
        string address = found.TrimEnd('.', ':');
        if (address.Length > 0 && found.EndsWith("::", StringComparison.Ordinal))
        {
            address += "::";
        }

        return addresses.Other(address) is string other ? other + found[address.Length..] : found;
    }

    [GeneratedRegex(@"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])")]
    private static partial Regex Mac();

    [GeneratedRegex(
        @"(?<![\w:.])(?=[0-9A-Fa-f]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:]+(?:\d+\.\d+\.\d+\.\d+)?(?:/\d{1,3})?(?!\w)")]
    private static partial Regex V6();

    [GeneratedRegex(@"(?<![\w.:])\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?!\d|\.\d|\w)")]
    private static partial Regex V4();
}
