using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>A way to enforce a <see cref="TrafficPolicy"/> on a host.</summary>
internal interface IFirewall
{
    string Name { get; }

    /// <summary>Whether it knows a policy: what has none is measured once.</summary>
    bool HasPolicy { get; }

    /// <summary>Enforces the policy in the namespace until the result is disposed.</summary>
    IDisposable Load(NetNamespace host, TrafficPolicy policy);
}

/// <summary>A firewall that stays until its namespace ends.</summary>
internal sealed class Loaded : IDisposable
{
    public static readonly Loaded Rules = new();

    public void Dispose()
    {
    }
}
