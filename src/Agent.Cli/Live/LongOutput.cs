using Spectre.Console;

namespace Agent.Cli.Live;

/// <summary>What a verb prints for a person, collected: a pager shows it if the terminal is too low for it.</summary>
/// <param name="around">Where it goes.</param>
internal sealed class LongOutput(Surroundings around)
{
    private StringWriter? collected;

    /// <summary>From now on nothing is shown until <see cref="Show"/>.</summary>
    /// <returns>Where to write; what is always shown at once where there is no terminal or no pager.</returns>
    public TextWriter Begin() =>
        around.OutHeight is null || !around.ObeysEscapes || Pager.CommandOf(around.Environment) is null ? around.Out
        : collected ??= new StringWriter { NewLine = "\n" };

    /// <summary>Shows what was collected, if anything was.</summary>
    public void Show()
    {
        if (collected is null)
        {
            return;
        }

        string text = collected.ToString();
        collected = null;
        if (Rows(text) < around.OutHeight || !around.Page(Pager.CommandOf(around.Environment)!, text))
        {
            around.Out.Write(text);
        }
    }

    /// <summary>Lines of the terminal that the text fills.</summary>
    private int Rows(string text)
    {
        int width = Math.Max(1, around.OutWidth ?? int.MaxValue);
        return text.TrimEnd('\n').Split('\n')
            .Sum(line => Math.Max(1, (Cells(line) + width - 1) / width));
    }

    private static int Cells(string line)
    {
        int escape = line.IndexOf('\e', StringComparison.Ordinal);
        return escape < 0 ? line.GetCellWidth() : line[..escape].GetCellWidth() + Cells(Behind(line[escape..]));
    }

    // The only sequences that are written are colours: ESC [ ... m.
    private static string Behind(string sequence) =>
        sequence.IndexOf('m', StringComparison.Ordinal) is var end && end < 0 ? "" : sequence[(end + 1)..];
}
