using Agent.Policy;
using Agent.V1;

namespace Agent.Client;

/// <summary>A policy that no agent would take. The same reader found it that agents use.</summary>
public sealed class InvalidPolicyException : Exception
{
    internal InvalidPolicyException(IReadOnlyCollection<PolicyFault> faults)
        : base(string.Join('\n', faults)) => Faults =
        [
            .. faults.Select(fault => new Fault
            {
                Path = fault.Path,
                Code = fault.Code,
                Message = fault.Message,
                Remedy = fault.Remedy,
            }),
        ];

    /// <summary>All that is wrong, in the order of the input; up to 1000.</summary>
    public IReadOnlyList<Fault> Faults { get; }
}
