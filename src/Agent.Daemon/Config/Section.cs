using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;

namespace Agent.Daemon.Config;

/// <summary>
/// One object of the configuration, read key by key, each from the source that wins; what the file has and was not
/// asked for is a fault at the end.
/// </summary>
internal sealed class Section(string path, JsonElement element, ConfigSources sources)
{
    private readonly HashSet<string> known = new(StringComparer.Ordinal);

    public void Fault(string key, string message, string remedy) => sources.Fault(path + key, message, remedy);

    /// <summary>Settings that are not read, because what they are of is not there: they are empty.</summary>
    public void Absent(params string[] keys)
    {
        foreach (string key in keys)
        {
            known.Add(key);
            sources.Default(path + key, "");
        }
    }

    public bool Has(string key)
    {
        known.Add(key);
        return TryFind(key, out _) || sources.Mentions(path + key);
    }

    public Section Child(string key)
    {
        known.Add(key);
        JsonElement child = default;
        if (TryFind(key, out JsonElement found))
        {
            if (found.ValueKind == JsonValueKind.Object)
            {
                child = found;
            }
            else
            {
                Fault(key, "not an object", "Write { ... }.");
            }
        }

        return new Section($"{path}{key}.", child, sources);
    }

    public string Text(string key, string fallback) => Scalar(key) ?? sources.Default(path + key, fallback);

    public string Path(string key, string fallback) => Absolute(key, Text(key, fallback), orNone: false);

    private string Absolute(string key, string value, bool orNone)
    {
        if (!value.StartsWith('/') && !(orNone && value.Length == 0))
        {
            Fault(key, $"'{value}' is not an absolute path", "Begin it with '/'.");
        }

        return value;
    }

    /// <summary>Empty: none.</summary>
    public string PathOrNone(string key, string fallback) => Absolute(key, Text(key, fallback), orNone: true);

    public ImmutableArray<string> Texts(string key, ImmutableArray<string> fallback) =>
        Elements(key, fallback) is string[] texts ? [.. texts] : fallback;

    public string ExistingFile(string key)
    {
        string value = Text(key, "");
        if (!File.Exists(value))
        {
            Fault(key, $"no file '{value}'", "Name a PEM file that the daemon can read.");
        }

        return value;
    }

    /// <summary>A name that nft's grammar takes.</summary>
    public string Name(string key, string fallback)
    {
        string value = Text(key, fallback);
        if (value.Length is 0 or > 31 || !char.IsAsciiLetter(value[0])
            || !value.All(c => char.IsAsciiLetterOrDigit(c) || c == '_'))
        {
            Fault(key, $"'{value}' is not a table name",
                "Use 1 to 31 letters, digits and '_', beginning with a letter.");
        }

        return value;
    }

    public string EndPoint(string key, string fallback)
    {
        string value = Text(key, fallback);
        if (value.Length > 0 && (!IPEndPoint.TryParse(value, out IPEndPoint? end) || end.Port == 0))
        {
            Fault(key, $"'{value}' is not ADDRESS:PORT", "Write 127.0.0.1:9477 or [::1]:9477; empty turns it off.");
        }

        return value;
    }

    public bool Flag(string key, bool fallback) => Parse(key, fallback, "true or false",
        text => bool.TryParse(text, out bool value) ? value : null, value => value ? "true" : "false");

    public int Number(string key, int fallback, int least = 1) => Parse(
        key, fallback, $"a whole number, {least} or more",
        text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= least
            ? value : null, Decimal);

    public int NumberOrZero(string key, int fallback, int max) => Parse(
        key, fallback, $"a whole number from 0 to {max}",
        text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value <= max
            ? value : null, Decimal);

    public uint Mask(string key, uint fallback) =>
        Parse(key, fallback, "consecutive bits, at least 4, such as 0xffff0000",
        text => TryNumber(text, out uint value) && IsRun(value) ? value : null,
        value => string.Create(CultureInfo.InvariantCulture, $"0x{value:x8}"));

    public UnixFileMode Mode(string key, UnixFileMode fallback) =>
        Parse(key, fallback, "octal permission bits such as 0660",
        text => text.Length is 3 or 4 && text.All(c => c is >= '0' and <= '7')
            ? (UnixFileMode)Convert.ToInt32(text, 8) : null,
        mode => "0" + Convert.ToString((int)mode, 8));

