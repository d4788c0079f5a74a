using System.Text;

namespace Agent.Cli.Completion;

/// <summary>A command line as a shell reads it: blanks part words, quotes and backslashes keep them together.</summary>
internal static class ShellWords
{
    /// <returns>The last word is the one that the line ends in, and empty behind a blank.</returns>
    public static IReadOnlyList<string> Of(string line)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        bool begun = false;
        char quote = '\0';
        for (int i = 0; i < line.Length; i++)
        {
            char c = line[i];
            if (c == '\\' && quote != '\'' && i + 1 < line.Length)
            {
                word.Append(line[++i]);
            }
            else if (quote != '\0' ? c == quote : c is '\'' or '"')
            {
                quote = quote == '\0' ? c : '\0';
                begun = true;
                continue;
            }
            else if (quote == '\0' && char.IsWhiteSpace(c))
            {
                if (begun)
                {
                    words.Add(word.ToString());
                    word.Clear();
                    begun = false;
                }

                continue;
            }
            else
            {
                word.Append(c);
            }

            begun = true;
        }

        words.Add(word.ToString());
        return words;
    }
}
