using System.Collections.Immutable;
using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Agent.Cli.Output;

namespace Agent.Cli.Support;

/// <summary>The archive of a dump, which only its owner may read.</summary>
internal static class SupportArchive
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <exception cref="CliException">It is there already, or cannot be made.</exception>
    public static FileStream Create(string path)
    {
        try
        {
            return new FileStream(path, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                UnixCreateMode = OwnerOnly,
            });
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unwritable(path, File.Exists(path) ? "it is there already" : e.Message);
        }
    }

    public static CliException Unwritable(string path, string why) => new(
        ExitCode.Failed, "unwritable", $"{path} cannot be written: {why}", "Name a file that does not exist yet.");

    public static void Write(
        Stream to, string directory, string manifest, ImmutableArray<SupportPart> parts, DateTimeOffset now)
    {
        using var packed = new GZipStream(to, CompressionLevel.Optimal, leaveOpen: true);
        using var tar = new TarWriter(packed, TarEntryFormat.Pax);
        Add("MANIFEST.json", manifest);
        foreach (SupportPart part in parts)
        {
            if (part.Text is string text)
            {
                Add(part.Section.File, text);
            }
        }

        void Add(string name, string text) => tar.WriteEntry(
            new PaxTarEntry(TarEntryType.RegularFile, $"{directory}/{name}")
            {
                Mode = OwnerOnly,
                ModificationTime = now,
                DataStream = new MemoryStream(Encoding.UTF8.GetBytes(text)),
            });
    }

    /// <summary>What the dump has, and what it does not have and why.</summary>
    public static string Manifest(
        string file, ImmutableArray<SupportPart> parts, bool anonymized, DateTimeOffset now) =>
        Json.Document(json =>
        {
            json.WriteString("file", file);
            json.WriteString("made_at", now.ToString("yyyy-MM-ddTHH:mm:ssZ", null));
            json.WriteString("sgctl_version", Sgctl.Version);
            json.WriteBoolean(
                "agent_answered", parts.Any(part => part is { Section.File: "status.json", Text: not null }));
            json.WriteBoolean("anonymized", anonymized);
            json.WriteStartArray("sections");
            foreach (SupportPart part in parts)
            {
                Write(json, part);
            }

            json.WriteEndArray();
            Json.Write(json, "never_included",
            [
                "private keys, certificates and other files that the configuration names",
                "values under names such as password, secret, token, api_key; users and passwords in URLs; bearer "
                    + "tokens",
                "contents of packets",
            ]);
        });

    private static void Write(Utf8JsonWriter json, SupportPart part)
    {
        json.WriteStartObject();
        json.WriteString("name", part.Section.Name);
        json.WriteString("file", part.Section.File);
        json.WriteString("about", part.Section.About);
        json.WriteString("result", part.Result);
        json.WriteNumber("bytes", part.Text is null ? 0 : Encoding.UTF8.GetByteCount(part.Text));
        json.WriteNumber("secrets_removed", part.Removed);
        json.WriteString("detail", part.Detail);
        json.WriteEndObject();
    }
}
