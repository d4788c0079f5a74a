using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>All packets of a family, of one route, in one situation.</summary>
internal sealed record Question(Route Route, Situation Situation, Circumstances Circumstances, PacketMark Mark)
{
    public bool LimitExceeded { get; init; }

    /// <summary>Routes with one device on either side; of many, some.</summary>
    public IEnumerable<Question> Concretes()
    {
        foreach (Route route in Route.Concretes())
        {
            yield return this with
            {
                Route = route,
                Circumstances = Circumstances with { In = route.In, Out = route.Out },
            };
        }
    }
}

/// <summary>Packets that are treated otherwise than they should be.</summary>
/// <param name="Source">One source address.</param>
/// <param name="Destination">One destination address.</param>
/// <param name="Box">Their other fields.</param>
/// <param name="Observed">What becomes of them.</param>
/// <param name="Expected">What should become of them.</param>
internal sealed record Difference(
    UInt128 Source, UInt128 Destination, Forms.PacketBox Box, int Observed, int Expected)
{
    public PacketTuple TupleOf(IpFamily family, Forms.PacketPoint point)
    {
        bool ports = IpProtocol.HasPorts(point.Protocol);
        return new PacketTuple(
            family, Source, Destination, point.Protocol, ports ? point.Source : (ushort)0,
            ports ? point.Destination : (ushort)0);
    }
}
