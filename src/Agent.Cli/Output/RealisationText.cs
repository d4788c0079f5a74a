using System.Globalization;
using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>How far the desired state is real, for people.</summary>
internal static class RealisationText
{
    /// <summary>"made 2026-11-24 16:10:00 UTC, enforced 45.0 ms later"; empty if its sender did not say.</summary>
    public static string Intent(AgentStatus status) => status.IssuedAt is null ? ""
        : $"made {Count.Moment(status.IssuedAt)}" + (status.EnforcedAfter is null ? ""
            : $", enforced {Count.Time(status.EnforcedAfter.ToTimeSpan())} later");

    /// <summary>"enforced for 5 of 5 vNICs, proved for 4"; empty without vNICs.</summary>
    public static string Vnics(AgentStatus status)
    {
        VnicStatus[] vnics = [.. status.Vnics.Where(vnic => vnic.VnicId.Length > 0)];
        return vnics.Length == 0 ? "" : string.Create(CultureInfo.InvariantCulture,
            $"revision {status.DesiredRevision} enforced for {At(vnic => vnic.EnforcedRevision)} of ")
            + string.Create(CultureInfo.InvariantCulture,
                $"{Count.Of(vnics.Length, "vNIC")}, proved for {At(vnic => vnic.ProvedRevision)}");

        int At(Func<VnicStatus, ulong> revision) => vnics.Count(vnic => revision(vnic) == status.DesiredRevision);
    }

    public static void Groups(Screen screen, IEnumerable<GroupStatus> groups) => screen.Table(
        ["group", "vnics", "changed", "enforced", "proved"],
        [
            .. groups.Select(group => new Cell[]
            {
                group.GroupId, Number(group.VnicCount), Revision(group.ChangedRevision),
                new(Revision(group.EnforcedRevision),
                    group.EnforcedRevision < group.ChangedRevision ? Screen.Bad : Screen.Plain),
                new(Revision(group.ProvedRevision),
                    group.ProvedRevision < group.ChangedRevision ? Screen.Warning : Screen.Plain),
            }),
        ]);

    private static string Revision(ulong revision) => revision == 0 ? "-" : Number(revision);

    private static string Number(ulong number) => number.ToString(CultureInfo.InvariantCulture);
}
