namespace Agent.Lab;

/// <summary>Aligned text; colour only where a person looks.</summary>
internal static class LabTable
{
    private static readonly bool Coloured =
        !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";

    /// <summary>Prints rows under a head. A row that is marked bad is red, the others are as they are.</summary>
    internal static void Print(string[] head, IReadOnlyList<(string[] Cells, bool Good)> rows)
    {
        int[] widths = [.. head.Select((h, column) => rows.Select(r => r.Cells[column].Length).Append(h.Length).Max())];
        Console.WriteLine(Line(head, widths));
        Console.WriteLine(Line([.. widths.Select(w => new string('-', w))], widths));
        foreach ((string[] cells, bool good) in rows)
        {
            string line = Line(cells, widths);
            Console.WriteLine(good ? line : Red(line));
        }
    }

    internal static string Red(string text) => Paint(text, 31);

    internal static string Green(string text) => Paint(text, 32);

    internal static string Bold(string text) => Paint(text, 1);

    private static string Line(string[] cells, int[] widths) =>
        string.Join("  ", cells.Select((c, column) => c.PadRight(widths[column]))).TrimEnd();

    private static string Paint(string text, int code) => Coloured ? $"\e[{code}m{text}\e[0m" : text;
}
