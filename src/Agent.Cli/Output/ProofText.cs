using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>Proofs and drifts, for people.</summary>
internal static class ProofText
{
    /// <returns>Empty if there is none.</returns>
    public static string Of(Proof? proof) => proof?.Result switch
    {
        null or "" or "none" => "",
        "pending" => "pending: it takes longer than a commit waits, and goes on",
        "proved" => $"proved for {Count.Of(proof.ProvedVnics, "vNIC")} in {Count.Time(proof.Took.ToTimeSpan())}",
        var result => $"{result} for {Count.Of(proof.UnprovedVnics, "vNIC")}: {proof.Detail}",
    };

    public static void Print(Screen screen, Drift drift)
    {
        screen.Line(
            ("drift: ", Screen.Warning),
            ($"somebody changed our tables at {Count.Moment(drift.Time)}; "
                + (drift.Repaired is null ? "not repaired yet"
                    : $"undone in {Count.Time(drift.Repaired.ToTimeSpan())}"),
                Screen.Plain));
        foreach (string item in drift.Objects)
        {
            screen.Line(($"  {item}", Screen.Plain));
        }

        if (drift.MoreObjects > 0)
        {
            screen.Line(($"  and {drift.MoreObjects} more", Screen.Dim));
        }

        foreach (DriftedPacket packet in drift.Packets)
        {
            string whose = packet.VnicId.Length > 0 ? packet.VnicId : "traffic of no vNIC";
            screen.Line(($"  meanwhile, {whose}: {packet.Detail}", Screen.Plain));
        }

        if (drift is { Examined: true, Packets.Count: 0 })
        {
            screen.Line(("  no packet was treated wrongly", Screen.Good));
        }
    }

    public static void Print(Screen screen, ForeignChain hook)
    {
        string effect = hook.Effect switch
        {
            "drops" => "drops what the policy admits",
            "changes_epoch" => "changes bits of the conntrack mark that are ours",
            "exempts" => "sets a mark that exempts from the rules",
            _ => "may concern what the policy admits",
        };
        string whose = hook.VnicId.Length > 0 ? $"{hook.VnicId}: " : "";
        screen.Line(
            ("finding: ", Screen.Warning),
            ($"chain {hook.Chain} ({hook.Hook}, priority {hook.Priority}) {effect}: {whose}{hook.Detail}",
                Screen.Plain));
    }
}
