using System.Text.RegularExpressions;
using Agent.Contract;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Contract;

/// <summary>Every fault of the table in one snapshot: all are told, by their places, and no other.</summary>
public partial class AllFaultsTests
{
    [Fact]
    public void Every_fault_of_the_table_at_once_is_told_with_its_path_and_code()
    {
        var snapshot = new Snapshot { Revision = 1 };
        List<(string Path, string Code)> expected = [];
        for (int i = 0; i < FaultTests.Faults.Length; i++)
        {
            FaultTests.Fault fault = FaultTests.Faults[i];
            Snapshot one = Messages.Valid();
            fault.Make(one);
            expected.Add((Renamed(fault.Path, i), fault.Code));
            if (one.Revision == 0)
            {
                snapshot.Revision = 0;
                continue;
            }

            Rename(one, i, listVpcs: fault.Code != Codes.AddressOverlap);
            snapshot.MergeFrom(one);
            snapshot.Revision = 1;
        }

        snapshot.Revision = 0; // the table has that, too
        SnapshotResult result = SnapshotReader.Read(snapshot, FaultTests.Limits);
        Assert.Null(result.Policy);
        Assert.Equal(
            expected.Distinct().Order().Select(one => $"{one.Path} {one.Code}"),
            result.Faults.Select(fault => (fault.Path, fault.Code)).Order().Select(one => $"{one.Path} {one.Code}"));
        Assert.All(result.Faults, fault => Assert.NotEmpty(fault.Remedy));
    }

    // Each fault has a world of its own: ids, VPCs, devices. What was made wrong stays wrong.
    private static void Rename(Snapshot one, int number, bool listVpcs)
    {
        foreach (V1.SecurityGroup group in one.Groups)
        {
            (group.Id, group.VpcId) = (Name(group.Id, number), Name(group.VpcId, number));
            foreach (V1.Rule rule in group.Rules)
            {
                rule.PortListId = Name(rule.PortListId, number);
                switch (rule.RemoteCase)
                {
                    case V1.Rule.RemoteOneofCase.GroupId: rule.GroupId = Name(rule.GroupId, number); break;
                    case V1.Rule.RemoteOneofCase.PrefixListId:
                        rule.PrefixListId = Name(rule.PrefixListId, number);
                        break;
                }
            }
        }

        foreach (V1.PrefixList list in one.PrefixLists)
        {
            list.Id = Name(list.Id, number);
        }

        foreach (V1.PortList list in one.PortLists)
        {
            list.Id = Name(list.Id, number);
        }

        foreach (V1.Vnic vnic in one.Vnics)
        {
            (vnic.Id, vnic.VpcId) = (Name(vnic.Id, number), Name(vnic.VpcId, number));
            vnic.InterfaceName = vnic.InterfaceName is "tap1" or "tap2"
                ? $"{vnic.InterfaceName}-{number}" : vnic.InterfaceName;
            string[] groups = [.. vnic.GroupIds];
            vnic.GroupIds.Clear();
            vnic.GroupIds.AddRange(groups.Select(id => Name(id, number)));
        }

        if (listVpcs)
        {
            one.Vpcs.AddRange(one.Vnics.Select(vnic => vnic.VpcId).Distinct().Select(id => new V1.Vpc { Id = id }));
        }
    }

    private static string Name(string id, int number) => id.Length == 0 ? "" : $"{id}-{number}";

    private static string Renamed(string path, int number) =>
        Resource().Replace(path, match => $"{match.Groups[1].Value}[{Name(match.Groups[2].Value, number)}]", count: 1);

    [GeneratedRegex(@"^(\w+)\[([^\]]*)\]")]
    private static partial Regex Resource();
}
