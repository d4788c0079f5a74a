using System.Collections.Immutable;
using System.Net.Sockets;
using System.Text.Json;
using Agent.Cli.Output;
using Agent.V1;
using Grpc.Core;

namespace Agent.Cli.Support;

/// <summary>What became of a section.</summary>
/// <param name="Section">Which one.</param>
/// <param name="Result">"included", "left out" or "failed".</param>
/// <param name="Text">Null unless it is included.</param>
/// <param name="Detail">Why it is not.</param>
/// <param name="Removed">How many secrets were taken out.</param>
internal sealed record SupportPart(SupportSection Section, string Result, string? Text, string Detail, int Removed);

/// <summary>Collects the sections of a dump one after another; none of them stops the others.</summary>
internal static class SupportDump
{
    public static async Task<ImmutableArray<SupportPart>> CollectAsync(
        SupportSource source, TimeSpan each, Action<SupportSection> begins)
    {
        var parts = ImmutableArray.CreateBuilder<SupportPart>();
        foreach (SupportSection section in SupportSections.All)
        {
            begins(section);
            parts.Add(WithoutSecrets(await CollectAsync(source, section, each).ConfigureAwait(false)));
        }

        return parts.ToImmutable();
    }

    /// <summary>Names and addresses exchanged, the same everywhere.</summary>
    public static ImmutableArray<SupportPart> Anonymize(ImmutableArray<SupportPart> parts, Snapshot? state)
    {
        var anonymizer = new Anonymizer();
        KnownNames.Tell(anonymizer, state, parts);
        return [.. parts.Select(part => part switch
        {
            { Text: null } => part,
            { Section.Kind: SectionKind.TextOfThePast } => LeftOut(
                part, "it may name what is not there any more, and such names cannot be found (--anonymize)"),
            { Section.Kind: SectionKind.Text, Section.File: not "versions.txt" } when state is null => LeftOut(
                part, "without the agent the names in it are not known (--anonymize)"),
            { Section.Kind: SectionKind.Json } => part with
            {
                Text = JsonTexts.Rewrite(WithoutLabels(part), (name, text) =>
                    KnownNames.IsFreeText(name) && text.Length > 0 ? SecretFilter.Instead : anonymizer.Text(text)),
            },
            _ => part with { Text = anonymizer.Text(part.Text) },
        })];
    }

    /// <summary>Keys of labels are people's words too, and stand where names of fields stand.</summary>
    private static string WithoutLabels(SupportPart part)
    {
        if (part.Section.File != "state.json")
        {
            return part.Text!;
        }

        Snapshot state = Snapshot.Parser.ParseJson(part.Text);
        foreach (SecurityGroup group in state.Groups)
        {
            group.Labels.Clear();
        }

        return Json.State(state);
    }

    private static SupportPart LeftOut(SupportPart part, string why) =>
        part with { Result = "left out", Text = null, Detail = why, Removed = 0 };

    private static async Task<SupportPart> CollectAsync(SupportSource source, SupportSection section, TimeSpan each)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(source.Call.Cancel);
        limit.CancelAfter(each);
        try
        {
            string text = await section.CollectAsync(source, limit.Token).ConfigureAwait(false);
            return new SupportPart(section, "included", text, "", 0);
        }
        catch (LeftOutException e)
        {
            return new SupportPart(section, "left out", null, e.Message, 0);
        }
        catch (OperationCanceledException) when (!source.Call.Cancel.IsCancellationRequested)
        {
            return new SupportPart(section, "failed", null, $"it took longer than {Count.Time(each)}", 0);
        }
        catch (Exception e) when (e is CliException or RpcException or IOException or UnauthorizedAccessException
            or HttpRequestException or SocketException or JsonException or InvalidOperationException)
        {
            return new SupportPart(section, "failed", null, e.Message, 0);
        }
    }

    private static SupportPart WithoutSecrets(SupportPart part)
    {
        if (part.Text is null)
        {
            return part;
        }

        var filter = new SecretFilter();
        string text = part.Section.Kind == SectionKind.Json
            ? JsonTexts.Rewrite(part.Text, filter.Value) : filter.Text(part.Text);
        return part with { Text = text, Removed = filter.Removed };
    }
}
