using System.Net;
using Agent.TestNet;
using Agent.V1;

namespace Agent.Soak.Driving;

/// <summary>One change after the other, some with traffic that shows what they did.</summary>
internal sealed class Churn(
    TestNetwork network, Controller controller, SoakPolicy policy, GuestTraffic traffic, Tally tally, Random random)
{
    private const string ComerName = "c1";

    private bool isIn;

    public async Task RunAsync(double perSecond, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1 / perSecond));
        try
        {
            do
            {
                await StepAsync();
            }
            while (await timer.WaitForNextTickAsync(cancel));
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
        }

        await controller.ReturnToAsync(policy.Start);
        isIn = false;
    }

    private Task StepAsync() => random.Next(100) switch
    {
        < 58 => controller.SendAsync(policy.Member(), "member"),
        < 76 => controller.SendAsync(policy.Rule(), "rule"),
        < 81 => controller.SendAsync(policy.Group(), "group"),
        < 89 => VnicAsync(),
        < 91 => controller.SendAsync(policy.IdleTime(), "idle time"),
        < 95 => DoorAsync(),
        < 99 => ComerAsync(),
        _ => controller.TakeOverAsync(),
    };

    private async Task VnicAsync()
    {
        Delta delta = policy.Vnic(out string? comes, out string? goes);
        if (comes is not null)
        {
            network.Host.IpBatch([$"link add {comes} type veth peer name far-{comes}", $"link set {comes} up"]);
        }

        await controller.SendAsync(delta, "vNIC");
        if (goes is not null)
        {
            network.Host.IpBatch([$"link del {goes}"]);
        }
    }

    /// <summary>What is revoked stops with its acknowledgement, what is granted begins with it.</summary>
    private async Task DoorAsync()
    {
        Guest from = network.Guests["g1"];
        Guest to = network.Guests["g2"];
        var target = new IPEndPoint(to.V4, SoakPolicy.DoorPort);
        await controller.SendAsync(policy.Door(open: true), "rule that opens");
        using (UdpConversation talk = UdpConversation.Open(from, from.V4, to, target))
        {
            tally.Allowed("session of a new rule", await talk.ClientSendsAsync(Probe.PassWait)
                && await talk.ServerSendsAsync(Probe.PassWait));
            await controller.SendAsync(policy.Door(open: false), "rule that closes");
            tally.Forbidden("session of a revoked rule", await talk.ClientSendsAsync());
            tally.Forbidden("session of a revoked rule", await talk.ServerSendsAsync());
        }

        tally.Forbidden("new session of a revoked rule",
            await Probe.TcpConnectsAsync(new TcpRoute(from, target, to)));
    }

    /// <summary>A guest that is powered off and on, and leaves the policy and comes back.</summary>
    private async Task ComerAsync()
    {
        Guest comer = network.Guests[ComerName];
        if (random.Next(2) == 0)
        {
            network.Unplug(comer);
            network.Plug(comer);
            tally.Count("change: power-off and power-on");
        }
        else
        {
            await controller.SendAsync(SoakPolicy.Come(VnicOf(comer, ComerGroup), !isIn), "guest that comes or goes");
            isIn = !isIn;
        }

        Guest asker = network.Guests["g3"];
        string what = isIn ? "guest that came" : "guest that is not in the policy";
        if (isIn)
        {
            tally.Allowed($"packet to a {what}", await ArrivesAtLastAsync(asker, comer));
        }
        else
        {
            tally.Forbidden($"packet to a {what}",
                await traffic.DatagramArrivesAsync(asker, comer, SoakPolicy.FirstPort, v6: false));
            tally.Forbidden($"packet from a {what}",
                await traffic.DatagramArrivesAsync(comer, network.Guests["g2"], SoakPolicy.FirstPort, v6: false));
        }

        tally.Forbidden($"packet to the wrong port of a {what}",
            await traffic.DatagramArrivesAsync(network.Outsider, comer, SoakPolicy.FirstPort, v6: false));
    }

    private const string ComerGroup = "sg-serve";

    /// <summary>The vNIC of a guest, in some groups.</summary>
    public static Vnic VnicOf(Guest guest, params string[] groups) => new()
    {
        Id = $"eni-{guest.Spec.Name}",
        InterfaceName = guest.Spec.Device,
        Mac = guest.Spec.Mac,
        VpcId = "vpc-1",
        Addresses = { guest.Spec.Addresses },
        GroupIds = { groups },
    };

    // Its device is new, and the agent has to hear of it.
    private async Task<bool> ArrivesAtLastAsync(Guest from, Guest to)
    {
        for (int i = 0; i < 50; i++)
        {
            if (await traffic.DatagramArrivesAsync(from, to, SoakPolicy.FirstPort, v6: false))
            {
                return true;
            }
        }

        return false;
    }
}
