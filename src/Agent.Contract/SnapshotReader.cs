using Agent.Policy;

namespace Agent.Contract;

/// <summary>Turns a snapshot message into a policy, or into every fault that it has.</summary>
public static class SnapshotReader
{
    public static SnapshotResult Read(V1.Snapshot snapshot, PolicyLimits limits)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        var faults = new FaultList();
        var fields = new Fields(faults, limits);
        var resources = new ResourceReader(faults, limits);
        var policy = new PolicySnapshot
        {
            Revision = snapshot.Revision,
            IssuedAt = fields.Moment("issued_at", snapshot.IssuedAt),
            Groups = fields.ById("groups", snapshot.Groups.Select(group => resources.Group(group)), group => group.Id),
            PrefixLists = fields.ById(
                "prefix_lists", snapshot.PrefixLists.Select(resources.PrefixList), list => list.Id),
            PortLists = fields.ById("port_lists", snapshot.PortLists.Select(resources.PortList), list => list.Id),
            Vnics = fields.ById("vnics", snapshot.Vnics.Select(resources.Vnic), vnic => vnic.Id),
            Vpcs = fields.ById("vpcs", snapshot.Vpcs.Select(resources.Vpc), vpc => vpc.Id),
        };
        if (snapshot.Revision == 0)
        {
            faults.Add(
                "revision", Codes.Revision, "no revision", "Number states from 1 on, or ask for the next revision.");
        }

        new ReferenceCheck(policy, limits, faults).Run();
        return faults.Result(policy);
    }
}
