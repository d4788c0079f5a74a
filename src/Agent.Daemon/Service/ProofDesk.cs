using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator.Proof;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using VnicProof = Agent.Evaluator.Proof.VnicProof;

namespace Agent.Daemon.Service;

/// <summary>Proves what is in force when somebody asks: beside the loop, one question at a time.</summary>
/// <param name="reconciler">Reads back.</param>
/// <param name="clock">Measures.</param>
internal sealed class ProofDesk(Reconciler reconciler, TimeProvider clock) : IDisposable
{
    private const string Unread = "unknown";

    private readonly SemaphoreSlim turn = new(1);
    private readonly ProofCache cache = new();

    public async Task<VerifyResponse> VerifyAsync(VerifyRequest request, CancellationToken cancel)
    {
        await turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            ReadBack reading = await reconciler.VerifyAsync(cancel).ConfigureAwait(false);
            return await Task.Run(() => Answer(request, reading), cancel).ConfigureAwait(false);
        }
        finally
        {
            turn.Release();
        }
    }

    public void Dispose() => turn.Dispose();

    private VerifyResponse Answer(VerifyRequest request, ReadBack reading)
    {
        var response = new VerifyResponse
        {
            Result = reading.Result.Outcome == VerifyOutcome.Unknown ? Unread : "mismatch",
            Detail = reading.Result.Detail,
            Revision = reading.Enforced?.Request.Policy.Revision ?? 0,
            Read = Duration.FromTimeSpan(reading.Result.Took),
        };
        if (reading.Result.Outcome == VerifyOutcome.Unknown || reading.Enforced is not CompiledRuleset enforced)
        {
            return response;
        }

        long started = clock.GetTimestamp();
        PolicySnapshot policy = enforced.Request.Policy;
        HashSet<string> asked = [.. request.Vnics];
        ImmutableHashSet<string>? only = asked.Count == 0 ? null : [.. policy.Vnics.Values
            .Where(vnic => asked.Contains(vnic.Id) || asked.Contains(vnic.InterfaceName)).Select(vnic => vnic.Id)];
        ProofReport report = Prover.Prove(
            reading.Held, policy, enforced.Request.PolicySettings, FactsOf(enforced), cache, only);
        foreach ((string id, VnicProof proof) in report.Vnics)
        {
            response.Vnics.Add(Message(id, policy.Vnics[id].InterfaceName, Known(enforced, id) ?? proof));
        }

        if (only is null)
        {
            response.Vnics.Add(Message("", "", report.Host));
        }

        response.Prove = Duration.FromTimeSpan(clock.GetElapsedTime(started));
        if (reading.Result.Outcome == VerifyOutcome.Verified)
        {
            string[] results = [.. response.Vnics.Select(vnic => vnic.Result)];
            response.Result = results.Contains("refuted") ? "refuted" : results.Contains(Unread) ? Unread : "proved";
        }

        return response;
    }

    private static ProofFacts FactsOf(CompiledRuleset enforced) => new()
    {
        EpochMask = enforced.Request.Settings.EpochMask,
        Epoch = enforced.Request.Epoch,
        Zones = enforced.Zones,
        Closed = enforced.Closed,
        Unguarded = enforced.Unguarded,
        Bridge = enforced.Request.Host.Bridge switch
        {
            BridgeLayer.Open => BridgeClaim.Open,
            BridgeLayer.Closed => BridgeClaim.Closed,
            _ => BridgeClaim.None,
        },
        Bridges = [.. enforced.Request.Host.Bridges],
        PassedBits = enforced.PassedBits,
        HookMarks = enforced.HookMarks,
        Adopting = enforced.Request.Settings.AdoptsSessions ? enforced.Request.Adopting : [],
        ManagedInterfaces = enforced.Request.Settings.ManagedInterfaces,
    };

    // What cannot be proved is never called proved: a vNIC that was held back keeps rules of another policy.
    private static VnicProof.Unknown? Known(CompiledRuleset enforced, string id) =>
        enforced.Failed.TryGetValue(id, out string? reason) && !enforced.Closed.Contains(id)
            ? new VnicProof.Unknown($"it keeps older rules: {reason}") : null;

    private static V1.VnicProof Message(string id, string interfaceName, VnicProof proof) => new()
    {
        VnicId = id,
        InterfaceName = interfaceName,
        Result = proof switch
        {
            VnicProof.Proved => "proved",
            VnicProof.Refuted => "refuted",
            _ => Unread,
        },
        Detail = proof switch
        {
            VnicProof.Refuted refuted => refuted.Example.ToString(),
            VnicProof.Unknown unknown => unknown.Reason,
            _ => "",
        },
    };
}
