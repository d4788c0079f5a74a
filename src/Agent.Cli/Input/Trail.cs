using System.Text;

namespace Agent.Cli.Input;

/// <summary>How to come to a value: written out only where it is needed, as the agent writes paths.</summary>
internal sealed class Trail
{
    public static readonly Trail Root = new(null, "", isKey: false);

    private const int LongestId = 64;

    private readonly Trail? parent;
    private readonly string name;
    private readonly bool isKey;

    private Trail(Trail? parent, string name, bool isKey)
    {
        this.parent = parent;
        this.name = name;
        this.isKey = isKey;
    }

    public Trail Field(string field) => new(this, field, isKey: false);

    /// <summary>
    /// An element, by its id or number. What is longer than ids may be is none, and its beginning is said, as the agent
    /// says it.
    /// </summary>
    public Trail Key(string key) => new(this, key.Length > LongestId ? key[..LongestId] : key, isKey: true);

    public override string ToString()
    {
        var text = new StringBuilder();
        Write(text);
        return text.ToString();
    }

    /// <summary>The path without its last step: "a.b[c]" becomes "a.b"; null at the beginning.</summary>
    public static string? Above(string path)
    {
        int end = path.EndsWith(']') ? path.LastIndexOf('[') : path.LastIndexOf('.');
        return path.Length == 0 ? null : path[..Math.Max(0, end)];
    }

    private void Write(StringBuilder text)
    {
        if (parent is null)
        {
            return;
        }

        parent.Write(text);
        if (isKey)
        {
            text.Append('[').Append(name).Append(']');
        }
        else
        {
            text.Append(text.Length > 0 ? "." : "").Append(name);
        }
    }
}
