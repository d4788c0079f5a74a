namespace Agent.Tests.Simulation;

/// <summary>The simulated nf_tables keeps the contract.</summary>
public sealed class SimulatedKernelTests : KernelContract
{
    protected override INftables Open() => new SimulatedNftables();
}
