using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Agent.Daemon.Config;

/// <summary>What <c>--check-config</c> says.</summary>
internal static class ConfigReport
{
    private static readonly JsonWriterOptions Options = new()
    {
        Indented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // it goes to programs, never into a page
    };

    /// <summary>A line for each fault, or one that there is none.</summary>
    public static string Text(string path, ConfigResult read) => read.Config is not null ? $"{path}: no fault\n"
        : string.Concat(read.Faults.Select(fault => $"{fault}\n"));

    /// <summary>{file, valid, faults, settings}; a setting has its value as --set takes it.</summary>
    public static string Json(string path, ConfigResult read)
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, Options))
        {
            json.WriteStartObject();
            json.WriteString("file", path);
            json.WriteBoolean("valid", read.Config is not null);
            json.WriteStartArray("faults");
            foreach (ConfigFault fault in read.Faults)
            {
                json.WriteStartObject();
                json.WriteString("origin", fault.Origin);
                json.WriteString("path", fault.Path);
                json.WriteString("code", fault.Code);
                json.WriteString("message", fault.Message);
                json.WriteString("remedy", fault.Remedy);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteStartArray("settings");
            foreach (Setting setting in read.Settings)
            {
                json.WriteStartObject();
                json.WriteString("key", setting.Key);
                json.WriteString("value", setting.Value);
                json.WriteString("source", setting.Source.ToString().ToLowerInvariant());
                json.WriteString("origin", setting.Origin);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(text.GetBuffer().AsSpan(0, (int)text.Length)) + "\n";
    }
}
