using Prometheus;

namespace Agent.Daemon;

/// <summary>Steps that were held because they would remove too much, and what became of them.</summary>
internal sealed class MassChangeMetrics
{
    private readonly Gauge waiting;
    private readonly Counter steps;

    public MassChangeMetrics(MetricFactory make)
    {
        waiting = make.CreateGauge("sg_agent_mass_change_held",
            "1 while a step is held that would remove too much, until it is confirmed or forgotten.");
        steps = make.CreateCounter("sg_agent_mass_changes_total",
            "Steps that would remove too much: held, enforced because they were confirmed, or forgotten.",
            new CounterConfiguration { LabelNames = ["result"] });
        foreach (string result in (string[])["held", "confirmed", "discarded"])
        {
            steps.WithLabels(result).Inc(0);
        }
    }

    public void Held() => steps.WithLabels("held").Inc();

    /// <summary>Also of one that came confirmed, and was never held.</summary>
    public void Confirmed() => steps.WithLabels("confirmed").Inc();

    public void Discarded() => steps.WithLabels("discarded").Inc();

    public void Waits(bool one) => waiting.Set(one ? 1 : 0);
}
