using Agent.Daemon.Enforcement;
using Prometheus;

namespace Agent.Daemon;

/// <summary>Series of proofs.</summary>
internal sealed class ProofMetrics
{
    private readonly Histogram duration;
    private readonly Counter proofs;
    private readonly Gauge unproved;

    public ProofMetrics(MetricFactory make)
    {
        duration = AgentMetrics.Duration(
            make, "sg_agent_proof_duration_seconds", "Time to prove a ruleset, as far as it got.");
        proofs = make.CreateCounter("sg_agent_proofs_total",
            "Proofs that a ruleset does with every packet what the policy says, by what they showed.",
            new CounterConfiguration { LabelNames = ["result"] });
        foreach (ProofOutcome outcome in Enum.GetValues<ProofOutcome>())
        {
            proofs.WithLabels(AgentMetrics.Word(outcome)).Inc(0); // an increase is one of something that is there
        }

        unproved = make.CreateGauge("sg_agent_unproved_vnics", "vNICs that the last proof did not prove.");
    }

    /// <summary>A proof has ended, or was given up.</summary>
    public void Proved(ProofResult result)
    {
        duration.Observe(result.Took.TotalSeconds);
        proofs.WithLabels(AgentMetrics.Word(result.Outcome)).Inc();
        unproved.Set(result.IsPending ? result.Of.Request.Policy.Vnics.Count : result.Faults.Count());
    }
}
