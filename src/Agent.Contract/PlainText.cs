using System.Buffers;
using System.Globalization;
using System.Text;

namespace Agent.Contract;

/// <summary>Text that shows what it says: no controls, line ends, overridden text direction, broken pairs.</summary>
internal static class PlainText
{
    public static bool Is(ReadOnlySpan<char> text)
    {
        while (!text.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(text, out Rune rune, out int length) != OperationStatus.Done || Hides(rune))
            {
                return false;
            }

            text = text[length..];
        }

        return true;
    }

    /// <summary>The same with a question mark for what is not plain.</summary>
    public static string Of(ReadOnlySpan<char> text)
    {
        var plain = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            plain.Append(Hides(rune) ? "?" : rune.ToString());
        }

        return plain.ToString();
    }

    private static bool Hides(Rune rune) =>
        Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.LineSeparator
            or UnicodeCategory.ParagraphSeparator
        || rune.Value is (>= 0x202a and <= 0x202e) or (>= 0x2066 and <= 0x2069);
}
