using System.Globalization;
using Spectre.Console;

namespace Agent.Cli.Output;

/// <summary>
/// Text for people: colours only where they are wanted, lines that break at words, tables that never break a row.
/// </summary>
/// <param name="writer">Where it goes.</param>
/// <param name="width">Columns of the terminal; null: as wide as need be.</param>
/// <param name="color">Escape sequences may be written.</param>
internal sealed class Screen(TextWriter writer, int? width, bool color)
{
    public static readonly Style Plain = Style.Plain;
    public static readonly Style Good = new(Color.Green);
    public static readonly Style Bad = new(Color.Red);
    public static readonly Style Warning = new(Color.Yellow);
    public static readonly Style Strong = new(decoration: Decoration.Bold);
    public static readonly Style Dim = new(decoration: Decoration.Dim);

    /// <summary>Wider than anything: we fold ourselves, or not at all.</summary>
    private const int Unbounded = 1 << 20;
    private const string Gap = "  ";

    /// <summary>Escape sequences may be written.</summary>
    public bool IsColored => color;

    /// <summary>As it is, without a look at it: JSON, rulesets.</summary>
    public void Raw(string text) => writer.Write(text);

    /// <summary>What does not fit is continued below, a little further in.</summary>
    public void Line(string text = "") => Line((text, Plain));

    public void Line(params (string Text, Style Style)[] parts)
    {
        (string Text, Style Style)[] visible = [.. parts.Select(part => (Visible(part.Text), part.Style))];
        int lead = string.Concat(visible.Select(part => part.Text)).TakeWhile(c => c == ' ').Count();
        Write(visible, lead + Gap.Length);
    }

    /// <summary>Text of several lines, each as <see cref="Line(string)"/> prints it.</summary>
    public void Lines(string text)
    {
        foreach (string line in text.Split('\n'))
        {
            Line(line);
        }
    }

    /// <summary>Columns if they fit, otherwise one block a row.</summary>
    public void Table(string[] head, IReadOnlyList<Cell[]> cells)
    {
        Cell[][] rows = [.. cells.Select(row => row.Select(cell => cell with { Text = Visible(cell.Text) }).ToArray())];
        int[] widths = [.. head.Select((title, column) =>
            rows.Select(row => row[column].Text.GetCellWidth()).Append(title.GetCellWidth()).Max())];
        if (width is int limit && widths.Sum() + (Gap.Length * (widths.Length - 1)) > limit)
        {
            Blocks(head, rows);
            return;
        }

        writer.WriteLine(Row([.. head.Select(title => new Cell(title, Strong))], widths));
        foreach (Cell[] row in rows)
        {
            writer.WriteLine(Row(row, widths));
        }
    }

    /// <summary>Names and values below each other; empty values are left out.</summary>
    public void Fields(params (string Name, string Value)[] fields)
    {
        int column = fields.Max(field => field.Name.Length);
        foreach ((string name, string value) in fields.Where(field => field.Value.Length > 0))
        {
            Field(name, new Cell(Visible(value), Plain), column);
        }
    }

    /// <summary>What came from elsewhere must not steer a terminal.</summary>
    public static string Visible(string text)
    {
        if (!text.Any(c => char.IsControl(c) || char.GetUnicodeCategory(c) == UnicodeCategory.Format))
        {
            return text;
        }

        return string.Concat(text.Select(c => char.IsControl(c) || char.GetUnicodeCategory(c) == UnicodeCategory.Format
            ? string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}") : c.ToString()));
    }

    private void Blocks(string[] head, Cell[][] rows)
    {
        int column = head.Skip(1).Max(title => title.Length);
        foreach (Cell[] row in rows)
        {
            writer.WriteLine(Paint(row[0].Text, Strong));
            for (int i = 1; i < row.Length; i++)
            {
                if (row[i].Text.Length > 0)
                {
                    Field(head[i], row[i], column);
                }
            }
        }
    }

    private void Field(string name, Cell value, int column) => Write(
        [(Gap, Plain), (name.PadRight(column), Dim), (Gap, Plain), (value.Text, value.Style)],
        column + (2 * Gap.Length));

    private void Write(IReadOnlyList<(string Text, Style Style)> parts, int indent)
    {
        IReadOnlyList<IReadOnlyList<(string Text, Style Style)>> lines =
            width is int limit ? Folding.Lines(parts, limit, indent) : [parts];
        foreach (IReadOnlyList<(string Text, Style Style)> line in lines)
        {
            writer.WriteLine(string.Concat(line.Select(part => Paint(part.Text, part.Style))));
        }
    }

    private string Row(Cell[] cells, int[] widths)
    {
        int last = Array.FindLastIndex(cells, cell => cell.Text.Length > 0);
        return string.Join(Gap, cells.Take(last + 1).Select((cell, column) =>
            Paint(cell.Text, cell.Style)
            + (column == last ? "" : new string(' ', widths[column] - cell.Text.GetCellWidth()))));
    }

    private string Paint(string text, Style style)
    {
        if (!color || text.Length == 0 || style.Equals(Style.Plain))
        {
            return text;
        }

        var painted = new StringWriter();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.Yes,
            ColorSystem = ColorSystemSupport.Standard,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(painted),
        });
        console.Profile.Width = Unbounded;
        console.Write(new Text(text, style));
        return painted.ToString();
    }
}

/// <summary>One cell of a table.</summary>
internal readonly record struct Cell(string Text, Style Style)
{
    public static implicit operator Cell(string text) => new(text, Screen.Plain);
}
