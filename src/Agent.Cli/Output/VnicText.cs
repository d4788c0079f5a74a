using System.Globalization;
using Agent.V1;
using Spectre.Console;

namespace Agent.Cli.Output;

/// <summary>vNICs as a table.</summary>
internal static class VnicText
{
    public static string Word(VnicState state) => state switch
    {
        VnicState.Absent => "absent",
        VnicState.Pending => "pending",
        VnicState.Enforced => "enforced",
        VnicState.Failed => "failed",
        VnicState.Unmanaged => "unmanaged",
        _ => "unknown",
    };

    public static void Print(Screen screen, IReadOnlyCollection<VnicStatus> vnics) => screen.Table(
        ["vnic", "interface", "state", "revision", "groups", "reason"],
        [.. vnics.Select(vnic => new Cell[]
        {
            vnic.VnicId.Length > 0 ? vnic.VnicId : "-",
            vnic.InterfaceName,
            new(Word(vnic.State), StyleOf(vnic.State)),
            vnic.EnforcedRevision == 0 ? "-" : vnic.EnforcedRevision.ToString(CultureInfo.InvariantCulture),
            string.Join(' ', vnic.GroupIds),
            vnic.Reason,
        })]);

    private static Style StyleOf(VnicState state) => state switch
    {
        VnicState.Enforced => Screen.Good,
        VnicState.Failed => Screen.Bad,
        VnicState.Pending or VnicState.Unmanaged => Screen.Warning,
        _ => Screen.Plain,
    };
}
