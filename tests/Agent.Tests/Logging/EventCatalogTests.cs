using System.Reflection;
using System.Text.RegularExpressions;
using Agent.Daemon;
using Agent.Daemon.Drops;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Logging;
using Agent.Daemon.Supervision;
using Agent.Policy;
using Agent.TestNet;
using Microsoft.Extensions.Logging;

namespace Agent.Tests.Logging;

/// <summary>packaging/journal/sg-agent.catalog explains each event of the code, and nothing else.</summary>
public sealed partial class EventCatalogTests
{
    private static readonly Dictionary<LogLevel, string> Words = new()
    {
        [LogLevel.Debug] = "debug",
        [LogLevel.Information] = "info",
        [LogLevel.Warning] = "warning",
        [LogLevel.Error] = "error",
    };

    private static readonly Event[] Events =
    [
        .. ((Type[])[typeof(Log), typeof(StepLog), typeof(ServiceLog)]).SelectMany(type => type.GetMethods(
            BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)).SelectMany(Of),
        .. ((EventId[])[Log.Dropped, Log.Accepted]).Select(kind => new Event(
            kind.Id, kind.Name!, LogLevel.Information, "the record as a line of JSON", FieldsOfDrops())),
    ];

    private static readonly Entry[] Entries = [.. Read()];

    [Fact]
    public void Each_event_is_explained_under_its_number_level_and_text()
    {
        Assert.True(Events.Length > 40, $"only {Events.Length} events were found");
        Assert.Equal(
            Events.OrderBy(one => one.Number)
                .Select(one =>
                    $"{one.Number} {one.Name}, {Words[one.Level]}: {one.Text} = {EventIdentity.Of(one.Number)}"),
            Entries.Select(entry => $"{entry.Comment} = {entry.MessageId}"));
        Assert.All(Entries, entry =>
        {
            Assert.Matches("^[A-Z].{10,70}[^.]$", entry.Subject);
            Assert.True(entry.Body.Length > 30, entry.Comment);
        });
        Assert.Equal(Entries.Length, Entries.Select(entry => entry.Subject).Distinct().Count());
    }

    [Fact]
    public void Numbers_are_unique_and_in_the_ranges_that_the_catalog_names()
    {
        Assert.Equal(Events.Length, Events.Select(one => one.Number).Distinct().Count());
        Assert.Equal(Events.Length, Events.Select(one => one.Name).Distinct().Count());
        Assert.All(Events, one =>
        {
            Assert.True(one.Number is (>= 100 and <= 599) or (>= 800 and <= 829), $"{one.Number}");
            Assert.Equal(one.Number is >= 500 and <= 599, one.Level == LogLevel.Debug);
        });
    }

    [Fact]
    public void An_explanation_names_fields_that_its_event_has()
    {
        foreach (Entry entry in Entries)
        {
            Event its = Events.Single(one => EventIdentity.Of(one.Number) == entry.MessageId);
            foreach (Match match in Placeholder().Matches(entry.Body))
            {
                Assert.Contains(match.Groups[1].Value, its.Fields);
            }
        }
    }

    /// <summary>Of the journal's own fields, and those that each entry has.</summary>
    [Fact]
    public void No_argument_takes_the_place_of_another_field()
    {
        string[] taken = ["SG_EVENT", "SG_EVENT_NAME", "SG_LIBRARY", "SG_EXCEPTION"];
        Assert.All(Events, one =>
        {
            Assert.Equal(one.Fields.Length, one.Fields.Distinct().Count());
            Assert.Empty(one.Fields.Intersect(taken));
            Assert.All(one.Fields, field => Assert.Matches("^SG(_[A-Z][A-Z0-9]*)+$", field));
        });
        Assert.Equal("SG_VNIC_COUNT", FieldName.Of("VnicCount"));
    }

    private static IEnumerable<Event> Of(MethodInfo method) =>
        method.GetCustomAttribute<LoggerMessageAttribute>() is not { } message ? [] :
        [
            new Event(
                message.EventId, method.Name, message.Level, message.Message,
                [.. Argument().Matches(message.Message).Select(match => FieldName.Of(match.Groups[1].Value))]),
        ];

    private static string[] FieldsOfDrops() => [.. DropEvent.Of(
        new DropRecord
        {
            Time = default,
            VnicId = "",
            Interface = "",
            Direction = Direction.Ingress,
            IsAccepted = false,
            Reason = "",
            Rule = "",
            Packet = default,
            GuestMac = null,
        },
        lostBefore: 0).Fields.Select(field => field.Name)];

    private static IEnumerable<Entry> Read()
    {
        string text = File.ReadAllText(
            Path.Combine(BuiltProgram.RepositoryRoot(), "packaging", "journal", "sg-agent.catalog"));
        foreach (Match match in Explanation().Matches(text))
        {
            yield return new Entry(
                match.Groups["comment"].Value, match.Groups["id"].Value, match.Groups["subject"].Value,
                match.Groups["body"].Value);
        }

        Assert.Equal(text.Split("\n-- ").Length - 1, Explanation().Count(text));
    }

    private sealed record Event(int Number, string Name, LogLevel Level, string Text, string[] Fields);

    private sealed record Entry(string Comment, string MessageId, string Subject, string Body);

    [GeneratedRegex(@"\{(\w+)(?::[^}]*)?\}")]
    private static partial Regex Argument();

    [GeneratedRegex("@([A-Z_0-9]+)@")]
    private static partial Regex Placeholder();

    [GeneratedRegex(
        @"^# (?<comment>\d{3} .*)\n-- (?<id>[0-9a-f]{32})\nSubject: (?<subject>.*)\nDefined-By: sg-agent\n\n"
        + @"(?<body>(?:(?!# ).*\n)+)", RegexOptions.Multiline)]
    private static partial Regex Explanation();
}
