using Agent.Contract;
using Agent.Policy;
using Google.Protobuf;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Contract;

/// <summary>
/// Any text in any place is accepted as it is, or refused with faults that are short and steer no terminal or log.
/// </summary>
public class NastyTextTests
{
    public static TheoryData<int> Texts => [.. Enumerable.Range(0, NastyTexts.All.Length)];

    [Theory]
    [MemberData(nameof(Texts))]
    public void A_text_in_any_place_of_a_snapshot_is_kept_or_told(int index)
    {
        string text = NastyTexts.All[index];
        int places = NastyTexts.PlacesOf(Full()).Count();
        Assert.True(places > 60, $"{places} places");
        for (int i = 0; i < places; i++)
        {
            Snapshot snapshot = Full();
            (string place, Action<string> set) = NastyTexts.PlacesOf(snapshot).ElementAt(i);
            set(text);
            SnapshotResult result = SnapshotReader.Read(snapshot, PolicyLimits.Default);
            AssertTold(result, place);
            if (result.Policy is { } policy)
            {
                SnapshotResult again = SnapshotReader.Read(
                    Snapshot.Parser.ParseFrom(SnapshotWriter.Write(policy).ToByteArray()), PolicyLimits.Unlimited);
                Assert.True(again.Policy is not null, place);
                Assert.Equal(StateHash.Of(policy), StateHash.Of(again.Policy));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Texts))]
    public void A_text_in_any_place_of_a_delta_is_kept_or_told(int index)
    {
        PolicySnapshot held = DeltaTests.Read(Messages.Valid());
        byte[] before = StateHash.Of(held);
        int places = NastyTexts.PlacesOf(FullDelta()).Count();
        for (int i = 0; i < places; i++)
        {
            Delta delta = FullDelta();
            (string place, Action<string> set) = NastyTexts.PlacesOf(delta).ElementAt(i);
            set(NastyTexts.All[index]);
            AssertTold(DeltaReader.Apply(held, delta, PolicyLimits.Default), place);
            Assert.Equal(before, StateHash.Of(held));
        }
    }

    [Theory]
    [InlineData("groups.name", "安全组 👩‍💻", true)]
    [InlineData("groups.name", "a\"b\\c {0} %s", true)]
    [InlineData("groups.name", "a\0", false)]
    [InlineData("groups.name", "a\u2028b", false)]
    [InlineData("groups.name", "\u202egnp.exe", false)]
    [InlineData("groups.id", "sécurité", false)]
    [InlineData("groups.members", "::ffff:10.0.0.1", false)]
    [InlineData("groups.members", "::ffff:0:0/96", false)]
    [InlineData("groups.members", "fe80::1%eth0", false)]
    [InlineData("groups.members", "10.0.0.1/8", false)]
    [InlineData("groups.members", "2001:DB8:0::1", true)]
    [InlineData("groups.members", "10.0.7.1", true)] // twice, and inside another: a set
    [InlineData("groups.members", "10.0.8.5", true)]
    [InlineData("prefix_lists.entries", "10.1.2.128/25", true)] // overlapping entries are no fault, equal ones are
    [InlineData("prefix_lists.entries", "10.1.2.0/24", false)]
    [InlineData("prefix_lists.entries", "10.1.2.1/24", false)]
    [InlineData("port_lists.entries", "8500/9500", true)]
    [InlineData("port_lists.entries", "22/22", false)]
    [InlineData("port_lists.entries", "８０/８０", false)]
    public void What_is_text_and_what_is_not(string place, string text, bool accepted)
    {
        Snapshot snapshot = Messages.Valid();
        switch (place)
        {
            case "groups.name": snapshot.Group("web").Name = text; break;
            case "groups.id": snapshot.Groups.Add(new V1.SecurityGroup { Id = text, VpcId = "vpc-1" }); break;
            case "groups.members": snapshot.Group("web").Members.Add(text); break;
            case "prefix_lists.entries": snapshot.List("pl4").Entries.Add(text); break;
            default: snapshot.PortLists[0].Entries.Add(text); break;
        }

        SnapshotResult result = SnapshotReader.Read(snapshot, PolicyLimits.Default);
        Assert.Equal(accepted, result.Policy is not null);
        AssertTold(result, place);
    }

    [Fact]
    public void Half_a_character_is_no_text()
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Group("web").Name = "a\ud83d";
        AssertTold(SnapshotReader.Read(snapshot, PolicyLimits.Default), "name");
        Assert.Null(SnapshotReader.Read(snapshot, PolicyLimits.Default).Policy);
    }

    /// <summary>A state file may be older than the rule against hidden characters.</summary>
    [Fact]
    public void What_was_accepted_once_is_read_again()
    {
        Snapshot old = Messages.Valid();
        old.Group("web").Name = "a\u202eb\u2028";
        Assert.Null(SnapshotReader.Read(old, PolicyLimits.Default).Policy);
        Assert.NotNull(SnapshotReader.Read(old, PolicyLimits.Unlimited).Policy);
    }

    /// <summary>An id of megabytes in each of a thousand faults would be gigabytes.</summary>
    [Fact]
    public void An_id_of_megabytes_makes_no_answer_of_gigabytes()
    {
        Snapshot snapshot = Messages.Valid();
        V1.SecurityGroup group = snapshot.Group("web");
        group.Id = new string('i', 10_000_000);
        group.Rules.AddRange(Enumerable.Range(0, 20_000).Select(_ => new V1.Rule()));
        long before = GC.GetAllocatedBytesForCurrentThread();
        SnapshotResult result = SnapshotReader.Read(snapshot, PolicyLimits.Default);
        Assert.Equal(Codes.TooMany, result.Faults[^1].Code);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 300_000_000);
        AssertTold(result, "id");
    }

    private static void AssertTold(SnapshotResult result, string place)
    {
        Assert.Equal(result.Policy is null, result.Faults.Length > 0);
        foreach (PolicyFault fault in result.Faults)
        {
            string line = fault.ToString();
            Assert.True(line.Length < 700, $"{place}: {line.Length} characters");
            Assert.True(PlainText.Is(line), $"{place}: {line}");
        }

        Assert.All(result.Warnings, warning => Assert.True(PlainText.Is(warning), warning));
    }

    private static Snapshot Full()
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Vpcs.Add(new V1.Vpc { Id = "vpc-9", UplinkInterfaces = { "eth9" } });
        return snapshot;
    }

    private static Delta FullDelta()
    {
        Snapshot full = Full();
        return new Delta
        {
            BaseRevision = 7,
            Revision = 8,
            UpsertGroups = { full.Groups },
            UpsertPrefixLists = { full.PrefixLists },
            UpsertPortLists = { full.PortLists },
            UpsertVnics = { full.Vnics },
            UpsertVpcs = { full.Vpcs },
            Members = { new MemberChange { GroupId = "web", Add = { "10.9.9.9" }, Remove = { "10.0.7.1" } } },
        };
    }
}
