using System.Text;
using Agent.Cli.Input;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Agent.Cli.Output;

/// <summary>A state as YAML that sgctl, and any other reader, takes back as it was.</summary>
internal static class Yaml
{
    private static readonly HashSet<string> Ambiguous =
        new(["null", "true", "false", "yes", "no", "on", "off", "y", "n"], StringComparer.OrdinalIgnoreCase);

    /// <param name="json">The same state as JSON.</param>
    public static string FromJson(string json)
    {
        var text = new StringWriter { NewLine = "\n" };
        var emitter = new Emitter(text, new EmitterSettings().WithMaxSimpleKeyLength(1024));
        emitter.Emit(new StreamStart());
        emitter.Emit(new DocumentStart(null, null, isImplicit: true));
        Emit(emitter, JsonNodes.Read(Encoding.UTF8.GetBytes(json)));
        emitter.Emit(new DocumentEnd(isImplicit: true));
        emitter.Emit(new StreamEnd());
        return text.ToString();
    }

    private static void Emit(Emitter emitter, Node node)
    {
        switch (node)
        {
            case Mapping mapping:
                emitter.Emit(new MappingStart(AnchorName.Empty, TagName.Empty, isImplicit: true, MappingStyle.Block));
                foreach (Entry entry in mapping.Entries)
                {
                    Emit(emitter, entry.Key, quoted: !IsWord(entry.Key));
                    Emit(emitter, entry.Value);
                }

                emitter.Emit(new MappingEnd());
                break;
            case Sequence sequence:
                emitter.Emit(new SequenceStart(AnchorName.Empty, TagName.Empty, isImplicit: true, SequenceStyle.Block));
                foreach (Node item in sequence.Items)
                {
                    Emit(emitter, item);
                }

                emitter.Emit(new SequenceEnd());
                break;
            case Input.Scalar scalar:
                Emit(emitter, scalar.Text, quoted: scalar.Kind == ScalarKind.Text && !IsWord(scalar.Text));
                break;
        }
    }

    private static void Emit(Emitter emitter, string text, bool quoted) =>
        emitter.Emit(new YamlDotNet.Core.Events.Scalar(
            AnchorName.Empty, TagName.Empty, text, quoted ? ScalarStyle.DoubleQuoted : ScalarStyle.Plain,
            isPlainImplicit: !quoted, isQuotedImplicit: quoted));

    /// <summary>
    /// Nobody takes it for a number, a time, or yes and no: 02:00:00:00:00:01 is a number to some readers.
    /// </summary>
    private static bool IsWord(string text) =>
        text.Length > 0 && char.IsAsciiLetter(text[0])
        && !Ambiguous.Contains(text)
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.');
}
