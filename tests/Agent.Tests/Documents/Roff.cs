using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Agent.Tests.Documents;

/// <summary>A manual page, written in the man macros (groff_man(7)).</summary>
/// <remarks>Text is Markdown as far as README.md uses it: `code` is bold, a link is its text.</remarks>
internal sealed partial class Roff
{
    /// <summary>Lines of the source; how they are filled is the reader's affair.</summary>
    private const int LineMax = 78;

    private readonly StringBuilder text = new();

    /// <param name="name">Of the page.</param>
    /// <param name="section">Of the manual.</param>
    /// <param name="about">One line, for whatis(1).</param>
    public Roff(string name, int section, string about)
    {
        text.Append(".\\\" Written by make man; what is changed here is lost.\n");
        text.Append(CultureInfo.InvariantCulture, $".TH {Literal(name.ToUpperInvariant())} {section} \"\" ")
            .Append($"\"sg-agent {Agent.Cli.Sgctl.Version}\" \"sg-agent\"\n");
        Section("NAME");
        text.Append($"{Literal(name)} \\- {Inline(about)}\n");
    }

    public override string ToString() => text.ToString();

    public void Section(string title) => text.Append($".SH {Heading(title)}\n");

    public void Subsection(string title) => text.Append($".SS {Heading(title)}\n");

    public void Paragraph(string markdown)
    {
        text.Append(".PP\n");
        Fill(Inline(markdown));
    }

    /// <summary>A term, and what it is.</summary>
    public void Term(string markdown, string meaning)
    {
        text.Append(".TP\n").Append(Inline(markdown)).Append('\n');
        Fill(Inline(meaning.Length > 0 ? meaning : "No more is said of it."));
    }

    public void Bullet(string markdown)
    {
        text.Append(".IP \\(bu 2\n");
        Fill(Inline(markdown));
    }

    /// <summary>As it stands.</summary>
    public void Code(IEnumerable<string> lines)
    {
        text.Append(".PP\n.RS 4\n.nf\n");
        foreach (string line in lines)
        {
            text.Append(Guarded(Literal(line))).Append('\n');
        }

        text.Append(".fi\n.RE\n");
    }

    /// <summary>Paragraphs and lists of Markdown, without its tables and pictures.</summary>
    public void Markdown(string markdown)
    {
        foreach (string block in Blocks().Split(markdown).Where(block => block.Length > 0))
        {
            if (block.StartsWith("- ", StringComparison.Ordinal))
            {
                foreach (string item in Items().Split("\n" + block).Where(item => item.Length > 0))
                {
                    Bullet(item);
                }
            }
            else if (block.StartsWith("```", StringComparison.Ordinal))
            {
                Code(block.Split('\n')[1..^1]);
            }
            else if (block[0] is not ('|' or '!'))
            {
                Paragraph(block);
            }
        }
    }

    /// <summary>With commands in bold.</summary>
    private static string Inline(string markdown)
    {
        string plain = Links().Replace(Whitespace().Replace(markdown.Trim(), " "), "$1").Replace("**", "");
        string[] parts = plain.Split('`'); // every other one is code
        return string.Concat(parts.Select((part, i) => i % 2 == 1 ? $"\\fB{Literal(part)}\\fR" : Escaped(part)));
    }

    private static string Escaped(string part) => part.Replace("\\", "\\e", StringComparison.Ordinal)
        .Replace("~", "\\(ti", StringComparison.Ordinal).Replace("^", "\\(ha", StringComparison.Ordinal);

    /// <summary>A hyphen that is typed is a minus.</summary>
    private static string Literal(string part) => Escaped(part).Replace("-", "\\-", StringComparison.Ordinal)
        .Replace("'", "\\(aq", StringComparison.Ordinal);

    private static string Heading(string title) => $"\"{Literal(title).Replace("\"", "\\(dq")}\"";

    /// <summary>A line that begins as a request would be one.</summary>
    private static string Guarded(string line) => line.Length > 0 && line[0] is '.' or '\'' ? "\\&" + line : line;

    private void Fill(string line)
    {
        int column = 0;
        foreach (string word in line.Split(' '))
        {
            if (column > 0 && column + 1 + word.Length > LineMax)
            {
                text.Append('\n');
                column = 0;
            }

            text.Append(column > 0 ? " " + word : Guarded(word));
            column += word.Length + (column > 0 ? 1 : 0);
        }

        text.Append('\n');
    }

    [GeneratedRegex(@"\n\s*\n")]
    private static partial Regex Blocks();

    [GeneratedRegex(@"\n- ")]
    private static partial Regex Items();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Whitespace();

    [GeneratedRegex(@"!?\[([^\]]*)\]\([^)]*\)")]
    private static partial Regex Links();
}
