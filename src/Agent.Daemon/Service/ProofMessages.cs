using Agent.Daemon.Enforcement;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using VnicProof = Agent.Evaluator.Proof.VnicProof;

namespace Agent.Daemon.Service;

/// <summary>Proofs and drifts as messages.</summary>
internal static class ProofMessages
{
    public const string Proved = "proved";
    public const string Refuted = "refuted";
    public const string Unknown = "unknown";

    public static string WordOf(VnicProof proof) => proof switch
    {
        VnicProof.Proved => Proved,
        VnicProof.Refuted => Refuted,
        _ => Unknown,
    };

    /// <param name="result">Null: nobody asked for one.</param>
    public static Proof Of(ProofResult? result)
    {
        if (result is null)
        {
            return new Proof { Result = "none" };
        }

        (string, string)[] faults = [.. result.Faults];
        string fault = result.HostFault is string host ? $"traffic of no vNIC: {host}"
            : faults.Length > 0 ? $"{faults[0].Item1}: {faults[0].Item2}" : "";
        return new Proof
        {
            Result = result.Outcome.ToString().ToLowerInvariant(),
            Revision = result.Of.Request.Policy.Revision,
            Time = result.Time.ToTimestamp(),
            Took = Duration.FromTimeSpan(result.Took),
            ProvedVnics = (uint)(result.Vnics.Count - faults.Length),
            UnprovedVnics = (uint)(result.Of.Request.Policy.Vnics.Count - result.Vnics.Count + faults.Length),
            Detail = fault,
        };
    }

    public static ForeignChain Of(ForeignHook hook) => new()
    {
        Chain = $"{NftText.FamilyName(hook.Family)} {hook.Table} {hook.Chain}".TrimEnd(),
        Hook = hook.Hook.Hook.ToString().ToLowerInvariant(),
        Priority = hook.Hook.Priority,
        Effect = hook.Effect == ForeignEffect.ChangesEpoch ? "changes_epoch"
            : hook.Effect.ToString().ToLowerInvariant(),
        VnicId = hook.VnicId,
        Detail = hook.Detail,
    };

    public static V1.Drift Of(Enforcement.Drift drift)
    {
        var message = new V1.Drift
        {
            Time = drift.Time.ToTimestamp(),
            Repaired = drift.Repaired is TimeSpan took ? Duration.FromTimeSpan(took) : null,
            MoreObjects = (uint)drift.MoreObjects,
            Examined = drift.Packets is not null,
        };
        message.Objects.AddRange(drift.Objects);
        message.Packets.AddRange((drift.Packets ?? []).Select(
            packet => new DriftedPacket { VnicId = packet.VnicId, Detail = packet.Packet }));
        return message;
    }
}