    /// <summary>An enumeration's value, written in snake_case.</summary>
    public T Choice<T>(string key, T fallback) where T : struct, Enum => Parse(
        key, fallback, string.Join(" or ", Enum.GetValues<T>().Select(Snake)),
        text => Enum.GetValues<T>().Where(value => Snake(value) == text).Select(value => (T?)value).FirstOrDefault(),
        Snake);

    public ImmutableArray<string> Patterns(string key, ImmutableArray<string> fallback)
    {
        if (Elements(key, fallback) is not string[] texts)
        {
            return fallback;
        }

        foreach (string text in texts)
        {
            string name = text.EndsWith('*') ? text[..^1] : text;
            if (name.Length == 0 || Encoding.UTF8.GetByteCount(name) > 15
                || name.Contains('*', StringComparison.Ordinal)
                || name.Any(c => char.IsWhiteSpace(c) || c == '/'))
            {
                Fault(key, $"'{text}' is not an interface name or a prefix with '*'", "Write tap7 or tap*.");
            }
        }

        return [.. texts];
    }

    public ImmutableArray<T> List<T>(string key, ImmutableArray<T> fallback, string what, Func<string, T?> parse)
        where T : struct
    {
        if (Elements(key, fallback) is not string[] texts)
        {
            return fallback;
        }

        var values = new List<T>();
        foreach (string text in texts)
        {
            if (parse(text) is T value)
            {
                values.Add(value);
            }
            else
            {
                Fault(key, $"'{text}' is not {what}", "Correct or remove it.");
            }
        }

        return [.. values];
    }

    /// <summary>Reports keys that nobody asked for.</summary>
    public void Finish()
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            return;
        }

        foreach (JsonProperty property in element.EnumerateObject())
        {
            if (!known.Contains(property.Name))
            {
                Fault(property.Name, "no such setting",
                    $"Known here: {string.Join(", ", known.Order(StringComparer.Ordinal))}.");
            }
        }
    }

    public static bool TryNumber(string text, out uint value) =>
        text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
        ? uint.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value)
        : uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);

    private static bool IsRun(uint mask)
    {
        int bits = System.Numerics.BitOperations.PopCount(mask);
        return bits >= 4
            && mask >> System.Numerics.BitOperations.TrailingZeroCount(mask)
                == (bits == 32 ? uint.MaxValue : (1u << bits) - 1);
    }

    private static string Snake<T>(T value) where T : struct, Enum =>
        string.Concat(
            value.ToString()
                .Select((c, i) => char.IsUpper(c) ? (i > 0 ? "_" : "") + char.ToLowerInvariant(c) : c.ToString()));

    private static string Decimal(int value) => value.ToString(CultureInfo.InvariantCulture);

    private T Parse<T>(string key, T fallback, string what, Func<string, T?> parse, Func<T, string> format)
        where T : struct
    {
        if (Scalar(key) is not string text)
        {
            sources.Default(path + key, format(fallback));
            return fallback;
        }

        if (parse(text) is T value)
        {
            return value;
        }

        Fault(key, $"'{text}' is not {what}", "Correct it.");
        return fallback;
    }

    private string? Scalar(string key)
    {
        known.Add(key);
        if (sources.Take(path + key) is string given)
        {
            return given;
        }

        if (!TryFind(key, out JsonElement value))
        {
            return null;
        }

        switch (value.ValueKind)
        {
            case JsonValueKind.String: return sources.FromFile(path + key, value.GetString()!);
            case JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False:
                return sources.FromFile(path + key, value.GetRawText());
            default:
                Fault(key, "not a single value", "Write a string, a number, true or false.");
                return null;
        }
    }

    private string[]? Elements<T>(string key, ImmutableArray<T> fallback)
    {
        known.Add(key);
        if (sources.Take(path + key) is string given)
        {
            return given.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        }

        if (!TryFind(key, out JsonElement value))
        {
            sources.Default(path + key, string.Join(',', fallback));
            return null;
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            Fault(key, "not a list", "Write [ ... ].");
            return null;
        }

        string[] items = [.. value.EnumerateArray()
            .Select(item => item.ValueKind == JsonValueKind.String ? item.GetString()! : item.GetRawText())];
        sources.FromFile(path + key, string.Join(',', items));
        return items;
    }

    private bool TryFind(string key, out JsonElement value)
    {
        value = default;
        return element.ValueKind == JsonValueKind.Object && element.TryGetProperty(key, out value);
    }
}
