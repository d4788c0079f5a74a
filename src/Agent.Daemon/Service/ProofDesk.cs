using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using VnicProof = Agent.Evaluator.Proof.VnicProof;

namespace Agent.Daemon.Service;

/// <summary>Proves what is in force when somebody asks: beside the loop, from a fresh reading.</summary>
/// <param name="reconciler">Reads back.</param>
/// <param name="verifier">Proves.</param>
internal sealed class ProofDesk(Reconciler reconciler, Verifier verifier)
{
    public async Task<VerifyResponse> VerifyAsync(VerifyRequest request, CancellationToken cancel)
    {
        ReadBack reading = await reconciler.VerifyAsync(cancel).ConfigureAwait(false);
        var response = new VerifyResponse
        {
            Result = reading.Result.Outcome == VerifyOutcome.Unknown ? ProofMessages.Unknown : "mismatch",
            Detail = reading.Result.Detail,
            Revision = reading.Enforced?.Request.Policy.Revision ?? 0,
            Read = Duration.FromTimeSpan(reading.Result.Took),
        };
        if (reading.Result.Outcome == VerifyOutcome.Unknown || reading.Enforced is not CompiledRuleset enforced)
        {
            return response;
        }

        HashSet<string> asked = [.. request.Vnics];
        PolicySnapshot policy = enforced.Request.Policy;
        ImmutableHashSet<string>? only = asked.Count == 0 ? null : [.. policy.Vnics.Values
            .Where(vnic => asked.Contains(vnic.Id) || asked.Contains(vnic.InterfaceName)).Select(vnic => vnic.Id)];
        ProofResult proof =
            await verifier.ProveAtLeisureAsync(enforced, reading.Held, only, cancel).ConfigureAwait(false);
        foreach ((string id, VnicProof its) in proof.Vnics)
        {
            response.Vnics.Add(Message(id, policy.Vnics[id].InterfaceName, Known(enforced, id) ?? its));
        }

        if (proof.Host is not null)
        {
            response.Vnics.Add(Message("", "", proof.Host));
        }

        response.Prove = Duration.FromTimeSpan(proof.Took);
        if (reading.Result.Outcome == VerifyOutcome.Verified)
        {
            string[] results = [.. response.Vnics.Select(vnic => vnic.Result)];
            response.Result = results.Contains(ProofMessages.Refuted) ? ProofMessages.Refuted
                : results.Contains(ProofMessages.Unknown) ? ProofMessages.Unknown : ProofMessages.Proved;
        }

        return response;
    }

    // What follows another policy than the desired one is never called proved, however exactly it does so.
    private static VnicProof.Unknown? Known(CompiledRuleset enforced, string id) =>
        enforced.Failed.TryGetValue(id, out string? reason) && !enforced.Closed.Contains(id)
            ? new VnicProof.Unknown($"it keeps older rules: {reason}") : null;

    private static V1.VnicProof Message(string id, string interfaceName, VnicProof proof) => new()
    {
        VnicId = id,
        InterfaceName = interfaceName,
        Result = ProofMessages.WordOf(proof),
        Detail = ProofResult.ReasonOf(proof) ?? "",
    };
}
