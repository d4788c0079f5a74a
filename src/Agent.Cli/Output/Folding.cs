using Spectre.Console;

namespace Agent.Cli.Output;

/// <summary>Breaks text at its spaces, so that no terminal breaks it in the middle of a word.</summary>
internal static class Folding
{
    /// <summary>Columns beside an indent that are too few for text: then it is indented by less.</summary>
    private const int Least = 16;
    private const int LessIndent = 4;

    /// <param name="parts">One line, in the styles that it is made of.</param>
    /// <param name="width">Columns; a word that is longer stays whole.</param>
    /// <param name="indent">Of all lines but the first.</param>
    /// <returns>At least one line; the parts of each in their styles.</returns>
    public static IReadOnlyList<IReadOnlyList<(string Text, Style Style)>> Lines(
        IEnumerable<(string Text, Style Style)> parts, int width, int indent)
    {
        var lines = new List<IReadOnlyList<(string, Style)>>();
        var line = new List<(string, Style)>();
        string hang = new(' ', width - indent < Least ? LessIndent : indent);
        int column = 0;
        foreach ((string text, Style style, int cells) in Words(parts))
        {
            bool blank = string.IsNullOrWhiteSpace(text);
            if (!blank && column > 0 && column + cells > width && line.Exists(part => part.Item1.Trim().Length > 0))
            {
                lines.Add(WithoutEnd(line));
                line = hang.Length > 0 ? [(hang, Style.Plain)] : [];
                column = hang.Length;
            }

            line.Add((text, style));
            column += cells;
        }

        lines.Add(lines.Count > 0 ? WithoutEnd(line) : line);
        return lines;
    }

    // A word reaches over the border of two styles; what is glued together stays together.
    private static IEnumerable<(string Text, Style Style, int Cells)> Words(
        IEnumerable<(string Text, Style Style)> parts)
    {
        List<(string Text, Style Style)> pieces = [.. parts.SelectMany(part =>
            Pieces(part.Text).Select(text => (text, part.Style)))];
        for (int i = 0; i < pieces.Count; i++)
        {
            int cells = pieces[i].Text.GetCellWidth();
            for (int j = i + 1; pieces[i].Text[0] != ' ' && j < pieces.Count && pieces[j].Text[0] != ' '
                && (i == 0 || pieces[i - 1].Text[0] == ' '); j++)
            {
                cells += pieces[j].Text.GetCellWidth(); // of the whole word, where it begins
            }

            bool inside = i > 0 && pieces[i].Text[0] != ' ' && pieces[i - 1].Text[0] != ' ';
            yield return (pieces[i].Text, pieces[i].Style, inside ? 0 : cells);
        }
    }

    private static IEnumerable<string> Pieces(string text)
    {
        for (int from = 0, to; from < text.Length; from = to)
        {
            bool blank = text[from] == ' ';
            to = from + 1;
            while (to < text.Length && text[to] == ' ' == blank)
            {
                to++;
            }

            yield return text[from..to];
        }
    }

    private static List<(string, Style)> WithoutEnd(List<(string Text, Style)> line)
    {
        int kept = line.FindLastIndex(part => part.Text.Trim().Length > 0) + 1;
        return line[..kept];
    }
}
