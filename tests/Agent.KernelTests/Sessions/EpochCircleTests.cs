using Agent.KernelTests.Daemon;
using Agent.Netlink.Conntrack;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>Epochs are used in a circle: a session of an earlier round never looks like one of this round.</summary>
public sealed class EpochCircleTests(SmallCircleLab lab) : IClassFixture<SmallCircleLab>
{
    private const uint OtherBits = 0x0000ab00;

    [Fact]
    public async Task A_session_that_slept_through_a_whole_round_is_judged_again()
    {
        await MarkForeignBitsAsync();
        Snapshot allow = SessionLab.CallsInto("in 1 accept udp 1/65535 0.0.0.0/0", "in 1 accept udp 1/65535 ::/0");
        Snapshot deny = SessionLab.CallsInto();
        await lab.ApplyAsync(allow);
        using Flood innocent = SessionLab.StartUdp(lab.E1, lab.E3, v4: true, 1000, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => innocent.Backward.Received > 50);

        // One sleeper for each epoch of the circle, then every epoch comes round again while they sleep.
        List<UdpConversation> sleepers = [];
        for (int i = 0; i < 18; i++)
        {
            UdpConversation sleeper = UdpConversation.Open(
                lab.E1, lab.E1.V4, lab.E2, new System.Net.IPEndPoint(lab.E2.V4, PortNumbers.Next()));
            sleepers.Add(sleeper);
            Assert.True(await sleeper.ClientSendsAsync(Probe.PassWait));
            Assert.True(await sleeper.ServerSendsAsync(Probe.PassWait));
            await lab.ApplyAsync(deny);
            await lab.ApplyAsync(allow);
        }

        for (int i = 0; i < 16; i++)
        {
            (Accepted answer, _) = await lab.ApplyAsync(deny);
            Assert.True(answer.Changes.SessionsRevalidated);
            bool[] heard = await Task.WhenAll(
                sleepers.Take(3).Select(s => s.ServerSendsAsync(TimeSpan.FromMilliseconds(50))));
            Assert.DoesNotContain(true, heard);
            await lab.ApplyAsync(allow);
        }

        await lab.ApplyAsync(deny);
        bool[] served = await Task.WhenAll(sleepers.Select(s => s.ServerSendsAsync()));
        bool[] asked = await Task.WhenAll(sleepers.Select(s => s.ClientSendsAsync()));
        Assert.DoesNotContain(true, served);
        Assert.DoesNotContain(true, asked);
        await innocent.StopAsync();
        Assert.Empty(SessionLab.Lost(innocent.Forward));
        Assert.Empty(SessionLab.Lost(innocent.Backward));
        AssertForeignBitsSurvived();
        sleepers.ForEach(s => s.Dispose());
    }

    [Fact]
    public async Task Marks_are_cleared_by_value_and_nothing_else_of_a_mark_is_touched()
    {
        await MarkForeignBitsAsync();
        await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept udp 1/65535 0.0.0.0/0", "in 1 accept udp 1/65535 ::/0"));
        foreach (bool v4 in (bool[])[true, false])
        {
            using Flood flood = SessionLab.StartUdp(lab.E1, lab.E2, v4, 200, FloodDirections.Forward);
            await DaemonLab.UntilAsync("a session", () => flood.Forward.Received > 3);
        }

        Assert.True(await lab.Lab.Probe.EchoReturnsAsync(lab.E1, lab.E1.V6, lab.E3.V6, Probe.PassWait));
        Flow[] before = [.. lab.Sessions().Where(f => (f.Mark & SmallCircleLab.Mask) != 0)];
        Assert.Contains(before, f => f.Original.Protocol == 58);
        Assert.Contains(before, f => f.Original.Protocol == 17);
        uint epoch = before[0].Mark & SmallCircleLab.Mask;
        Assert.Equal(0, lab.ClearMarks(SmallCircleLab.Mask, epoch ^ SmallCircleLab.Mask, SmallCircleLab.Mask));
        Assert.InRange(lab.ClearMarks(SmallCircleLab.Mask, epoch, SmallCircleLab.Mask), before.Length, int.MaxValue);
        Assert.DoesNotContain(lab.Sessions(), f => (f.Mark & SmallCircleLab.Mask) != 0);
        AssertForeignBitsSurvived();
    }

    /// <summary>Somebody else in this namespace uses the mark too.</summary>
    private Task MarkForeignBitsAsync()
    {
        lab.Forget();
        lab.Lab.Network.Host.Nft(
            "table inet other\ndelete table inet other\ntable inet other {\n chain marks {\n"
            + "  type filter hook prerouting priority -100\n"
            + $"  ct state new ct mark set ct mark or {OtherBits}\n }}\n}}\n");
        return Task.CompletedTask;
    }

    private void AssertForeignBitsSurvived()
    {
        Flow[] ours = [.. lab.Sessions().Where(f => f.Original.Protocol is 17 or 58)];
        Assert.NotEmpty(ours);
        Assert.All(ours, f => Assert.Equal(OtherBits, f.Mark & ~SmallCircleLab.Mask));
    }
}
