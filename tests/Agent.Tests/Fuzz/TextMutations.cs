using System.Buffers;
using System.Text;
using Agent.Tests.Contract;

namespace Agent.Tests.Fuzz;

/// <summary>JSON and YAML with values exchanged, lines elsewhere, nests without end, and what no editor writes.
/// </summary>
internal static class TextMutations
{
    private static readonly string[] Pieces =
    [
        "null", "~", "[]", "{}", "7", "-1", "\"\"", "true", "[{}]", "1e99", "1e-999", "-0", "0x10", "0660", "NaN",
        "99999999999999999999", "18446744073709551615", "4294967296", "2147483648", "65536", "-2147483648", "0.5",
        "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\\u0000\"", "\"\\u001b[31m\"", "\"\\u202e\"",
        "\"\\xd8\"", "\"\\U00110000\"",
        "\"::/0\"", "\"0.0.0.0/0\"", "\"10.0.0.0/33\"", "\"::ffff:1.2.3.4\"", "\"fe80::1%lo\"", "\"01:02\"", "\"1/2\"",
        "\"2026-01-31T12:00:00Z\"", "\"9999-12-31T23:59:59.999999999Z\"", "\"315576000001s\"", "\"-1s\"", "\"1.5s\"",
        "&a [*a]", "*a", "!!binary aGk=", "!<tag:x>", "? x", "|\n  x", ">-\n y", "'", "\"", "# x", "// x", "/* x */",
        "%YAML 1.2", "---", "...", "- - - -", "{a: {a: {a: {", "\t", "\r", "\u0085", "\u2028", "\ufeff", "\0", "\u0007",
        ",", ":", ": ", "- ", "\n", "\\", "\"a\":", "<<: ", "\ud83d\ude00", "=", "\"=\"", "{\"id\": \"a\"}",
    ];

    public static byte[] Of(byte[] text, byte[] other, Random random)
    {
        if (random.Next(12) == 0)
        {
            return WireMutations.Of(text, random);
        }

        string mutated = Encoding.UTF8.GetString(text);
        string donor = Encoding.UTF8.GetString(other);
        for (int i = random.Next(3) > 0 ? 1 : random.Next(2, 5); i > 0; i--)
        {
            mutated = Once(mutated, donor, random);
        }

        return Encoding.UTF8.GetBytes(mutated);
    }

    private static string Once(string text, string donor, Random random)
    {
        (int from, int to) = Stretch(text, random);
        string piece = Pieces[random.Next(Pieces.Length)];
        switch (random.Next(12))
        {
            case 0: return text[..from] + text[to..];
            case 1: return text[..to] + text[from..]; // said twice
            case 2 or 3: return text[..from] + piece + text[to..];
            case 4: return text[..from] + piece + text[from..];
            case 5:
                (int first, int last) = Stretch(donor, random);
                return text[..from] + donor[first..last] + text[(random.Next(2) == 0 ? from : to)..];
            case 6: return Moved(text, from, to, random);
            case 7: return text[..from] + Deep(random) + text[to..];
            case 8: return text[..from] + new string((char)random.Next(1, 0x250), random.Next(1, 3000)) + text[to..];
            case 9: return text[..from] + (char)random.Next(0x20, 0x7f) + text[from..];
            case 10: return from == to ? text : text[..from] + (char)random.Next(0x20, 0x7f) + text[(from + 1)..];
            default: return text[..from];
        }
    }

    // From one mark of the grammar to a later one: a key, a value, a line, an object.
    private static (int From, int To) Stretch(string text, Random random)
    {
        int from = Mark(text, random.Next(text.Length + 1));
        int to = from;
        for (int marks = random.Next(1, 6); marks > 0 && to < text.Length; marks--)
        {
            to = Mark(text, to + 1);
        }

        return (from, to);
    }

    private static readonly SearchValues<char> Marks = SearchValues.Create("{}[],:\n\"- ");

    private static int Mark(string text, int from)
    {
        int at = from >= text.Length ? -1 : text.AsSpan(from).IndexOfAny(Marks);
        return at < 0 ? text.Length : from + at;
    }

    private static string Moved(string text, int from, int to, Random random)
    {
        string stretch = text[from..to];
        string rest = text[..from] + text[to..];
        int at = Mark(rest, random.Next(rest.Length + 1));
        return rest[..at] + stretch + rest[at..];
    }

    private static string Deep(Random random)
    {
        string[] opens = ["[", "{\"a\":", "{a: ", "- ", "[{", "? "];
        string open = opens[random.Next(opens.Length)];
        return string.Concat(Enumerable.Repeat(open, random.Next(2, random.Next(6) == 0 ? 20_000 : 100)));
    }
}
