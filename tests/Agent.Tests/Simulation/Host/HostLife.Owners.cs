using Agent.Compiler;
using Agent.Nftables;

namespace Agent.Tests.Simulation.Host;

/// <content>Who leads the control plane, and where packets pass.</content>
internal sealed partial class HostLife
{
    // In the network between them, anything may be late: the one that was replaced may be heard at any time.
    private void Contend()
    {
        if (fate.Strikes(6))
        {
            tally.Count("elections");
            election.Elect();
        }

        Expect("the elected controller is let in", controller.Hello());
        if (fate.Strikes(15))
        {
            int before = controller.Sent;
            controller.SendReplaced(loop!);
            workGiven |= controller.Sent > before;
            tally.Count("steps of replaced controllers", controller.Sent - before);
        }
    }

    private void TakeAnswers()
    {
        Expect("answers are true", controller.TakeAnswers());
        Expect("a replaced controller changes nothing", controller.Unfenced);
    }

    // A port is open when the daemon has followed it there, and has said so.
    private (NftFamily At, bool IsServed) WayOf(SimulatedSession session)
    {
        NftFamily at = host.At(session);
        return (at, at == NftFamily.Inet || (loop?.State is { Failed.IsEmpty: true, Enforced.Request.Host: { } facts }
            && facts.Bridge == BridgeLayer.Open && facts.BridgePorts.Contains(session.Interface)));
    }
}
