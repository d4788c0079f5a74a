using Agent.V1;
using Grpc.Net.Client;

namespace Agent.Client;

/// <summary>One agent's calls. Connects when the first is made, and anew after a loss; safe for many threads.</summary>
public sealed class AgentClient : IDisposable
{
    private readonly GrpcChannel channel;

    public AgentClient(AgentAddress address)
    {
        ArgumentNullException.ThrowIfNull(address);
        channel = address.Open();
        Calls = new SecurityGroupAgent.SecurityGroupAgentClient(channel);
    }

    /// <summary>
    /// Every call of the contract. They throw <see cref="Grpc.Core.RpcException"/>; a policy's faults are an answer.
    /// </summary>
    public SecurityGroupAgent.SecurityGroupAgentClient Calls { get; }

    public void Dispose() => channel.Dispose();
}
