using System.Net;

namespace Agent.TestNet;

/// <summary>Both ends of a UDP session, with ports.</summary>
public sealed record UdpPath(
    NetworkEndpoint Client, IPEndPoint ClientAddress, NetworkEndpoint Server, IPEndPoint ServerAddress);
